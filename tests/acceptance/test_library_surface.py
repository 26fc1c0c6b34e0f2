"""The library as its contract describes it, by somebody who has read nothing else: public names only."""

from __future__ import annotations

import asyncio
import itertools
import json
from decimal import Decimal
from typing import Any

import pytest

from seed_profile import SEED, SEQUENTIAL_TOTAL, TIERS_TOTAL, TOTALS
from vital_engine import (
    Answer,
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
    Question,
    Services,
)
from vital_engine.errors import ConfigError
from vital_engine.testing import run_virtual, scripted

QUESTION = Question(text="Does the drug lower HbA1c?", tenant="t1", user="u1")
TIER1, TIER2 = ("retrieve", "suggest", "recall"), ("assess", "cite", "tally")
REASONS = {"timeout", "error", "cancelled", "wrong_type", "abandoned", "skipped"}
MODES = (Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow)


def answered(services: Services, **settings: Any) -> Answer:
    answer: Answer = run_virtual(Mode2AutomaticWorkflow(services, **settings).execute(QUESTION))
    return answer


def bound(profile: str, of: dict[str, float], sentences: int = 8) -> float:
    """The arithmetic of a profile: what the turn takes if nothing but the scripted work takes time."""
    first, last = [of[step] for step in TIER1], [of[step] for step in TIER2]
    if profile == "sequential":
        return sum(first) + of["reply"] + sum(last)
    if profile == "tiers":
        return max(first) + of["reply"] + max(last)
    return max(first) + of["reply"] + max(last) / sentences


# -- exact times
DURATIONS: list[dict[str, Any]] = [
    SEED,
    {"retrieve": 0.1, "suggest": 0.7, "recall": 0.4, "reply": 2.0, "assess": 0.3, "cite": 0.2, "tally": 0.0},
    {"retrieve": 0.0, "suggest": 0.0, "recall": 0.9, "reply": 0.8, "assess": 0.02, "cite": 0.04, "tally": 0.4},
    {"retrieve": 1.25, "suggest": 1.25, "recall": 1.25, "reply": 4.0, "assess": 0.5, "cite": 0.5, "tally": 0.5},
]


@pytest.mark.parametrize("durations", DURATIONS)
@pytest.mark.parametrize("profile", ["sequential", "tiers", "dataflow"])
def test_a_turn_takes_exactly_what_the_arithmetic_says(profile: str, durations: dict[str, Any]) -> None:
    answer = answered(scripted(**durations), profile=profile)
    assert answer.status == "complete"
    assert answer.timing.total == round(bound(profile, durations), 9)


@pytest.mark.parametrize(("profile", "seconds"), TOTALS.items())
def test_the_seed(profile: str, seconds: float) -> None:
    answer = answered(scripted(**SEED), profile=profile)
    assert round(answer.timing.total, 9) == seconds


def test_the_default_profile_is_dataflow() -> None:
    assert answered(scripted(**SEED)).timing.total == answered(scripted(**SEED), profile="dataflow").timing.total


@pytest.mark.parametrize(("tokens", "sentences", "prefill"), [(120, 8, 0.0), (60, 5, 0.3), (1, 1, 0.0), (40, 20, 0.1)])
def test_prefill_tokens_and_sentences(tokens: int, sentences: int, prefill: float) -> None:
    services = scripted(**SEED, tokens=tokens, sentences=sentences, prefill=prefill)
    answer = answered(services)
    assert answer.timing.first_token == pytest.approx(0.5 + prefill + (1.5 - prefill) / tokens)
    assert answer.timing.last_token == pytest.approx(2.0)
    assert answer.timing.total == pytest.approx(2.0 + 0.15 / sentences)
    assert len(answer.support.sentences) == sentences


def test_speedup_overlap_and_critical_path_are_measured() -> None:
    serial = answered(scripted(**SEED), profile="sequential")
    assert serial.speedup == pytest.approx(1.0)
    tiers = answered(scripted(**SEED), profile="tiers")
    assert tiers.speedup == pytest.approx(SEQUENTIAL_TOTAL / TIERS_TOTAL)
    assert tiers.overlap == tiers.speedup
    path = list(tiers.critical_path)
    assert [step for step in path if step in SEED] == ["retrieve", "reply", "cite"]
    assert answered(scripted()).speedup is None


