"""How long each step of one turn takes: what every engine under test is given, and what the oracle works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SEGMENTS = ("instructions", "conversation", "tools", "evidence")
"""The prompt's segments that take time to read, in their order, which is that of their typical arrival."""
LATE_SHARES: Mapping[str, float] = {"conversation": 0.15, "tools": 0.15, "evidence": 0.70}
"""How the part of the prompt that is not known when the turn begins is made up: an assumption of the workloads."""
INPUTS = ("retrieve", "suggest", "recall")
REVIEWS = ("cite", "assess", "tally")


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of each step of one turn, and how the answer is cut. The defaults are the seed profile.

    ``reply``: the model's whole time, of which the first ``prefill`` go into reading the prompt; the share ``early`` of
    that is for what is known when the turn begins. Then come ``tokens`` evenly spaced tokens in ``sentences`` sentences.
    A review step costs its seconds in all, evenly over the sentences. ``held``: step -> seconds before which the first
    response of a reply or of a review step does not come, however short it would have been. ``missing``: segments of
    the prompt that are empty, since what they wait for failed. ``checks``: (review step, sentence) -> seconds, where that
    is known to differ.
    """

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
    early: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    checks: Mapping[tuple[str, int], float] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[float, float, float]:
        return (self.retrieve, self.suggest, self.recall)

    @property
    def reviews(self) -> tuple[float, float, float]:
        return (self.cite, self.assess, self.tally)

    @property
    def speech(self) -> float:
        """From the end of reading to the last token."""
        return self.reply - self.prefill

    @property
    def token(self) -> float:
        """From one token to the next."""
        return self.speech / self.tokens

    @property
    def segments(self) -> dict[str, float]:
        """Segment of the prompt -> seconds to read it, uncached."""
        late = self.prefill * (1 - self.early)
        shares = {"instructions": self.prefill * self.early} | {k: late * share for k, share in LATE_SHARES.items()}
        return {k: 0.0 if k in self.missing else shares[k] for k in SEGMENTS}

    @property
    def reading(self) -> float:
        """Seconds to read all of the prompt that is there."""
        return sum(self.segments.values()) if self.missing else self.prefill

    def result(self, step: str) -> float:
        """Seconds of *step* for an engine that does not read along, and waits for all of it."""
        seconds: float = getattr(self, step)
        held = self.held.get(step, 0.0)
        if step == "reply":
            return max(self.reading, held) + self.speech
        return self.check(step, 0) + seconds * (self.sentences - 1) / self.sentences if held else seconds

    def check(self, step: str, sentence: int) -> float:
        """Seconds that the review *step* takes for one sentence, counted from 0."""
        if (step, sentence) in self.checks:
            return self.checks[step, sentence]
        seconds: float = getattr(self, step)
        each = seconds / self.sentences
        return max(each, self.held.get(step, 0.0)) if sentence == 0 else each
