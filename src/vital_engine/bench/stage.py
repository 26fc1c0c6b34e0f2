"""One turn under way: what was drawn for it, and what became of it at the services."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal

from vital_engine.errors import ServiceError
from vital_engine.nouns import Effect, Evidence, Memory, Passage, PastTurn, ToolCall, ToolSuggestions

from .draws import Drawn, Fault, Outage
from .durations import REVIEWS, Durations

SILENT_SECONDS = 30.0
"""After so long whoever still waits for a dependency that is silent learns that nothing will come."""
FIRST, SECOND = 0, 1
"""Attempts: the service that is always asked, and the one that a call may be sent to again."""
EVIDENCE = Evidence((Passage("passage-1", "What the simulated passage says."),), index_version="simulated")
MEMORY = Memory((PastTurn("What was asked before?", "What was answered."),))
MENU, READING_MENU = (
    ToolSuggestions((ToolCall("call-1", "simulated_tool", {}, "simulated", 1.0, Decimal(0), effect),))
    for effect in (Effect.KEYED_WRITE, Effect.READ)
)
"""The tool of the first one writes, so that one that is called twice, or before its time, is seen."""


class Down(ServiceError):
    """The drawn failure of a call."""

    code = "bench.down"


@dataclass(frozen=True, slots=True)
class Found:
    """What the inputs of a turn bring."""

    evidence: Evidence = EVIDENCE
    suggestions: ToolSuggestions = MENU
    memory: Memory = MEMORY


@dataclass(slots=True)
class Stage:
    """*drawn*, and what was seen: ``began``: step -> when its first attempt began, and the copies' ``sent``: step ->
    seconds after that. ``wasted``: tokens that a model made and nobody was shown. ``effects``: calls that wrote.
    ``kept``: how often the turn was saved. ``copy_spoke``: the replica's answer was heard to its end. ``read``: beginnings of
    prompts that a model server holds, by attempt. ``reviews``: review step
    -> sentence -> when it was asked about; ``again``: (step, sentence) -> seconds after that at which a copy was sent, and
    that it takes.
    """

    drawn: Drawn
    outages: tuple[Outage, ...] = ()
    found: Found = Found()
    began: dict[str, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    wasted: float = 0.0
    effects: int = 0
    kept: int = 0
    copy_spoke: bool = False
    reviews: dict[str, dict[int, float]] = field(default_factory=lambda: {step: {} for step in REVIEWS})
    again: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    read: tuple[set[tuple[str, ...]], set[tuple[str, ...]]] = field(default_factory=lambda: (set(), set()))

    def call(self, step: str, attempt: int) -> tuple[Durations, Fault | None]:
        """A call begins: how long it takes, and how it fails."""
        now = asyncio.get_running_loop().time()
        self.calls += 1
        if attempt == FIRST:
            self.began[step] = now
        else:
            self.sent.setdefault(step, round(now - self.began.get(step, now), 9))
        for outage in self.outages:
            if outage.step == step and outage.covers(now):
                return self.drawn.durations[attempt], Fault("silent", SILENT_SECONDS) if outage.silent else Fault(
                    "down"
                )
        return self.drawn.durations[attempt], self.drawn.faults[attempt].get(step)

    def review(self, step: str, sentence: int, attempt: int, *, outside: bool) -> tuple[float, Fault | None]:
        """A review is asked about one sentence: how long it takes, and how it fails. Whoever is asked stalls or fails, if
        that is drawn for this turn, at the first sentence that it sees.

        :param outside: each sentence is a call to somebody else; else all of them count as one.
        """
        now, begun = asyncio.get_running_loop().time(), self.reviews[step]
        opens = sentence == 0 if attempt == FIRST else all(asked != step for asked, _ in self.again)
        if opens:
            d, fault = self.call(step, attempt)
        else:
            d, fault = self.drawn.durations[attempt], None
            self.calls += outside
        seconds = d.check(step, 0 if opens else 1)
        if attempt == FIRST:
            begun[sentence] = now
        else:
            self.again[step, sentence] = (round(now - begun[sentence], 9), seconds)
        return seconds, fault

    @property
    def copies(self) -> int:
        """Calls that were sent a second time."""
        return sum(step not in REVIEWS for step in self.sent) + len(self.again)


STAGE: ContextVar[Stage] = ContextVar("stage")
"""The turn whose call it is. A step's tasks carry it with them."""


async def until(when: float) -> None:
    """To the nanosecond, as the virtual clock is: what a sum of floats is off by must not become a tick of its own."""
    left = round(when - asyncio.get_running_loop().time(), 9)
    if left > 0:
        await asyncio.sleep(left)


async def take(seconds: float, fault: Fault | None) -> None:
    """Spend *seconds*, or fail as drawn."""
    if fault is not None and fault.error != "cut":
        await asyncio.sleep(fault.seconds)
        raise Down(f"drawn: {fault.error}", service="bench", retryable=True)
    await asyncio.sleep(seconds)
