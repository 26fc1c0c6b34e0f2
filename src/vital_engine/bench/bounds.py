"""What a turn takes at least: the arithmetic that a measurement is held against.

Symbols as in docs/design.md: inputs arrive at R; the model reads for ``prefill`` and then speaks ``tokens`` evenly until
``reply`` is over; a review step of cost c over S sentences leaves c / S after the last token if it reads along.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of each step, and how the answer is cut."""

    retrieve: float = 0.5
    suggest: float = 0.3
    recall: float = 0.2
    reply: float = 1.5
    cite: float = 0.15
    assess: float = 0.1
    tally: float = 0.05
    prefill: float = 0.0
    tokens: int = 120
    sentences: int = 8

    @property
    def inputs(self) -> tuple[float, float, float]:
        return (self.retrieve, self.suggest, self.recall)

    @property
    def reviews(self) -> tuple[float, float, float]:
        return (self.cite, self.assess, self.tally)


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds until the first token, the last token, and all that is known of the answer."""

    first_token: float
    last_token: float
    total: float


def bound(d: Durations, profile: str) -> Bound:
    """The least that *profile* allows for these durations, if the engine itself took no time."""
    asked = sum(d.inputs) if profile == "sequential" else max(d.inputs)
    first = asked + d.prefill + (d.reply - d.prefill) / d.tokens
    last = asked + d.reply
    after = {
        "sequential": sum(d.reviews),
        "tiers": max(d.reviews),
        "dataflow": max(d.reviews) / d.sentences,
    }[profile]
    return Bound(round(first, 9), round(last, 9), round(last + after, 9))
