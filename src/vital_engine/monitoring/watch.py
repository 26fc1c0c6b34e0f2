"""Observers of a turn: what they share, and the one that feeds the metrics (:func:`prometheus`, one per turn)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vital_engine.errors import ConfigError
from vital_engine.flow import (
    FlowEnded,
    FlowStarted,
    Hedged,
    LateResult,
    Observer,
    Skipped,
    StepEnded,
    StepStarted,
    Stream,
    StreamOpened,
    speedup,
)
from vital_engine.nouns import Answer, Question, TurnEnded
from vital_engine.turn.plan import EARLY, REPLY

from . import metrics
from .metrics import MODES, TIERS, step_label
from .track import step_duration, step_failures, tier_series, track_approvals, track_early, track_spending, track_turn

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
    def flow_started(self, flow: OpenFlow) -> None:
        """Called when a flow of the turn begins."""

    def step_started(self, flow: OpenFlow, event: StepStarted) -> None:
        """Called when a step begins."""

    def step_ended(self, flow: OpenFlow, event: StepEnded) -> None:
        """It also comes for steps that never started: the product was known, or the time was over before."""

    def late_result(self, event: LateResult) -> None:
        """Called when an abandoned step ended after all."""

    def hedged(self, event: Hedged) -> None:
        """Called when it is known what became of a hedged call."""

    def flow_ended(self, flow: OpenFlow, cancelled: bool) -> None:
        """*cancelled*: its caller was, so that steps were cut off through no fault of their own."""

    def turn_ended(self, answer: Answer) -> None:
        """All is known. A turn whose caller was cancelled need not come to this."""


_LIMITS: Final = ("timeout", "abandoned")


def prometheus(mode: int | str) -> TurnWatch:
    """An observer for one turn in *mode* (1 to 4).

    :raises ConfigError: there is no such mode.
    """
    return TurnWatch(mode)


def default_watchers() -> tuple[Watcher, ...]:
    """The metrics of this process."""
    return (lambda _, mode: TurnWatch(mode),)


class TurnWatch(Watch):
    """Counts steps as they end, tiers when their flow has ended, and the turn when all is known of it."""

    __slots__ = ("_began", "_counted", "_mode")

    def __init__(self, mode: int | str) -> None:
        super().__init__()
        if str(mode) not in MODES:
            raise ConfigError(f"no such mode: {mode!r} (1 to 4)")
        self._mode = str(mode)
        self._began: float | None = None
        self._counted = False

    def flow_started(self, flow: OpenFlow) -> None:
        """Count the turn as running."""
        if flow.name == TURN:
            self._began = flow.at
            metrics.turns_in_flight.inc()

    def step_ended(self, flow: OpenFlow, event: StepEnded) -> None:
        """Record a step's duration, and its failure."""
        outcome, step = event.outcome, step_label(event.step)
        if event.step in flow.started:
            step_duration(step, self._mode, outcome.kind).observe(outcome.seconds)
        if outcome.broke:
            step_failures(step, outcome.reason, self._mode).inc()
            if outcome.made and step not in EARLY:
                metrics.degraded_turns.labels(step, outcome.reason).inc()
        elif isinstance(outcome, Skipped):
            metrics.skipped_steps.labels(step, "known" if outcome.known else "unmet").inc()

    def late_result(self, event: LateResult) -> None:
        """Count a late result."""
        metrics.late_results.labels(step_label(event.step)).inc()

    def hedged(self, event: Hedged) -> None:
        """Count a hedged call."""
        metrics.hedges.labels(step_label(event.step), event.became).inc()

    def flow_ended(self, flow: OpenFlow, cancelled: bool) -> None:
        """Record the tiers."""
        if flow.name == TURN:
            metrics.turns_in_flight.dec()
        for tier in TIERS:
            mine = [e for e in flow.ended if e.tier == tier]
            if mine and (not cancelled or _over_before_the_cancel(flow, mine)):
                self._tier_ended(tier, flow, mine)
        if cancelled and self._began is not None and not self._counted:
            self._counted = True
            track_turn(self._mode, status="cancelled", seconds=flow.last - self._began)

    def turn_ended(self, answer: Answer) -> None:
        """Record the turn: status, times, cost, decisions."""
        if self._counted:  # as cancelled; what it had cost is known only now
            track_spending(answer.cost)
            return
        self._counted = True
        track_approvals(self._mode, answer)
        track_early(answer)
        track_turn(
            self._mode,
            status=answer.status,
            seconds=answer.timing.total,
            first_token=answer.timing.first_token,
            provider=answer.draft.provider,
            cost=answer.cost,
        )

    def _tier_ended(self, tier: str, flow: OpenFlow, mine: list[StepEnded]) -> None:
        series = tier_series(tier, self._mode)
        outcomes = [e.outcome for e in mine if not (isinstance(e.outcome, Skipped) and e.outcome.known)]
        if any(e.outcome.reason in _LIMITS for e in mine):
            series.timeouts.inc()
        ran = [e.outcome for e in mine if e.step in flow.started]
        if not ran:
            return
        began, ended = min(o.began for o in ran), max(o.ended for o in outcomes)
        beside = sum(_beside(e, began, ended) for e in flow.ended if e.step == REPLY.name and e.step in flow.started)
        seconds = round(ended - began, 9)
        series.record(
            seconds,
            speedup([o.seconds for o in ran], seconds),
            all(o.kind == "done" for o in outcomes),
            max(round(seconds - beside, 9), 0.0),
        )


def _over_before_the_cancel(flow: OpenFlow, mine: list[StepEnded]) -> bool:
    """Whether no step of the tier was cut or kept from starting: a tier that its caller broke off says nothing."""
    return all(
        isinstance(e.outcome, Skipped) or (e.step in flow.started and e.outcome.reason != "cancelled") for e in mine
    )


def _beside(reply: StepEnded, began: float, ended: float) -> float:
    """The seconds between *began* and *ended* in which the model ran."""
    return max(min(ended, reply.outcome.ended) - max(began, reply.outcome.began), 0.0)
