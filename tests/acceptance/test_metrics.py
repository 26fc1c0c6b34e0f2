"""The six metrics, scraped before and after turns whose arithmetic is known."""

from __future__ import annotations

from typing import Any

import pytest

from seed_profile import SEED
from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
    Question,
)
from vital_engine.monitoring import registry, render, track_parallel_task_failure
from vital_engine.testing import run_virtual, scripted

QUESTION = Question(text="Does the drug lower HbA1c?", tenant="tenant-seven", user="user-seven", conversation="c-seven")
MODES: dict[str, type[ParallelBaseWorkflow]] = {
    "1": Mode1ManualWorkflow,
    "2": Mode2AutomaticWorkflow,
    "3": Mode3ChatManualWorkflow,
    "4": Mode4ChatAutomaticWorkflow,
}
TYPES = {
    "parallel_execution_duration_ms": ("histogram", {"tier", "mode"}),
    "parallel_task_failures": ("counter", {"task_name", "failure_type", "mode"}),
    "parallel_speedup_ratio": ("gauge", {"tier", "mode"}),
    "parallel_task_duration_ms": ("histogram", {"task_name", "mode"}),
    "parallel_execution_timeouts": ("counter", {"tier", "mode"}),
    "parallel_execution_success_rate": ("gauge", {"tier", "mode"}),
}


def value(name: str, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    return 0.0 if found is None else found


def turn(mode: str, services: Any, **settings: Any) -> Any:
    workflow = MODES[mode](services, profile="tiers", **settings)
    answer = run_virtual(workflow.execute(QUESTION))
    if answer.status == "paused":
        answer = run_virtual(workflow.resume(answer.run_id, {a.id: "approve" for a in answer.approvals}))
    return answer


@pytest.mark.parametrize("mode", MODES)
def test_a_turn_that_goes_well(mode: str) -> None:
    def seen() -> dict[str, float]:
        tiers = {
            f"{tier} {part}": value(f"parallel_execution_duration_ms_{part}", tier=tier, mode=mode)
            for tier in ("tier1", "tier2")
            for part in ("count", "sum")
        }
        steps = {
            f"{step} {part}": value(f"parallel_task_duration_ms_{part}", task_name=step, mode=mode)
            for step in SEED
            for part in ("count", "sum")
        }
        return tiers | steps

    before = seen()
    assert turn(mode, scripted(**SEED)).status == "complete"
    delta = {key: round(after - before[key], 6) for key, after in seen().items()}
    assert (delta["tier1 count"], delta["tier1 sum"]) == (1, 500)
    assert (delta["tier2 count"], delta["tier2 sum"]) == (1, 150)
    assert {step: delta[f"{step} sum"] for step in SEED} == {step: round(s * 1000, 6) for step, s in SEED.items()}
    assert {delta[f"{step} count"] for step in SEED} == {1}
    assert value("parallel_speedup_ratio", tier="tier1", mode=mode) == pytest.approx(1.0 / 0.5)
    assert value("parallel_speedup_ratio", tier="tier2", mode=mode) == pytest.approx(0.3 / 0.15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("step", "script", "reason", "timeouts"),
    [
        ("retrieve", "hang", "timeout", 1),
        ("recall", "deaf", "abandoned", 1),
        ("suggest", RuntimeError(), "error", 0),
        ("cite", (0.1, object()), "wrong_type", 0),
    ],
)
def test_a_step_that_fails_is_counted_once_by_its_reason(
    mode: str, step: str, script: Any, reason: str, timeouts: int
) -> None:
    tier = "tier2" if step == "cite" else "tier1"

    def failures() -> float:
        return value("parallel_task_failures_total", task_name=step, failure_type=reason, mode=mode)

    def late() -> float:
        return value("parallel_execution_timeouts_total", tier=tier, mode=mode)

    before = failures(), late()
    turn(mode, scripted(**{**SEED, step: script}), parallel_timeout_ms=800)
    assert (failures() - before[0], late() - before[1]) == (1, timeouts)
    assert 0 <= value("parallel_execution_success_rate", tier=tier, mode=mode) < 1


def test_names_types_and_labels() -> None:
    turn("2", scripted(**{**SEED, "recall": RuntimeError()}))
    families = {family.name: family for family in registry.collect()}
    for name, (kind, labels) in TYPES.items():
        assert families[name].type == kind
        assert {label for s in families[name].samples for label in s.labels} - {"le"} == labels


def test_nobody_is_named() -> None:
    answer = turn("4", scripted(**SEED))
    text = render()[0].decode()
    for private in ("tenant-seven", "user-seven", "c-seven", answer.run_id, "HbA1c"):
        assert private not in text


def test_tracking_never_raises_and_says_that_it_lost_something() -> None:
    lost = value("vital_tracking_errors_total", function="track_parallel_task_failure")
    track_parallel_task_failure("retrieve", "no such reason", 2)
    track_parallel_task_failure("retrieve", "error", 99)
    assert value("vital_tracking_errors_total", function="track_parallel_task_failure") == lost + 2
