"""What a turn takes at least: the arithmetic that a measurement is held against.

Symbols as in docs/design.md: inputs arrive at R; the model reads for ``prefill`` and then speaks ``tokens`` evenly until
``reply`` is over; a review step of cost c over S sentences leaves c / S after the last token if it reads along.
"""

from __future__ import annotations

from dataclasses import dataclass

from .durations import Durations


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
