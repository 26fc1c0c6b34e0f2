"""Recording by hand what no flow event tells. An error inside one of these functions never breaks a turn.

Values are checked: an unknown label or an impossible number is not recorded, and counted in
``vital_tracking_errors_total{function}``. An unknown step is recorded as ``other``.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from threading import Lock
from typing import ParamSpec

from prometheus_client import Counter, Histogram

from vital_engine.flow import REASONS
from vital_engine.nouns import Answer, Cost, Usage

from . import metrics
from .metrics import (
    CACHE_OUTCOMES,
    CACHES,
    DECIDERS,
    DECISIONS,
    DISCARDED,
    MODES,
    OUTCOMES,
    STATUSES,
    SUGGESTIONS,
    TIERS,
    one_of,
    provider_kind,
    step_label,
)

P = ParamSpec("P")


def _guarded(function: Callable[P, None]) -> Callable[P, None]:
    """*function*, counting what it refuses instead of raising it."""
    refused = metrics.tracking_errors.labels(function.__name__)

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (ValueError, TypeError, ArithmeticError):
            refused.inc()

    return guarded


def _amount(value: float | Decimal) -> float:
    """*value* as a number that can be added up.

    :raises ValueError: it is negative, infinite or not a number.
    """
    amount = float(value)
    if not 0.0 <= amount < math.inf:
        raise ValueError(f"{value!r} cannot be recorded")
    return amount


class TierSeries:
    """The series of one tier in one mode, looked up once. The two gauges exist from the first execution on."""

    def __init__(self, tier: str, mode: str) -> None:
        self._labels = (tier, mode)
        self._duration = metrics.tier_duration.labels(tier, mode)
        self._wait = metrics.tier_wait.labels(tier, mode)
        self.timeouts = metrics.execution_timeouts.labels(tier, mode)
        self._latest: deque[bool] = deque(maxlen=metrics.SUCCESS_WINDOW)
        self._lock = Lock()

    def record(self, seconds: float, speedup: float | None, succeeded: bool, waited: float | None) -> None:
        """Record one execution of the tier.

        :param seconds: its duration.
        :param speedup: seconds of its steps per second of it; None: no time passed.
        :param succeeded: whether every step made its own product.
        :param waited: seconds of it in which the model did not run; None: unknown.
        """
        self._duration.observe(seconds)
        if waited is not None:
            self._wait.observe(waited)
        if speedup is not None:
            metrics.speedup_ratio.labels(*self._labels).set(speedup)
        with self._lock:
            self._latest.append(succeeded)
            rate = sum(self._latest) / len(self._latest)
        metrics.success_rate.labels(*self._labels).set(rate)


@functools.cache
def tier_series(tier: str, mode: str) -> TierSeries:
    """For labels that have been checked."""
    return TierSeries(tier, mode)


@functools.cache
def step_duration(step: str, mode: str, outcome: str) -> Histogram:
    """For labels that have been checked."""
    return metrics.step_duration.labels(step, mode, outcome)


@functools.cache
def step_failures(step: str, reason: str, mode: str) -> Counter:
    """For labels that have been checked."""
    return metrics.task_failures.labels(step, reason, mode)


for _tier in TIERS:  # a series that begins at 0 lets a rule see its first increase
    for _mode in MODES:
        metrics.execution_timeouts.labels(_tier, _mode)


@_guarded
def track_parallel_execution(
    tier: str,
    mode: int | str,
    *,
    seconds: float,
    speedup: float | None,
    succeeded: bool,
    waited: float | None = None,
) -> None:
    """One execution of a tier.

    :param seconds: from the start of its first step until its last one settled.
    :param speedup: seconds of work per second of waiting; None if no time passed.
    :param succeeded: every step made its own product.
    :param waited: the part of *seconds* in which the model did not run beside it; None if that was not measured.
    """
    series = tier_series(one_of(tier, TIERS), one_of(mode, MODES))
    series.record(
        _amount(seconds),
        None if speedup is None else _amount(speedup),
        bool(succeeded),
        None if waited is None else _amount(waited),
    )


@_guarded
def track_parallel_task_failure(task_name: str, failure_type: str, mode: int | str) -> None:
    """A step did not make its own product. *failure_type*: one of :data:`vital_engine.flow.REASONS`."""
    step_failures(step_label(task_name), one_of(failure_type, REASONS), one_of(mode, MODES)).inc()


@_guarded
def track_parallel_task_duration(task_name: str, mode: int | str, seconds: float, *, outcome: str = "unknown") -> None:
    """A step ran for *seconds*. *outcome*: done, degraded, failed, or unknown where the caller cannot tell."""
    amount = _amount(seconds)
    step_duration(step_label(task_name), one_of(mode, MODES), one_of(outcome, OUTCOMES)).observe(amount)


@_guarded
def track_parallel_timeout(tier: str, mode: int | str) -> None:
    """At least one step of an execution of *tier* ran into a limit."""
    tier_series(one_of(tier, TIERS), one_of(mode, MODES)).timeouts.inc()


@_guarded
def track_turn(
    mode: int | str,
    *,
    status: str,
    seconds: float,
    first_token: float | None = None,
    provider: str = "",
    cost: Cost | None = None,
) -> None:
    """A turn has ended: what the flow's events do not know of it.

    :param status: complete, paused, partial, failed or cancelled.
    :param seconds: from the question until all was there.
    :param first_token: seconds from the question until the first token; None if there was none.
    :param provider: who ran the model, as its pieces say; only its kind becomes a label.
    :param cost: what was paid; None if the turn came to no call. Its rows give the tokens by class.
    """
    labels = one_of(mode, MODES), one_of(status, STATUSES)
    duration, first = _amount(seconds), None if first_token is None else _amount(first_token)
    metrics.turns.labels(*labels).inc()
    metrics.turn_duration.labels(*labels).observe(duration)
    if first is not None:
        metrics.first_token.labels(labels[0], provider_kind(provider)).observe(first)
    if cost is not None:
        track_spending(cost)


@_guarded
def track_approvals(mode: int | str, answer: Answer) -> None:
    """What was decided on the calls that a turn proposed. A turn that waits has decided nothing yet."""
    for decision, by in decided(answer):
        metrics.approvals.labels(one_of(mode, MODES), one_of(decision, DECISIONS), one_of(by, DECIDERS)).inc()


@_guarded
def track_early(answer: Answer) -> None:
    """Tokens of calls whose words were thrown away, and tokens that were read ahead."""
    for call in answer.draft.discarded:
        if call.usage is not None:
            metrics.discarded_tokens.labels(one_of(call.why, DISCARDED)).inc(call.usage.input + call.usage.output)
    if read := answer.prefilled.computed:
        metrics.prefilled_tokens.inc(read)


def decided(answer: Answer) -> list[tuple[str, str]]:
    """Decision and decider of each proposed call: edits are told from approvals, persons are not told apart."""
    asked = {approval.id: approval for approval in answer.approvals}
    result = []
    for decision in answer.consent.decisions:
        approval = asked.get(decision.tool_call.id)
        if approval is None:
            result.append(("approved" if decision.approved else "rejected", "policy"))
        elif approval.decision is None:
            result.append(("expired", "nobody"))
        else:
            result.append(
                ({"approve": "approved", "edit": "edited"}.get(approval.decision.action, "rejected"), "person")
            )
    return result


@_guarded
def track_spending(cost: Cost) -> None:
    """What a turn's calls used and cost, as far as it is known."""
    paid, counted = _amount(cost.at_least), tokens_by_class(row.call.usage for row in cost.rows)
    metrics.cost.inc(paid)
    for kind, count in counted.items():
        metrics.tokens.labels(kind).inc(count)
    if cost.usd is None:
        metrics.unpriced_turns.inc()


