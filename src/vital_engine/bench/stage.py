"""One turn under way: what was drawn for it, and what became of it at the services."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal

from vital_engine.errors import ServiceError
from vital_engine.nouns import Effect, Evidence, Memory, Menu, Passage, PastTurn, Proposal

from .draws import Drawn, Fault, Outage
from .durations import Durations

SILENT_SECONDS = 30.0
"""After so long whoever still waits for a dependency that is silent learns that nothing will come."""
FIRST, SECOND = 0, 1
"""Attempts: the service that is always asked, and the one that a call may be sent to again."""
EVIDENCE = Evidence((Passage("passage-1", "What the simulated passage says."),), index_version="simulated")
MEMORY = Memory((PastTurn("What was asked before?", "What was answered."),))
MENU, READING_MENU = (
    Menu((Proposal("call-1", "simulated_tool", {}, "simulated", 1.0, Decimal(0), effect),))
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
    menu: Menu = MENU
    memory: Memory = MEMORY


@dataclass(slots=True)
class Stage:
    """*drawn*, and what was seen: ``began``: step -> when its first attempt began, and the copies' ``sent``: step ->
    seconds after that. ``wasted``: tokens that a model made and nobody was shown. ``effects``: calls that wrote.
    ``kept``: how often the turn was saved. ``copy_spoke``: the replica's answer was heard to its end. ``read``: beginnings of
    prompts that a model server holds, by attempt. ``asked``: when the first model was, each time.
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
    asked: list[float] = field(default_factory=list)
    read: tuple[set[tuple[str, ...]], set[tuple[str, ...]]] = field(default_factory=lambda: (set(), set()))

    def call(self, step: str, attempt: int) -> tuple[Durations, Fault | None]:
        """A call begins: how long it takes, and how it fails."""
        now = asyncio.get_running_loop().time()
        self.calls += 1
        if attempt == FIRST:
            self.began[step] = now
            if step == "reply":
                self.asked.append(now)
        else:
            self.sent.setdefault(step, round(now - self.began.get(step, now), 9))
        for outage in self.outages:
            if outage.step == step and outage.covers(now):
                return self.drawn.durations[attempt], Fault("silent", SILENT_SECONDS) if outage.silent else Fault(
                    "down"
                )
        return self.drawn.durations[attempt], self.drawn.faults[attempt].get(step)


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