# -- how it is set up
def test_settings_as_keywords_as_a_mapping_and_per_request() -> None:
    by_keyword = Mode2AutomaticWorkflow(scripted(**SEED), profile="tiers", enable_parallel_tier1=False)
    by_mapping = Mode2AutomaticWorkflow(scripted(**SEED), config={"profile": "tiers", "enable_parallel_tier1": False})
    per_request = Mode2AutomaticWorkflow(scripted(**SEED), profile="tiers")
    slow = 0.5 + 0.3 + 0.2 + 1.5 + 0.15
    assert run_virtual(by_keyword.execute(QUESTION)).timing.total == pytest.approx(slow)
    assert run_virtual(by_mapping.execute(QUESTION)).timing.total == pytest.approx(slow)
    once = run_virtual(per_request.execute(QUESTION, enable_parallel_tier1=False))
    assert once.timing.total == pytest.approx(slow)
    assert run_virtual(per_request.execute(QUESTION)).timing.total == pytest.approx(TIERS_TOTAL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"parallel_timeout_m": 1},
        {"enable_parallel_tier1": "no"},
        {"enable_parallel_tier2": 1},
        {"parallel_timeout_ms": "5000"},
        {"parallel_timeout_ms": True},
        {"parallel_timeout_ms": 0},
        {"parallel_timeout_ms": -1},
        {"parallel_timeout_ms": float("nan")},
        {"parallel_timeout_ms": float("inf")},
        {"post_generation_timeout_ms": None},
        {"profile": "fast"},
        {"profile": None},
    ],
    ids=str,
)
def test_what_is_unknown_or_of_a_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    for refuse in (
        lambda: Mode2AutomaticWorkflow(scripted(), **wrong),
        lambda: Mode2AutomaticWorkflow(scripted(), config=wrong),
        lambda: run_virtual(Mode2AutomaticWorkflow(scripted()).execute(QUESTION, **wrong)),
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            refuse()


def test_an_unknown_setting_names_the_nearest_known_one() -> None:
    with pytest.raises(ValueError, match="enable_parallel_tier1"):
        Mode2AutomaticWorkflow(scripted(), config={"enable_paralel_tier1": False})


@pytest.mark.parametrize("mode", MODES)
def test_the_four_classes_are_parallel_workflows(mode: type[ParallelBaseWorkflow]) -> None:
    assert issubclass(mode, ParallelBaseWorkflow)
    workflow = mode(scripted(**SEED), profile="tiers", parallel_timeout_ms=5000, post_generation_timeout_ms=2000)
    for name in ("execute", "stream", "resume", "build_graph"):
        assert callable(getattr(workflow, name))


# -- what scripted() takes
@pytest.mark.parametrize("step", [*TIER1, *TIER2])
@pytest.mark.parametrize(
    ("script", "reason", "seconds"),
    [
        (ValueError("x"), "error", 0.0),
        ((0.05, ValueError("x")), "error", None),
        (asyncio.CancelledError(), "cancelled", 0.0),
        ((0.05, object()), "wrong_type", None),
        ((0.05, None), "wrong_type", None),
        ("hang", "timeout", None),
        ("deaf", "abandoned", None),
    ],
    ids=["raises", "raises late", "cancelled", "wrong type", "none", "hangs", "deaf"],
)
@pytest.mark.parametrize("profile", ["sequential", "tiers", "dataflow"])
def test_a_step_that_fails_costs_only_itself(
    profile: str, step: str, script: Any, reason: str, seconds: float | None
) -> None:
    settings = {"parallel_timeout_ms": 900, "post_generation_timeout_ms": 400}
    services = scripted(**{**SEED, step: script})
    answer = answered(services, profile=profile, **settings)
    assert answer.status == "complete"
    assert answer.degraded == {step: reason}
    assert set(answer.degraded.values()) <= REASONS
    assert answer.outcomes[step].error is not None
    assert sum("could not be" in warning for warning in answer.warnings) == 1
    if seconds is not None:
        assert answer.outcomes[step].seconds == seconds
    for other in {*TIER1, *TIER2} - {step}:
        assert getattr(answer.outcomes[other], "error", None) is None
        assert answer.outcomes[other].seconds == pytest.approx(SEED[other], abs=1e-9)
    limit = 0.9 if step in TIER1 else 0.4
    assert answer.timing.total <= bound(profile, {**SEED, step: limit}, sentences=1) + 0.06


@pytest.mark.parametrize("failing", [c for n in range(4) for c in itertools.combinations(TIER1, n)], ids=str)
def test_every_combination_of_failures_before_the_model(failing: tuple[str, ...]) -> None:
    services = scripted(**{**SEED, **dict.fromkeys(failing, RuntimeError("boom"))})
    answer = answered(services)
    assert answer.status == "complete"
    assert set(answer.degraded) == set(failing)
    assert "boom" not in "".join(answer.warnings) + answer.text
    assert len(services.prompts) == 1


@pytest.mark.parametrize("failing", [c for n in range(4) for c in itertools.combinations(TIER2, n)], ids=str)
def test_every_combination_of_failures_after_the_model(failing: tuple[str, ...]) -> None:
    answer = answered(scripted(**{**SEED, **dict.fromkeys(failing, RuntimeError("boom"))}))
    assert answer.status == "complete"
    assert set(answer.degraded) == set(failing)
    assert (answer.cost.usd is None) == ("tally" in failing)
    assert answer.text == answered(scripted(**SEED)).text


def test_all_six_fail_and_the_model_works() -> None:
    failing: dict[str, Any] = dict.fromkeys((*TIER1, *TIER2), RuntimeError())
    answer = answered(scripted(reply=1.5, **failing))
    assert answer.status == "complete"
    assert answer.text
    assert len(answer.warnings) >= 6
    assert answer.quality.score is None


@pytest.mark.parametrize("script", [RuntimeError("secret"), (0.5, RuntimeError("secret")), "hang", "deaf", (0.1, 42)])
def test_the_model_fails(script: Any) -> None:
    services = scripted(**{**SEED, "reply": script})
    answer = answered(services, reply_timeout_ms=3000)
    assert answer.status == "failed"
    assert answer.text == ""
    assert answer.degraded["reply"] in REASONS
    assert "secret" not in json.dumps(answer.receipt())
    with pytest.raises(Exception) as raised:
        answer.raise_for_status()
    assert raised.value.code  # type: ignore[attr-defined]
    assert [turn.status for turn in services.kept] in ([], ["failed"])


def test_a_stream_that_breaks_leaves_a_partial_answer() -> None:
    answer = answered(scripted(**{**SEED, "reply": (1.0, "The drug works [1]. It", ConnectionError())}))
    assert answer.status == "partial"
    assert answer.text == "The drug works [1]. It"
    assert answer.degraded["reply"] == "error"


@pytest.mark.parametrize("step", TIER1)
def test_a_service_that_blocks_its_thread_holds_nobody_up(step: str) -> None:
    services = scripted(**{**SEED, step: "block"})
    answer = answered(services)
    assert answer.status == "complete"
    assert answer.degraded == {}
    others = [call for call in services.calls if call.port in TIER1 and call.port != step]
    assert {call.start for call in others} == {0.0}


def test_nothing_found_is_not_a_failed_search() -> None:
    nothing, failed = scripted(**{**SEED, "retrieve": (0.5, ())}), scripted(**{**SEED, "retrieve": RuntimeError()})
    empty, broken = answered(nothing), answered(failed)
    assert empty.degraded == {}
    assert broken.degraded == {"retrieve": "error"}
    assert empty.warnings != broken.warnings
    assert str(nothing.prompts[0]) != str(failed.prompts[0])
    assert (empty.evidence.failed, broken.evidence.failed) == (False, True)


def test_prompts_and_calls_are_recorded() -> None:
    services = scripted(**SEED)
    answered(services)
    (prompt,) = services.prompts
    assert QUESTION.text in prompt
    seen = {call.port for call in services.calls}
    assert {*TIER1, *TIER2, "reply"} <= seen
    first = {call.port: call for call in services.calls if call.port in (*TIER1, "reply")}
    assert {step: (first[step].start, first[step].end) for step in first} == {
        "retrieve": (0.0, 0.5), "suggest": (0.0, 0.3), "recall": (0.0, 0.2), "reply": (0.5, 2.0),
    }  # fmt: skip
    assert all(isinstance(call.arguments, dict) and call.arguments for call in services.calls)


def test_a_script_that_cannot_be_read_is_refused() -> None:
    for wrong in ({"retreive": 1}, {"retrieve": -1}, {"retrieve": "hangs"}, {"retrieve": True}, {"sentences": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")[:3]):
            scripted(**wrong)


def test_a_deadlock_is_raised() -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError):
        run_virtual(never())


# -- what an Answer is
def test_the_attributes_of_an_answer_and_their_types() -> None:
    answer = answered(scripted(**SEED))
    assert isinstance(answer, Answer)
    assert isinstance(answer.text, str)
    assert answer.status == "complete"
    assert isinstance(answer.cost.usd, Decimal)
    assert answer.quality.score is not None
    assert 0 <= answer.quality.score <= 1
    assert isinstance(answer.degraded, dict)
    assert len(answer.citations) > 0
    for citation in answer.citations:
        assert citation.quote
        assert citation.verdict in {"verified", "weak", "mismatch"}
    assert all(isinstance(warning, str) for warning in answer.warnings)
    assert 0 < answer.timing.first_token <= answer.timing.last_token <= answer.timing.total
    assert all(outcome.seconds >= 0 for outcome in answer.outcomes.values())
    assert {*SEED} <= set(answer.outcomes)
    json.dumps(answer.receipt(), allow_nan=False)


def test_the_receipt_holds_all_that_it_promises() -> None:
    receipt = answered(scripted(**{**SEED, "recall": RuntimeError()})).receipt()
    assert set(receipt["steps"]) | set(receipt["skipped"]) >= set(SEED)
    assert receipt["steps"]["recall"]["reason"] == "error"
    assert receipt["critical_path"]
    assert [call["call"]["purpose"] for call in receipt["cost"]["calls"]] == ["reply"]
    assert all(c["quote"] and c["verdict"] for c in receipt["citations"])
    assert receipt["approvals"], "the scripted tool was approved by the policy"
    assert all(row["by"] and row["reason"] and row["approved"] for row in receipt["approvals"])


@pytest.mark.parametrize(
    ("said", "cited", "dangling"),
    [
        ("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [1].", {1}, ()),
        ("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [2,3].", {2, 3}, ()),
        ("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [1]-[3].", {1, 2, 3}, ()),
        ("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [99].", set(), (99,)),
        ("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment.", set(), ()),
    ],
    ids=["[1]", "[2,3]", "[1]-[3]", "[99]", "none"],
)
def test_citation_markers(said: str, cited: set[int], dangling: tuple[int, ...]) -> None:
    answer = answered(scripted(**{**SEED, "reply": (1.5, said)}))
    assert {citation.marker for citation in answer.citations} == cited
    assert answer.citations.dangling == dangling
    texts = {passage.document: passage.text for passage in answer.evidence.passages}
    for citation in answer.citations:
        assert citation.document == f"document-{citation.marker}"
        assert texts[citation.document][citation.start : citation.end] == citation.quote


def test_quality_falls_with_what_is_uncited_contradicted_or_empty() -> None:
    def score(text: str) -> float:
        value = answered(scripted(**{**SEED, "reply": (1.5, text)})).quality.score
        return -1.0 if value is None else value

    supported = score("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [1].")
    for worse in (
        "Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment.",
        "Mean HbA1c rose by 12 percentage points after 26 weeks of treatment [1].",
        "Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [99].",
        "",
    ):
        assert score(worse) < supported


# -- streams and cancellation
async def test_a_stream_is_numbered_and_ends_in_the_answer() -> None:
    events = [event async for event in Mode2AutomaticWorkflow(scripted()).stream(QUESTION)]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert "".join(event.text for event in events if event.kind == "token") == events[-1].answer.text
    assert events[-1].kind == "finished"


async def test_nothing_stays_behind_when_the_caller_gives_up() -> None:
    before = asyncio.all_tasks()
    for when in range(40):
        turn = asyncio.ensure_future(Mode2AutomaticWorkflow(scripted(retrieve=0.005, reply=0.02)).execute(QUESTION))
        await asyncio.sleep(when / 1000)
        turn.cancel()
        await asyncio.wait([turn])
    while asyncio.all_tasks() != before:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("wrong", [None, {}, "services", scripted])
def test_services_that_are_none_are_refused_with_what_to_do(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"vital_engine\.testing\.scripted"):
        Mode2AutomaticWorkflow(wrong)
