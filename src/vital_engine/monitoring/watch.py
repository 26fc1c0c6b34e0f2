"""The observer that feeds the metrics: :func:`prometheus`, one per turn."""

from __future__ import annotations

from typing import Final

from vital_engine.errors import ConfigError
from vital_engine.flow import Hedged, LateResult, Skipped, StepEnded, speedup
from vital_engine.nouns import Answer
from vital_engine.turn.plan import EARLY, REPLY

from . import metrics
from .labels import MODES, TIERS, step_label
from .track import step_duration, step_failures, tier_series, track_approvals, track_early, track_spending, track_turn
from .watching import TURN, OpenFlow, Watch, Watcher

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
        if flow.name == TURN:
            self._began = flow.at
            metrics.turns_in_flight.inc()

    def step_ended(self, flow: OpenFlow, event: StepEnded) -> None:
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
        metrics.late_results.labels(step_label(event.step)).inc()

    def hedged(self, event: Hedged) -> None:
        metrics.hedges.labels(step_label(event.step), event.became).inc()

    def flow_ended(self, flow: OpenFlow, cancelled: bool) -> None:
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
