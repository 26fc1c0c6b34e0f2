"""What the observers of a turn share: which flows are open, and that each is closed exactly once.

A flow tells its end only to a caller who is still there. If the caller was cancelled, all steps still end, and
then the caller's task does: that closes the flow here. So nothing stays open, and a gauge comes back down.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vital_engine.answer import Answer, TurnEnded
from vital_engine.flow import (
    FlowEnded,
    FlowStarted,
    LateResult,
    Live,
    Observer,
    Run,
    StepEnded,
    StepStarted,
    StreamOpened,
)
from vital_engine.nouns import Question

#: Makes an observer for one turn, given its question and mode.
Watcher: TypeAlias = Callable[[Question, int], Observer]

#: The name of the flow that is a whole turn.
TURN: Final = "turn"


@dataclass(slots=True)
class OpenFlow:
    """A flow that runs. ``at`` and ``last``: its first and its latest event, on the loop's clock, in seconds."""

    name: str
    at: float
    last: float
    started: set[str] = field(default_factory=set)
    lives: dict[str, Live[object]] = field(default_factory=dict)
    ended: list[StepEnded] = field(default_factory=list)
    forget: Callable[[], object] | None = None


class Watch:
    """An observer of the flows of ONE turn, one after another; flows of the same name must not overlap.

    Subclasses say what to do with what happens. Events carry no run id, hence one object per turn: make it where
    the turn is made, it is cheap.
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, OpenFlow] = {}

    def __call__(self, event: object) -> None:
        if isinstance(event, StepEnded):
            flow = self._flow(event)
            flow.ended.append(event)
            self.step_ended(flow, event)
        elif isinstance(event, StepStarted):
            flow = self._flow(event)
            flow.started.add(event.step)
            self.step_started(flow, event)
        elif isinstance(event, StreamOpened):
            self._flow(event).lives[event.step] = event.live
        elif isinstance(event, FlowStarted):
            self._begin(event)
        elif isinstance(event, FlowEnded):
            self._end(event)
        elif isinstance(event, LateResult):
            self.late_result(event)
        elif isinstance(event, TurnEnded):
            self.turn_ended(event.answer)

    def _flow(self, event: StepStarted | StepEnded | StreamOpened | FlowEnded) -> OpenFlow:
        flow = self._open[event.flow]
        flow.last = event.at
        return flow

    def _begin(self, event: FlowStarted) -> None:
        if event.flow in self._open:
            raise RuntimeError(f"flow {event.flow!r} is already being watched: an observer belongs to one turn")
        flow = self._open[event.flow] = OpenFlow(event.flow, event.at, event.at)
        if (caller := _caller()) is not None:
            gone = functools.partial(self._caller_gone, flow)
            caller.add_done_callback(gone)
            flow.forget = functools.partial(caller.remove_done_callback, gone)
        self.flow_started(flow)

    def _end(self, event: FlowEnded) -> None:
        flow = self._flow(event)
        del self._open[flow.name]
        if flow.forget is not None:
            flow.forget()
        self.flow_ended(flow, event.run)

    def _caller_gone(self, flow: OpenFlow, _: asyncio.Task[object]) -> None:
        del self._open[flow.name]
        self.flow_ended(flow, None)

    # -- what subclasses say
    def flow_started(self, flow: OpenFlow) -> None: ...

    def step_started(self, flow: OpenFlow, event: StepStarted) -> None: ...

    def step_ended(self, flow: OpenFlow, event: StepEnded) -> None:
        """It also comes for steps that never started: the product was known, or the time was over before."""

    def late_result(self, event: LateResult) -> None: ...

    def flow_ended(self, flow: OpenFlow, run: Run | None) -> None:
        """*run* is None if the caller was cancelled."""

    def turn_ended(self, answer: Answer) -> None:
        """All is known. A turn whose caller was cancelled need not come to this."""


def _caller() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # events that are told again outside a loop
        return None
