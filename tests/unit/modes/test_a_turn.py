"""A whole turn in mode 2, in virtual time, on the scripted services."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest

from seed_profile import SEED, SEQUENTIAL_TOTAL, TIERS_TOTAL, TOTALS
from vital_engine.errors import ConfigError, InvalidQuestion, ModelUnavailable, StreamBroken
from vital_engine.flow import Degraded, Done, Skipped, abandoned, run_virtual
from vital_engine.modes import PROFILES, Mode2AutomaticWorkflow, TurnSettings
from vital_engine.nouns import NOTHING_FOUND, Evidence, Limits, Question
from vital_engine.testing import ScriptedServices, scripted

QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
TIER1, TIER2 = ("retrieve", "suggest", "recall"), ("cite", "assess", "tally")
BAD: dict[str, Any] = {
    "hang": "hang",
    "deaf": "deaf",
    "raises": RuntimeError("secret detail"),
    "raises later": (0.1, RuntimeError("secret detail")),
    "wrong type": (0.1, 42),
    "cancelled": asyncio.CancelledError(),
}
REASON = {
    "hang": "timeout",
    "deaf": "abandoned",
    "raises": "error",
    "raises later": "error",
    "wrong type": "wrong_type",
    "cancelled": "cancelled",
}


def answer_of(services: ScriptedServices, **settings: Any) -> Any:
    workflow = Mode2AutomaticWorkflow(services, **settings)
    return run_virtual(workflow.execute(QUESTION))


@pytest.mark.parametrize(("profile", "seconds"), TOTALS.items())
def test_the_seed_profile_takes_exactly_as_long_as_its_arithmetic_says(profile: str, seconds: float) -> None:
    answer = answer_of(scripted(**SEED), profile=profile)
    assert answer.timing.total == seconds
    assert answer.status == "complete"
    assert answer.degraded == {}
    assert len(answer.citations) == 8


def test_the_first_and_last_token_are_measured_from_the_question() -> None:
    answer = answer_of(scripted(**SEED, prefill=0.3), profile="tiers")
    assert answer.timing.wait == 0.5
    assert answer.timing.first_token == 0.81
    assert answer.timing.last_token == 2.0


def test_speedup_is_work_over_waiting_and_one_when_sequential() -> None:
    assert answer_of(scripted(**SEED), profile="sequential").speedup == 1.0
    assert answer_of(scripted(**SEED), profile="tiers").speedup == pytest.approx(SEQUENTIAL_TOTAL / TIERS_TOTAL)
    assert answer_of(scripted(), profile="tiers").speedup is None


@pytest.mark.parametrize("tier", [1, 2])
def test_a_tier_that_is_switched_off_runs_one_after_another_with_the_same_answer(tier: int) -> None:
    on = answer_of(scripted(**SEED), profile="tiers")
    off = answer_of(scripted(**SEED), profile="tiers", config={f"enable_parallel_tier{tier}": False})
    assert off.timing.total == (2.65 if tier == 1 else 2.3)
    assert (off.text, off.citations, off.cost.usd) == (on.text, on.citations, on.cost.usd)


def test_the_three_inputs_start_before_any_of_them_is_released() -> None:
    services = scripted(**SEED)
    answer_of(services)
    starts = {c.port: (c.start, c.end) for c in services.calls if c.port in TIER1}
    assert starts == {"retrieve": (0.0, 0.5), "suggest": (0.0, 0.3), "recall": (0.0, 0.2)}


def test_sources_tool_output_and_the_past_turn_are_in_the_prompt() -> None:
    services = scripted(**SEED)
    answer_of(services)
    (prompt,) = services.prompts
    assert "Mean HbA1c fell by 1.2 percentage points" in prompt
    assert "the scripted tool says 42" in prompt
    assert "We spoke of the scripted drug." in prompt
    assert QUESTION.text in prompt
    assert [s.kind for s in prompt.segments] == [
        "instructions",
        "conversation",
        "tools",
        "evidence",
        "notes",
        "question",
    ]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("step", [*TIER1, *TIER2])
def test_a_step_that_fails_costs_only_itself_and_is_named(step: str, bad: str, profile: str) -> None:
    services = scripted(**{**SEED, step: BAD[bad]})
    answer = answer_of(services, profile=profile)
    assert answer.status == "complete"
    assert answer.degraded == {step: REASON[bad]}
    assert isinstance(answer.outcomes[step], Degraded)
    others = [o for name, o in answer.outcomes.items() if name != step]
    assert all(isinstance(o, Done) for o in others)
    warning = " ".join(answer.warnings)
    assert "secret" not in warning
    assert "could not be" in warning
    if step in TIER1:
        assert "fail" in services.prompts[0] or "could not be recalled" in services.prompts[0]
    began = answer.outcomes[step].began if step in TIER1 or profile == "sequential" else answer.timing.last_token
    assert answer.outcomes[step].ended - began <= (5.0 if step in TIER1 else 2.0) + 0.0501


def test_a_service_that_blocks_its_thread_neither_holds_its_siblings_nor_its_own_limit() -> None:
    services = scripted(**{**SEED, "retrieve": "block"})
    answer = answer_of(services, parallel_timeout_ms=350)
    assert answer.degraded == {"retrieve": "timeout"}
    assert answer.outcomes["retrieve"].seconds == pytest.approx(0.35, abs=0.1)
    assert answer.outcomes["suggest"].seconds == pytest.approx(0.3, abs=0.1)
    assert isinstance(answer.outcomes["suggest"], Done)


@pytest.mark.parametrize("tier", [TIER1, TIER2])
@pytest.mark.parametrize("broken", list(itertools.product([False, True], repeat=3)))
def test_every_combination_of_failures_completes(tier: tuple[str, ...], broken: tuple[bool, ...]) -> None:
    failing = {name: ValueError() for name, is_broken in zip(tier, broken, strict=True) if is_broken}
    answer = answer_of(scripted(**{**SEED, **failing}))
    assert answer.status == "complete"
    assert set(answer.degraded) == set(failing)
    assert len(answer.warnings) >= len(failing)


def test_all_six_fail_and_the_model_works() -> None:
    failing: dict[str, Any] = dict.fromkeys([*TIER1, *TIER2], ValueError())
    answer = answer_of(scripted(reply=1.5, **failing))
    assert answer.status == "complete"
    assert answer.text
    assert set(answer.degraded) == {*TIER1, *TIER2}
    assert answer.quality.score is None or answer.quality.score < 0.5
    assert answer.cost.usd is None


def test_nothing_found_and_not_searched_differ_in_the_answer_and_in_the_prompt() -> None:
    nothing, broken = scripted(retrieve=(0.1, Evidence())), scripted(retrieve=OSError())
    found_nothing, not_searched = answer_of(nothing), answer_of(broken)
    assert found_nothing.degraded == {}
    assert NOTHING_FOUND in found_nothing.warnings
    assert NOTHING_FOUND in nothing.prompts[0]
    assert not_searched.degraded == {"retrieve": "error"}
    assert NOTHING_FOUND not in not_searched.warnings
    assert NOTHING_FOUND not in broken.prompts[0]
    assert "nobody could look" in broken.prompts[0]


@pytest.mark.parametrize("script", [ModelUnavailable("down"), (0.5, ModelUnavailable("down"))])
def test_a_model_that_fails_gives_a_typed_error_and_nothing_is_saved_as_an_answer(script: Any) -> None:
    services = scripted(**{**SEED, "reply": script})
    answer = answer_of(services)
    assert answer.status == "failed"
    assert answer.code == "model.unavailable"
    assert answer.text == ""
    assert [k.status for k in services.kept] == ["failed"]
    assert answer.cost.usd is None
    assert answer.cost.rows[0].call.status == "failed"
    with pytest.raises(ModelUnavailable):
        answer.raise_for_status()


def test_a_stream_that_breaks_is_a_partial_answer_with_its_cost_and_its_error() -> None:
    services = scripted(**{**SEED, "reply": (1.0, "It fell [1]. And then", StreamBroken("cut"))})
    answer = answer_of(services)
    assert answer.status == "partial"
    assert answer.text == "It fell [1]. And then"
    assert answer.code == "model.stream_broken"
    assert answer.degraded == {"reply": "error"}
    assert len(answer.citations) == 1
    row = answer.cost.rows[0]
    assert row.call.status == "partial"
    assert row.call.usage is not None
    assert row.call.usage.estimated
    assert row.usd is not None
    assert row.usd > 0


def test_cost_is_the_reported_usage_at_the_models_price() -> None:
    answer = answer_of(scripted(**SEED, tokens=120))
    (row,) = answer.cost.rows
    assert row.call.usage is not None
    assert row.call.usage.output == 120
    assert answer.cost.usd == row.call.usage.input * Decimal("0.000001") + 120 * Decimal("0.000004")


def test_what_is_switched_off_is_skipped_and_no_degradation() -> None:
    services = scripted(**SEED)
    answer = answer_of(services, enable_rag=False, enable_tools=False)
    assert isinstance(answer.outcomes["retrieve"], Skipped)
    assert answer.outcomes["retrieve"].known
    assert answer.degraded == {}
    assert {c.port for c in services.calls}.isdisjoint({"retrieve", "suggest", "invoke"})
    assert NOTHING_FOUND not in answer.warnings


def test_settings_are_refused_by_name_of_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="enable_parallel_tier1"):
        Mode2AutomaticWorkflow(scripted(), config={"enable_paralel_tier1": False})
    for wrong in ({"parallel_timeout_ms": "5000"}, {"parallel_timeout_ms": 0}, {"enable_rag": 1}, {"profile": "fast"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Mode2AutomaticWorkflow(scripted(), config=wrong)


def test_a_request_may_change_a_setting_for_itself_alone() -> None:
    workflow = Mode2AutomaticWorkflow(scripted(**SEED), profile="tiers")
    assert run_virtual(workflow.execute(QUESTION, profile="sequential")).timing.total == SEQUENTIAL_TOTAL
    assert run_virtual(workflow.execute(QUESTION)).timing.total == TIERS_TOTAL
    workflow.settings = TurnSettings(profile="sequential")
    assert run_virtual(workflow.execute(QUESTION)).timing.total == SEQUENTIAL_TOTAL


@pytest.mark.parametrize(
    "question",
    [
        Question(text="  ", tenant="t", user="u"),
        Question(text="x", tenant="", user="u"),
        Question(text="x", tenant="t", user=" "),
        Question(text="x" * 20_001, tenant="t", user="u"),
        Question(text="x", tenant="t", user="u", limits=Limits(seconds=0)),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(question: Question) -> None:
    with pytest.raises(InvalidQuestion):
        run_virtual(Mode2AutomaticWorkflow(scripted()).execute(question))


def test_the_turns_deadline_holds_and_what_was_said_by_then_is_kept() -> None:
    question = Question(text="x", tenant="t", user="u", limits=Limits(seconds=1.2))
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(**SEED)).execute(question))
    assert answer.timing.total == 1.2
    assert answer.status == "partial"
    assert answer.degraded["reply"] == "timeout"
    assert answer.text


def test_an_answer_that_cannot_be_saved_is_delivered_all_the_same() -> None:
    answer = answer_of(scripted(**SEED, save=OSError("disk")))
    assert answer.status == "complete"
    assert answer.degraded == {"save": "error"}
    assert "could not be saved" in answer.warnings[-1]


def test_the_receipt_is_plain_json_and_holds_every_part() -> None:
    import json

    receipt = json.loads(json.dumps(answer_of(scripted(**{**SEED, "recall": OSError("secret")})).receipt()))
    assert receipt["steps"]["retrieve"]["seconds"] == 0.5
    assert receipt["degraded"] == {"recall": "error"}
    assert receipt["critical_path"][-2:] == ["reply", "cite"]
    assert receipt["citations"][0]["quote"]
    assert float(receipt["cost"]["usd"]) > 0
    assert receipt["approvals"][0]["by"] == "policy"
    assert receipt["tool_results"][0]["status"] == "done"
    assert "secret" not in json.dumps(receipt)


def test_nothing_is_pending_after_a_thousand_bad_turns() -> None:
    async def many() -> int:
        bad = list(BAD.values())
        for i in range(1000):
            step = (*TIER1, *TIER2)[i % 6]
            services = scripted(tokens=2, sentences=1, **{step: bad[i % len(bad)]})
            workflow = Mode2AutomaticWorkflow(services, parallel_timeout_ms=10)
            await workflow.execute(QUESTION, post_generation_timeout_ms=10)
        left = asyncio.all_tasks() - {asyncio.current_task()} - abandoned
        return len(left)

    assert run_virtual(many()) == 0


@pytest.mark.parametrize(
    ("script", "share"),
    [
        ({}, 1.0),
        ({"recall": RuntimeError("down")}, 5 / 6),
        ({"retrieve": RuntimeError("down"), "tally": RuntimeError("down")}, 4 / 6),
        ({"invoke": RuntimeError("down"), "save": RuntimeError("down"), "register": RuntimeError("down")}, 1.0),
    ],
    ids=str,
)
def test_quality_counts_which_of_the_steps_that_run_beside_others_did_their_part(script: Any, share: float) -> None:
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(**script), watchers=()).execute(QUESTION))
    assert answer.quality.parts["steps"] == pytest.approx(share)
