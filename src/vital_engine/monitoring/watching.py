"""What the observers of a turn share: which flows are open, what has happened in each, and who broke it off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vital_engine.flow import (
    FlowEnded,
    FlowStarted,
    Hedged,
    LateResult,
    Observer,
    StepEnded,
    StepStarted,
    Stream,
    StreamOpened,
)
from vital_engine.nouns import Answer, Question, TurnEnded

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
    streams: dict[str, Stream[object]] = field(default_factory=dict)
    ended: list[StepEnded] = field(default_factory=list)


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
            self._flow(event).streams[event.step] = event.stream
        elif isinstance(event, FlowStarted):
            self._begin(event)
        elif isinstance(event, FlowEnded):
            self._end(event)
        elif isinstance(event, LateResult):
            self.late_result(event)
        elif isinstance(event, Hedged):
            self.hedged(event)
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
        self.flow_started(flow)

    def _end(self, event: FlowEnded) -> None:
        flow = self._flow(event)
        del self._open[flow.name]
        self.flow_ended(flow, event.cancelled and any(e.outcome.reason == "cancelled" for e in flow.ended))

    # -- what subclasses say
    def flow_started(self, flow: OpenFlow) -> None: ...

    def step_started(self, flow: OpenFlow, event: StepStarted) -> None: ...

    def step_ended(self, flow: OpenFlow, event: StepEnded) -> None:
        """It also comes for steps that never started: the product was known, or the time was over before."""

    def late_result(self, event: LateResult) -> None: ...

    def hedged(self, event: Hedged) -> None: ...

    def flow_ended(self, flow: OpenFlow, cancelled: bool) -> None:
        """*cancelled*: its caller was, so that steps were cut off through no fault of their own."""

    def turn_ended(self, answer: Answer) -> None:
        """All is known. A turn whose caller was cancelled need not come to this."""
