"""The parallel workflow, by the twelve names that its first plan gave its tests. Public names only."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from seed_profile import SEED, TIERS_TOTAL
from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
    Question,
)
from vital_engine.monitoring import registry
from vital_engine.testing import run_virtual, scripted

QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
TIER1, TIER2 = ("retrieve", "suggest", "recall"), ("cite", "assess", "tally")
MODES = {1: Mode1ManualWorkflow, 2: Mode2AutomaticWorkflow, 3: Mode3ChatManualWorkflow, 4: Mode4ChatAutomaticWorkflow}


def answered(services: Any, mode: int = 2, **settings: Any) -> Any:
    """The whole turn; in the modes that ask a person, each call is approved at once."""
    workflow: ParallelBaseWorkflow = MODES[mode](services, **{"profile": "tiers", **settings})
    answer = run_virtual(workflow.execute(QUESTION))
    if answer.status == "paused":
        answer = run_virtual(workflow.resume(answer.run_id, {a.id: "approve" for a in answer.approvals}))
    return answer


def steps(services: Any, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """When each port was called: from the start of its first call to the end of its last."""
    calls = [c for c in services.calls if c.port in names]
    return {
        name: (min(c.start for c in calls if c.port == name), max(c.end for c in calls if c.port == name))
        for name in names
        if any(c.port == name for c in calls)
    }


@pytest.mark.parametrize("mode", MODES)
def test_parallel_retrieval_all_tasks_succeed(mode: int) -> None:
    services = scripted(**SEED)
    answer = answered(services, mode)
    assert answer.status == "complete"
    assert answer.degraded == {}
    assert steps(services, TIER1) == {"retrieve": (0.0, 0.5), "suggest": (0.0, 0.3), "recall": (0.0, 0.2)}
    (prompt,) = services.prompts
    for part in ("Mean HbA1c fell by 1.2", "the scripted tool says 42", "We spoke of the scripted drug."):
        assert part in prompt
    assert answer.timing.total == TIERS_TOTAL


def test_parallel_retrieval_rag_disabled() -> None:
    services = scripted(**SEED)
    answer = answered(services, enable_rag=False)
    assert "retrieve" not in steps(services, TIER1)
    assert set(steps(services, TIER1)) == {"suggest", "recall"}
    assert answer.evidence.passages == ()
    assert answer.degraded == {}
    assert answer.timing.wait == 0.3


def test_parallel_retrieval_tools_disabled() -> None:
    services = scripted(**SEED)
    answer = answered(services, enable_tools=False)
    assert set(steps(services, (*TIER1, "invoke"))) == {"retrieve", "recall"}
    assert answer.tool_results.results == ()
    assert answer.degraded == {}
    assert "the scripted tool says 42" not in services.prompts[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("failing", TIER1)
def test_parallel_retrieval_partial_failure(failing: str, mode: int) -> None:
    services = scripted(**{**SEED, failing: (0.1, RuntimeError("secret"))})
    answer = answered(services, mode)
    assert answer.status == "complete"
    assert answer.degraded == {failing: "error"}
    assert answer.outcomes[failing].seconds == 0.1
    assert all(type(answer.outcomes[name]).__name__ == "Done" for name in TIER1 if name != failing)
    assert any("could not be" in warning for warning in answer.warnings)
    assert "secret" not in str(answer.receipt())


def test_parallel_retrieval_all_tasks_fail() -> None:
    services = scripted(**{**SEED, **dict.fromkeys(TIER1, ValueError())})
    answer = answered(services)
    assert answer.status == "complete"
    assert set(answer.degraded) == set(TIER1)
    assert len(answer.warnings) >= 3
    assert "nobody could look" in services.prompts[0]
    healthy = answered(scripted(**SEED))
    assert answer.quality.score is None or answer.quality.score < healthy.quality.score


@pytest.mark.parametrize("stuck", ["hang", "deaf"])
def test_parallel_retrieval_timeout(stuck: str) -> None:
    services = scripted(**{**SEED, "retrieve": stuck})
    answer = answered(services, parallel_timeout_ms=400)
    assert answer.status == "complete"
    assert answer.degraded == {"retrieve": "timeout" if stuck == "hang" else "abandoned"}
    assert 0.4 <= answer.timing.wait <= 0.46
    assert len(answer.tool_results.results) == 1
    assert "We spoke of the scripted drug." in services.prompts[0]


@pytest.mark.parametrize("mode", MODES)
def test_parallel_post_generation_all_tasks_succeed(mode: int) -> None:
    services = scripted(**SEED)
    answer = answered(services, mode)
    began = {name: answer.outcomes[name].began for name in TIER2}
    assert began == dict.fromkeys(TIER2, 2.0)
    assert len(answer.citations) == 8
    assert answer.quality.score is not None
    assert answer.cost.usd > 0
    assert answer.timing.total == TIERS_TOTAL


@pytest.mark.parametrize("failing", TIER2)
def test_parallel_post_generation_partial_failure(failing: str) -> None:
    answer = answered(scripted(**{**SEED, failing: OSError()}))
    assert answer.status == "complete"
    assert answer.text
    assert answer.degraded == {failing: "error"}
    assert {
        "cite": len(answer.citations) > 0,
        "assess": answer.support.score is not None,
        "tally": answer.cost.usd is not None,
    } == {name: name != failing for name in TIER2}


def test_parallel_disabled_tier1() -> None:
    on, off = scripted(**SEED), scripted(**SEED)
    before, after = answered(on), answered(off, enable_parallel_tier1=False)
    assert (before.timing.wait, after.timing.wait) == (0.5, 1.0)
    assert (before.timing.total, after.timing.total) == (TIERS_TOTAL, 2.65)
    assert (before.text, before.citations, before.cost.usd) == (after.text, after.citations, after.cost.usd)
    spans = sorted(steps(off, TIER1).values())
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_parallel_disabled_tier2() -> None:
    before, after = answered(scripted(**SEED)), answered(scripted(**SEED), config={"enable_parallel_tier2": False})
    assert (before.timing.total, after.timing.total) == (TIERS_TOTAL, 2.3)
    assert (before.text, before.citations, before.cost.usd) == (after.text, after.citations, after.cost.usd)


def test_calculate_speedup() -> None:
    speedup = ParallelBaseWorkflow._calculate_speedup
    assert speedup(0.5, [0.5, 0.3, 0.2]) == 2.0
    assert speedup(1.0, [0.5, 0.3, 0.2]) == 1.0
    assert speedup(0.0, []) is None
    assert answered(scripted(**SEED), profile="sequential").speedup == 1.0
    assert answered(scripted(**SEED)).tiers["tier1"] == {"seconds": 0.5, "speedup": 2.0}
    assert answered(scripted(**SEED)).tiers["tier2"] == {"seconds": 0.15, "speedup": 2.0}


@pytest.mark.parametrize("mode", MODES)
def test_monitoring_metrics_tracked(mode: int) -> None:
    def scraped() -> dict[tuple[str, ...], float]:
        samples = [s for family in registry.collect() for s in family.samples if s.labels.get("mode") == str(mode)]
        return {(s.name, *sorted(v for k, v in s.labels.items() if k != "mode")): s.value for s in samples}

    before = scraped()
    answered(scripted(**{**SEED, "recall": RuntimeError(), "retrieve": "hang"}), mode, parallel_timeout_ms=400)
    after = scraped()

    def grew(*key: str) -> float:
        return round(after[key] - before.get(key, 0.0), 9)

    assert grew("parallel_execution_duration_ms_count", "tier1") == 1
    assert grew("parallel_execution_duration_ms_sum", "tier1") == 400
    assert grew("parallel_execution_duration_ms_count", "tier2") == 1
    assert grew("parallel_execution_duration_ms_sum", "tier2") == 150
    assert grew("parallel_task_failures_total", "error", "recall") == 1
    assert grew("parallel_task_failures_total", "retrieve", "timeout") == 1
    assert grew("parallel_execution_timeouts_total", "tier1") == 1
    assert grew("parallel_execution_timeouts_total", "tier2") == 0
    assert grew("parallel_task_duration_ms_count", "suggest") == 1
    assert grew("parallel_task_duration_ms_sum", "suggest") == 300
    assert after["parallel_speedup_ratio", "tier1"] == pytest.approx(0.7 / 0.4)
    assert after["parallel_speedup_ratio", "tier2"] == 2.0
    assert 0.0 <= after["parallel_execution_success_rate", "tier1"] < 1.0
    paused = 1 if mode in {1, 3} else 0
    assert grew("vital_turns_total", "complete") == 1
    assert after.get(("vital_turns_total", "paused"), 0.0) - before.get(("vital_turns_total", "paused"), 0.0) == paused
