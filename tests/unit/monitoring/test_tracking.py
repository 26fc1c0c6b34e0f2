"""Recording by hand: what is recorded, and what is refused without a word to the caller."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from vital_engine.errors import ConfigError
from vital_engine.flow import REASONS
from vital_engine.monitoring import (
    prometheus,
    registry,
    track_parallel_execution,
    track_parallel_task_duration,
    track_parallel_task_failure,
    track_parallel_timeout,
    track_spending,
    track_turn,
)
from vital_engine.monitoring.metrics import SUCCESS_WINDOW, provider_kind
from vital_engine.nouns import Call, Cost, LedgerRow, Usage


def value(name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def refused() -> float:
    return sum(s.value for f in registry.collect() if f.name == "vital_tracking_errors" for s in f.samples)


def test_an_execution_is_recorded_once_and_shown_in_both_units() -> None:
    labels = {"tier": "tier1", "mode": "1"}
    before = [value(f"{name}_sum", **labels) for name in ("parallel_execution_duration_ms", "vital_tier_wait_seconds")]
    track_parallel_execution("tier1", 1, seconds=0.25, speedup=1.6, succeeded=True, waited=0.2)
    assert value("parallel_execution_duration_ms_sum", **labels) - before[0] == pytest.approx(250)
    assert value("vital_tier_wait_seconds_sum", **labels) - before[1] == pytest.approx(0.2)
    assert value("parallel_speedup_ratio", **labels) == 1.6


def test_an_undefined_speedup_leaves_the_last_one() -> None:
    track_parallel_execution("tier2", 1, seconds=0.1, speedup=1.5, succeeded=True)
    track_parallel_execution("tier2", 1, seconds=0.0, speedup=None, succeeded=True)
    assert value("parallel_speedup_ratio", tier="tier2", mode="1") == 1.5


def test_the_success_rate_speaks_of_the_latest_executions_only() -> None:
    labels = {"tier": "tier1", "mode": "4"}
    for _ in range(SUCCESS_WINDOW):
        track_parallel_execution("tier1", 4, seconds=0.1, speedup=1.0, succeeded=False)
    assert value("parallel_execution_success_rate", **labels) == 0.0
    for done in range(1, SUCCESS_WINDOW + 1):
        track_parallel_execution("tier1", 4, seconds=0.1, speedup=1.0, succeeded=True)
        assert value("parallel_execution_success_rate", **labels) == pytest.approx(done / SUCCESS_WINDOW)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_code_is_a_failure_type(reason: str) -> None:
    labels = {"task_name": "recall", "failure_type": reason, "mode": "3"}
    before = value("parallel_task_failures_total", **labels)
    track_parallel_task_failure("recall", reason, "3")
    assert value("parallel_task_failures_total", **labels) == before + 1


def test_a_foreign_step_is_other_however_many_there_are() -> None:
    before = value("parallel_task_duration_ms_count", task_name="other", mode="2")
    for i in range(100):
        track_parallel_task_duration(f"step-{i}", 2, 0.01)
    assert value("parallel_task_duration_ms_count", task_name="other", mode="2") == before + 100


def test_a_duration_whose_outcome_nobody_said_is_not_called_done() -> None:
    before = value("vital_step_duration_seconds_count", step="cite", outcome="unknown")
    track_parallel_task_duration("cite", 2, 0.01)
    assert value("vital_step_duration_seconds_count", step="cite", outcome="unknown") == before + 1


def test_a_timeout() -> None:
    before = value("parallel_execution_timeouts_total", tier="tier2", mode="2")
    track_parallel_timeout("tier2", 2)
    assert value("parallel_execution_timeouts_total", tier="tier2", mode="2") == before + 1


BAD: list[Any] = [
    lambda: track_parallel_execution("tier3", 1, seconds=0.1, speedup=1.0, succeeded=True),
    lambda: track_parallel_execution("tier1", 5, seconds=0.1, speedup=1.0, succeeded=True),
    lambda: track_parallel_execution("tier1", 1, seconds=-0.1, speedup=1.0, succeeded=True),
    lambda: track_parallel_execution("tier1", 1, seconds=math.nan, speedup=1.0, succeeded=True),
    lambda: track_parallel_execution("tier1", 1, seconds=0.1, speedup=math.inf, succeeded=True),
    lambda: track_parallel_execution("tier1", 1, seconds=None, speedup=1.0, succeeded=True),  # type: ignore[arg-type]
    lambda: track_parallel_execution("tier1", 1),  # type: ignore[call-arg]
    lambda: track_parallel_task_failure("recall", "it broke", 1),
    lambda: track_parallel_task_failure("recall", "error", None),  # type: ignore[arg-type]
    lambda: track_parallel_task_duration("recall", 1, "fast"),  # type: ignore[arg-type]
    lambda: track_parallel_task_duration("recall", 1, 0.1, outcome="splendid"),
    lambda: track_parallel_timeout("", 1),
    lambda: track_turn(1, status="great", seconds=1.0),
    lambda: track_turn(1, status="complete", seconds=1.0, first_token=-1.0),
    lambda: track_spending(_cost(Usage(input=1, cached=2), Decimal(1))),
    lambda: track_spending(_cost(Usage(input=1), Decimal("NaN"))),
]


def _cost(usage: Usage, usd: Decimal | None) -> Cost:
    return Cost((LedgerRow(Call("c", "reply", "m", "p", usage), usd),))


@pytest.mark.parametrize("call", BAD)
def test_what_cannot_be_recorded_is_counted_and_not_raised(call: Any) -> None:
    def recorded() -> dict[Any, float]:
        return {
            (s.name, tuple(sorted(s.labels.items()))): s.value
            for f in registry.collect()
            if f.name.startswith(("parallel_", "vital_")) and f.name != "vital_tracking_errors"
            for s in f.samples
            if not s.name.endswith("_created") and s.value
        }

    before, errors = recorded(), refused()
    call()
    assert refused() == errors + 1
    assert recorded() == before


def test_an_unknown_price_is_not_nothing() -> None:
    before = value("vital_unpriced_turns_total"), value("vital_cost_usd_total")
    track_spending(_cost(Usage(input=5), None))
    assert (value("vital_unpriced_turns_total"), value("vital_cost_usd_total")) == (before[0] + 1, before[1])


def test_there_is_no_fifth_mode() -> None:
    with pytest.raises(ConfigError):
        prometheus(5)


@pytest.mark.parametrize(
    ("provider", "kind"),
    [("vital", "extractive"), ("llama.cpp", "embedded"), ("scripted", "scripted"), ("azure", "api"), ("", "unknown")],
)
def test_only_the_kind_of_a_provider_becomes_a_label(provider: str, kind: str) -> None:
    assert provider_kind(provider) == kind
