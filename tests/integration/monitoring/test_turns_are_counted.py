"""Scrape, run a turn whose times are known, scrape again: exact deltas, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seed_profile import TIERS_TOTAL
from vital_engine.flow import SEQUENTIAL, TIERS, Shape, run_virtual
from vital_engine.monitoring import prometheus
from vital_engine.nouns import (
    Call,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    LedgerRow,
    Quality,
    Support,
    ToolResults,
    Usage,
)
from vital_engine.nouns.answer import Answer, Timing, TurnEnded


def test_a_turn_with_barriers(build: Any, scrape: Any, question: Any) -> None:
    before = scrape()
    run_virtual(build(shape=TIERS).run(question, observers=[prometheus(2)]))
    after = scrape()
    delta = after - before
    for tier, seconds, work in (("tier1", 0.5, 1.0), ("tier2", 0.15, 0.3)):
        labels = {"tier": tier, "mode": "2"}
        assert delta("parallel_execution_duration_ms_count", **labels) == 1
        assert delta("parallel_execution_duration_ms_sum", **labels) == pytest.approx(seconds * 1000)
        assert delta("vital_tier_duration_seconds_sum", **labels) == pytest.approx(seconds)
        assert delta("vital_tier_wait_seconds_sum", **labels) == pytest.approx(seconds)
        assert after("parallel_speedup_ratio", **labels) == pytest.approx(work / seconds)
        assert after("parallel_execution_success_rate", **labels) == 1.0
        assert delta("parallel_execution_timeouts_total", **labels) == 0
    assert delta.changed("parallel_task_duration_ms_sum") == {
        ("2", "retrieve"): 500,
        ("2", "suggest"): 300,
        ("2", "recall"): 200,
        ("2", "reply"): 1500,
        ("2", "cite"): 150,
        ("2", "assess"): 100,
        ("2", "tally"): 50,
    }
    assert delta.changed("parallel_task_failures_total") == {}
    assert delta("vital_step_duration_seconds_sum", step="retrieve", outcome="done") == pytest.approx(0.5)
    assert after("vital_turns_in_flight") == before("vital_turns_in_flight")


def test_buckets_in_milliseconds_and_in_seconds_agree(build: Any, scrape: Any, question: Any) -> None:
    before = scrape()
    run_virtual(build(shape=TIERS).run(question, observers=[prometheus(4)]))
    delta = scrape() - before
    for bound, count in ((300, 0), (500, 1), (750, 1)):
        ms = {"task_name": "retrieve", "mode": "4", "le": f"{bound}.0"}
        assert delta("parallel_task_duration_ms_bucket", **ms) == count
        seconds = {"step": "retrieve", "outcome": "done", "le": str(bound / 1000)}
        assert delta("vital_step_duration_seconds_bucket", **seconds) == count
    assert delta("parallel_execution_duration_ms_bucket", tier="tier1", mode="4", le="300.0") == 0
    assert delta("parallel_execution_duration_ms_bucket", tier="tier1", mode="4", le="+Inf") == 1


@pytest.mark.parametrize(
    ("shape", "tier1", "tier2"), [(SEQUENTIAL, (1.0, 1.0), (0.3, 1.0)), (TIERS, (0.5, 2.0), (0.15, 2.0))]
)
def test_speedup_is_measured(
    build: Any, scrape: Any, question: Any, shape: Shape, tier1: tuple[float, float], tier2: tuple[float, float]
) -> None:
    before = scrape()
    run_virtual(build(shape=shape).run(question, observers=[prometheus(1)]))
    after = scrape()
    for tier, (seconds, ratio) in (("tier1", tier1), ("tier2", tier2)):
        labels = {"tier": tier, "mode": "1"}
        assert (after - before)("parallel_execution_duration_ms_sum", **labels) == pytest.approx(seconds * 1000)
        assert after("parallel_speedup_ratio", **labels) == pytest.approx(ratio)


def test_a_tier_that_reads_along_waits_only_after_the_last_token(build: Any, scrape: Any, question: Any) -> None:
    before = scrape()
    run_virtual(build().run(question, observers=[prometheus(3)]))
    delta = scrape() - before
    labels = {"tier": "tier2", "mode": "3"}
    assert delta("vital_tier_duration_seconds_sum", **labels) == pytest.approx(1.65)
    assert delta("vital_tier_wait_seconds_sum", **labels) == pytest.approx(0.15)
    assert delta("vital_step_duration_seconds_sum", step="cite", outcome="done") == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (RuntimeError("boom"), "error"),
        (asyncio.CancelledError(), "cancelled"),
        ("hang", "timeout"),
        ("deaf", "abandoned"),
    ],
)
def test_a_step_that_fails_is_counted_by_its_reason(
    build: Any, scrape: Any, question: Any, act: Any, reason: str
) -> None:
    before = scrape()
    run_virtual(build({"retrieve": act}, shape=TIERS).run(question, observers=[prometheus(2)]))
    after = scrape()
    delta = after - before
    assert delta.changed("parallel_task_failures_total") == {(reason, "2", "retrieve"): 1}
    assert delta.changed("vital_degraded_turns_total") == {(reason, "retrieve"): 1}
    assert delta("vital_step_duration_seconds_count", step="retrieve", outcome="degraded") == 1
    timeouts = {("2", "tier1"): 1.0} if reason in ("timeout", "abandoned") else {}
    assert delta.changed("parallel_execution_timeouts_total") == timeouts
    assert after("parallel_execution_success_rate", tier="tier1", mode="2") < 1.0
    assert after("parallel_execution_success_rate", tier="tier2", mode="2") == 1.0


def test_an_abandoned_step_is_shown_while_it_lives_and_its_late_result_counted(
    build: Any, scrape: Any, question: Any
) -> None:
    seen = []

    async def scenario() -> None:
        await build({"retrieve": "deaf"}, within=1.0).run(question, observers=[prometheus(2)])
        seen.append(scrape())
        await asyncio.sleep(10)

    before = scrape()
    run_virtual(scenario())
    after = scrape()
    assert seen[0]("vital_abandoned_steps") == before("vital_abandoned_steps") + 1
    assert after("vital_abandoned_steps") == before("vital_abandoned_steps")
    assert (after - before).changed("vital_late_results_total") == {("retrieve",): 1}


def test_what_is_known_is_no_work(build: Any, scrape: Any, question: Any) -> None:
    before = scrape()
    run_virtual(build(shape=TIERS).run(question, Evidence(), observers=[prometheus(2)]))
    delta = scrape() - before
    assert delta.changed("vital_steps_skipped_total") == {("known", "retrieve"): 1}
    assert delta("parallel_task_duration_ms_count", task_name="retrieve", mode="2") == 0
    assert delta("parallel_execution_duration_ms_sum", tier="tier1", mode="2") == pytest.approx(300)


def test_a_tier_that_never_ran_is_no_execution(build: Any, scrape: Any, question: Any) -> None:
    before = scrape()
    run_virtual(build({"reply": RuntimeError("down")}, shape=TIERS).run(question, observers=[prometheus(2)]))
    delta = scrape() - before
    assert delta("parallel_execution_duration_ms_count", tier="tier1", mode="2") == 1
    assert delta("parallel_execution_duration_ms_count", tier="tier2", mode="2") == 0
    failures = delta.changed("parallel_task_failures_total")
    assert failures[("error", "2", "reply")] == 1 and failures[("skipped", "2", "tally")] == 1


def test_a_cancelled_turn_comes_back_down_and_blames_no_tier(build: Any, scrape: Any, question: Any) -> None:
    seen = []

    async def scenario() -> None:
        turn = asyncio.get_running_loop().create_task(build().run(question, observers=[prometheus(1)]))
        await asyncio.sleep(1.0)  # tier 1 is done, the model speaks
        seen.append(scrape())
        turn.cancel()
        await asyncio.wait({turn})

    before = scrape()
    run_virtual(scenario())
    after = scrape()
    delta = after - before
    assert seen[0]("vital_turns_in_flight") == before("vital_turns_in_flight") + 1
    assert after("vital_turns_in_flight") == before("vital_turns_in_flight")
    assert delta.changed("vital_turns_total") == {("1", "cancelled"): 1}
    assert delta("vital_turn_duration_seconds_sum", mode="1", status="cancelled") == pytest.approx(1.0)
    assert delta("parallel_execution_duration_ms_count", tier="tier1", mode="1") == 1
    assert delta("parallel_execution_duration_ms_count", tier="tier2", mode="1") == 0


def test_turns_at_once_do_not_mix(build: Any, scrape: Any, question: Any) -> None:
    async def scenario() -> None:
        flow = build(shape=TIERS)
        await asyncio.gather(*(flow.run(question, observers=[prometheus(mode)]) for mode in (1, 2, 3, 4, 4)))

    before = scrape()
    run_virtual(scenario())
    delta = scrape() - before
    counts = delta.changed("parallel_execution_duration_ms_count")
    assert {mode: n for (mode, tier), n in counts.items() if tier == "tier1"} == {"1": 1, "2": 1, "3": 1, "4": 2}


def test_one_observer_for_two_turns_is_refused_and_breaks_neither(build: Any, scrape: Any, question: Any) -> None:
    async def scenario() -> list[Any]:
        flow, shared = build(), prometheus(2)
        return await asyncio.gather(*(flow.run(question, observers=[shared]) for _ in range(2)))

    before = scrape()
    runs = run_virtual(scenario())
    assert [run.degraded for run in runs] == [{}, {}]
    assert (scrape() - before)("vital_broken_observers_total") >= 1


def _answer(question: Any, **facts: Any) -> Answer:
    paid = LedgerRow(Call("c1", "reply", "m", "openai", Usage(900, 120, 600, 20)), facts.pop("usd"))
    guessed = LedgerRow(Call("c2", "judge", "m", "openai", Usage(50, 5, estimated=True)), None)
    nouns: dict[str, Any] = {
        "run_id": "run-1",
        "question": question,
        "mode": 2,
        "profile": "dataflow",
        "status": "complete",
        "text": "",
        "brief": None,
        "evidence": Evidence(),
        "tool_results": ToolResults(),
        "consent": Consent(),
        "draft": Draft(provider="openai"),
        "citations": Citations(),
        "support": Support(),
        "cost": Cost((paid, guessed)),
        "quality": Quality(),
        "outcomes": {},
        "degraded": {},
        "warnings": (),
        "timing": Timing(first_token=0.65, total=TIERS_TOTAL),
        "speedup": None,
        "critical_path": (),
    }
    return Answer(**{**nouns, **facts})


def test_the_end_of_a_turn_gives_its_time_tokens_and_cost(scrape: Any, question: Any) -> None:
    from decimal import Decimal

    before = scrape()
    watch = prometheus(2)
    watch(TurnEnded(_answer(question, usd=Decimal("0.0125"))))
    delta = scrape() - before
    assert delta.changed("vital_turns_total") == {("2", "complete"): 1}
    assert delta("vital_turn_duration_seconds_sum", mode="2", status="complete") == pytest.approx(TIERS_TOTAL)
    assert delta("vital_time_to_first_token_seconds_sum", mode="2", provider_kind="api") == pytest.approx(0.65)
    assert delta.changed("vital_tokens_total") == {
        ("input",): 300,
        ("cached",): 600,
        ("output",): 100,
        ("reasoning",): 20,
        ("estimated_input",): 50,
        ("estimated_output",): 5,
    }
    assert delta("vital_cost_usd_total") == pytest.approx(0.0125)
    assert delta("vital_unpriced_turns_total") == 1


def test_a_turn_is_counted_once_and_a_cancelled_one_still_pays(build: Any, scrape: Any, question: Any) -> None:
    from decimal import Decimal

    watch = prometheus(2)

    async def scenario() -> None:
        turn = asyncio.get_running_loop().create_task(build().run(question, observers=[watch]))
        await asyncio.sleep(1.0)
        turn.cancel()
        await asyncio.wait({turn})
        await asyncio.sleep(0)
        watch(TurnEnded(_answer(question, status="partial", usd=Decimal("0.5"))))

    before = scrape()
    run_virtual(scenario())
    delta = scrape() - before
    assert delta.changed("vital_turns_total") == {("2", "cancelled"): 1}
    assert delta("vital_cost_usd_total") == pytest.approx(0.5)


def test_the_loops_of_others_are_not_needed(build: Any, question: Any) -> None:
    """Events that are told again, outside any loop, as a replay does."""
    events: list[Any] = []
    run_virtual(build().run(question, observers=[events.append]))
    watch = prometheus(2)
    for event in events:
        watch(event)


def test_what_it_does_not_know_it_ignores() -> None:
    prometheus(2)("an event of a later version")
