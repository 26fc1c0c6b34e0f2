"""The six metrics, scraped before and after a known turn of a real workflow."""

from __future__ import annotations

from typing import Any

import pytest

from seed_profile import SEED, SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine.modes import Mode2AutomaticWorkflow, Profile
from vital_engine.testing import run_virtual, scripted


@pytest.mark.parametrize(("profile", "total"), [("sequential", SEQUENTIAL_TOTAL), ("tiers", TIERS_TOTAL)])
def test_a_turn_of_the_seed_profile(scrape: Any, question: Any, profile: Profile, total: float) -> None:
    before = scrape()
    run_virtual(Mode2AutomaticWorkflow(scripted(**SEED), profile=profile).execute(question))
    after = scrape()
    delta = after - before
    for tier, work, wall in (("tier1", 1.0, 0.5), ("tier2", 0.3, 0.15)):
        labels = {"tier": tier, "mode": "2"}
        assert delta("parallel_execution_duration_ms_count", **labels) == 1
        assert delta("parallel_execution_timeouts_total", **labels) == 0
        assert after("parallel_execution_success_rate", **labels) > 0
        ratio = work / wall if profile == "tiers" else 1.0
        assert after("parallel_speedup_ratio", **labels) == pytest.approx(ratio)
    assert delta("parallel_task_duration_ms_sum", task_name="reply", mode="2") == pytest.approx(1500)
    assert delta.changed("parallel_task_failures_total") == {}
    assert delta("vital_turn_duration_seconds_sum", mode="2", status="complete") == pytest.approx(total)
    assert delta.changed("vital_turns_total") == {("2", "complete"): 1}


def test_a_hung_retrieval_is_counted_where_it_belongs(scrape: Any, question: Any) -> None:
    before = scrape()
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(**{**SEED, "retrieve": "hang"})).execute(question))
    delta = scrape() - before
    assert answer.degraded == {"retrieve": "timeout"}
    assert delta.changed("parallel_task_failures_total") == {("timeout", "2", "retrieve"): 1}
    assert delta.changed("parallel_execution_timeouts_total") == {("2", "tier1"): 1}