def tokens_by_class(usages: Iterable[Usage | None]) -> dict[str, int]:
    """Tokens by class, disjoint: ``input`` without the cached ones, ``output`` without reasoning. Unknown adds none.

    :raises ValueError: a usage names more cached than input tokens, more reasoning than output, or less than none.
    """
    counted: dict[str, int] = {}
    for usage in usages:
        if usage is None:
            continue
        fresh, spoken = usage.input - usage.cached, usage.output - usage.reasoning
        if min(fresh, spoken, usage.cached, usage.reasoning) < 0:
            raise ValueError(f"impossible usage: {usage}")
        if usage.estimated:
            classes = {"estimated_input": usage.input, "estimated_output": usage.output}
        else:
            classes = {"input": fresh, "cached": usage.cached, "output": spoken, "reasoning": usage.reasoning}
        for kind, count in classes.items():
            counted[kind] = counted.get(kind, 0) + count
    return {kind: count for kind, count in counted.items() if count}


@_guarded
def track_cache(cache: str, outcome: str) -> None:
    """Record how a question to a cache was answered.

    :param cache: "retrieval", "embedding", "menu" or "answer".
    :param outcome: "hit", "miss" or "shared".
    """
    metrics.caches.labels(one_of(cache, CACHES), one_of(outcome, CACHE_OUTCOMES)).inc()


@_guarded
def track_tool_suggestion(outcome: str) -> None:
    """Record what became of a tool call that a model suggested.

    :param outcome: "proposed", "unknown_tool", "invalid_arguments", or "failed" (the model gave no answer).
    """
    metrics.suggestions.labels(one_of(outcome, SUGGESTIONS)).inc()
