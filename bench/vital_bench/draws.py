"""Common random numbers: a draw is a function of (seed, turn, step, attempt), and of nothing else.

So every engine under test meets the same luck, whatever it calls, in whatever order; and a call that is sent a second
time has a draw of its own, the same for every engine that sends it. Counter-based: nothing is drawn that is not looked
at, and no draw depends on how many came before.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from statistics import NormalDist
from typing import Any

from .durations import INPUTS, REVIEWS, Durations

CALLS = (*INPUTS, "reply", *REVIEWS)
"""The calls of a turn that take time, and may stall or fail."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Uniforms:
    """Independent numbers in (0, 1) of one call: for how long, whether it stalls, with whom, how it fails, and where."""

    long: float
    stalls: float
    shared: float
    fails: float
    where: float


class Draws:
    """All the luck of a run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def call(self, turn: int, step: str, attempt: int) -> Uniforms:
        digest = blake2b(f"{self.seed}/{turn}/{step}/{attempt}".encode(), digest_size=40).digest()
        return Uniforms(*((n + 0.5) / 2**64 for n in struct.unpack("<5Q", digest)))

    def wait(self, turn: int, rate: float) -> float:
        """Seconds from the arrival of the turn before to that of *turn*, at *rate* turns per second (Poisson)."""
        return round(-math.log(self.call(turn, "arrival", 1).long) / rate, 9)


@dataclass(frozen=True, slots=True)
class Fault:
    """How a call fails: ``error`` after ``seconds``; for a stream, ``share`` of what it had to say comes before."""

    error: str
    seconds: float = 0.0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A dependency that does not work from ``begins`` to ``ends`` (seconds of the run): it fails at once, or (``silent``)
    after half a minute. With a ``period`` it works in every second half of that."""

    step: str
    begins: float
    ends: float
    period: float | None = None
    silent: bool = False

    def covers(self, at: float) -> bool:
        if not self.begins <= at < self.ends:
            return False
        return self.period is None or (at - self.begins) % self.period < self.period / 2


@dataclass(frozen=True, slots=True)
class Odds:
    """What may happen to a turn's calls.

    ``sigma``: step -> spread of the logarithm of its seconds, around the median. A ``stall``, of a call of
    ``stalling``, is a first response after ``stall_seconds``; the second attempt stalls together with the first with
    the chance ``together``, else on its own. ``fast``: an error at once; ``slow``: an error after ``slow_seconds``;
    ``cut``: a stream that breaks on the way. ``outages`` go by the clock of the run, for both attempts alike.
    """

    sigma: Mapping[str, float] = field(default_factory=dict)
    stall: float = 0.0
    stall_seconds: float = 10.0
    stalling: tuple[str, ...] = CALLS
    together: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 5.0
    cut: float = 0.0
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """One turn as it was drawn: for the first and the second attempt of each call, how long it takes and how it fails."""

    number: int
    durations: tuple[Durations, Durations]
    faults: tuple[Mapping[str, Fault], Mapping[str, Fault]]


def draw(median: Durations, odds: Odds, draws: Draws, number: int) -> Drawn:
    """Turn *number* of a workload whose steps take *median* seconds in the middle."""
    luck = {step: (draws.call(number, step, 1), draws.call(number, step, 2)) for step in CALLS}
    stalls = {step: _stalls(odds, step, *both) for step, both in luck.items()}
    durations = tuple(
        _durations(median, odds, {step: (luck[step][i], stalls[step][i]) for step in CALLS}) for i in (0, 1)
    )
    faults = tuple({step: f for step in CALLS if (f := _fault(odds, step, luck[step][i]))} for i in (0, 1))
    return Drawn(number, (durations[0], durations[1]), (faults[0], faults[1]))


def _stalls(odds: Odds, step: str, first: Uniforms, second: Uniforms) -> tuple[bool, bool]:
    if step not in odds.stalling:
        return False, False
    stalled = first.stalls < odds.stall
    return stalled, stalled if second.shared < odds.together else second.stalls < odds.stall


def _durations(median: Durations, odds: Odds, luck: Mapping[str, tuple[Uniforms, bool]]) -> Durations:
    seconds: dict[str, Any] = {}
    held: dict[str, float] = {}
    factor: dict[str, float] = {}
    for step, (uniforms, stalled) in luck.items():
        sigma = odds.sigma.get(step, 0.0)
        factor[step] = math.exp(sigma * _NORMAL.inv_cdf(uniforms.long)) if sigma else 1.0
        seconds[step] = _whole(getattr(median, step) * factor[step])
        if stalled and step in INPUTS:
            seconds[step] = max(seconds[step], odds.stall_seconds)
        elif stalled:
            held[step] = odds.stall_seconds
    return replace(median, **seconds, prefill=_whole(median.prefill * factor["reply"]), held=held)


def _whole(seconds: float) -> float:
    # To the microsecond: then the shares of a sentence or a segment are whole nanoseconds, as the clock is.
    return round(seconds, 6)


def _fault(odds: Odds, step: str, uniforms: Uniforms) -> Fault | None:
    if uniforms.fails < odds.fast:
        return Fault("fast")
    if uniforms.fails < odds.fast + odds.slow:
        return Fault("slow", odds.slow_seconds)
    if step == "reply" and uniforms.fails < odds.fast + odds.slow + odds.cut:
        return Fault("cut", share=uniforms.where)
    return None
