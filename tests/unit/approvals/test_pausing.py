"""A turn with a person in it, in virtual time: modes 1 and 3 on the scripted services."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from seed_profile import DATAFLOW_TOTAL, SEQUENTIAL_TOTAL, TIERS_TOTAL, TOTALS
from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
from vital_engine.errors import (
    ConfigError,
    Conflict,
    Expired,
    InvalidArguments,
    NotFound,
    Refused,
    StoreError,
    ToolError,
    ToolTimeout,
)
from vital_engine.flow import Degraded, Done, run_virtual
from vital_engine.modes import PROFILES, Broken, Decisions, Finished, Profile, Token
from vital_engine.nouns import (
    ApprovalDecision,
    Effect,
    Expert,
    Limits,
    Paused,
    Question,
    Scope,
    ToolCall,
    ToolResult,
    ToolSuggestions,
)
from vital_engine.store.plain import noun_from, noun_text
from vital_engine.testing import scripted

MANUAL = [Mode1ManualWorkflow, Mode3ChatManualWorkflow]
MINE = Scope("t1", "u1")
YES: Decisions = {"call-1": "approve"}
DAY = 86_400.0


def ports(services: Any, port: str) -> list[Any]:
    return [call for call in services.calls if call.port == port]


def both(workflow: Any, question: Question, decisions: Any = None) -> tuple[Any, Any]:
    """The paused answer, and the answer after *decisions* (default: all approved)."""

    async def run() -> tuple[Any, Any]:
        paused = await workflow.execute(question)
        said = {a.id: "approve" for a in paused.approvals} if decisions is None else decisions
        return paused, await workflow.resume(paused.run_id, said)

    return run_virtual(run())


@pytest.mark.parametrize("make", MANUAL)
@pytest.mark.parametrize(("profile", "seconds"), TOTALS.items())
def test_a_pause_adds_no_time_of_the_engines(make: Any, profile: str, seconds: float, seed: Any, question: Any) -> None:
    services = scripted(**seed)
    paused, answer = both(make(services, profile=profile), question)
    assert paused.status == "paused"
    assert (answer.status, answer.timing.total) == ("complete", seconds)
    assert answer.timing.last_token == (2.5 if profile == "sequential" else 2.0)
    assert [len(ports(services, port)) for port in ("retrieve", "suggest", "recall", "invoke")] == [1, 1, 1, 1]


@pytest.mark.parametrize("profile", PROFILES)
def test_two_runs_of_the_clock_give_the_same_as_one(profile: Profile, seed: Any, question: Any) -> None:
    workflow = Mode1ManualWorkflow(scripted(**seed), profile=profile)
    paused = run_virtual(workflow.execute(question))
    answer = run_virtual(workflow.resume(paused.run_id, YES))
    _, at_once = both(Mode1ManualWorkflow(scripted(**seed), profile=profile), question)
    for name in ("text", "citations", "cost", "quality", "timing", "critical_path", "warnings", "degraded"):
        assert getattr(answer, name) == getattr(at_once, name)


def test_the_manual_answer_is_the_automatic_one_but_for_who_said_yes(seed: Any, question: Any) -> None:
    automatic = run_virtual(Mode2AutomaticWorkflow(scripted(**seed)).execute(question))
    _, manual = both(Mode1ManualWorkflow(scripted(**seed)), question)
    for name in ("text", "citations", "support", "cost", "quality", "tool_results", "timing", "degraded", "warnings"):
        assert getattr(manual, name) == getattr(automatic, name)
    assert list(manual.outcomes) == list(automatic.outcomes)
    assert [d.by for d in manual.consent.decisions] == ["u1"]
    assert [d.by for d in automatic.consent.decisions] == ["policy"]


def test_a_paused_answer_says_what_waits_and_claims_nothing_else(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    paused = run_virtual(Mode1ManualWorkflow(services).execute(question))
    (approval,) = paused.approvals
    assert approval.call.tool == "scripted_tool"
    assert approval.call.arguments == {"x": 6}
    assert approval.status == "proposed"
    assert (approval.expires_at - approval.proposed_at).total_seconds() == 7 * DAY
    assert (paused.text, paused.quality.score, len(paused.evidence.passages)) == ("", None, 3)
    assert (paused.cost.usd, paused.cost.rows) == (Decimal(0), ())
    assert "1 tool call waits for your decision." in paused.warnings
    assert paused.timing.total == 0.5
    assert paused.receipt()["proposed"][0]["arguments_hash"] == approval.arguments_hash
    assert services.prompts == []
    assert services.kept == []


@pytest.mark.parametrize("make", MANUAL)
def test_nothing_proposed_nothing_pauses(make: Any, seed: Any, question: Any) -> None:
    answer = run_virtual(
        make(scripted(**{**seed, "suggest": (0.3, ToolSuggestions())}), profile="tiers").execute(question)
    )
    assert (answer.status, answer.timing.total, answer.approvals) == ("complete", TIERS_TOTAL, ())
    off = run_virtual(make(scripted(**seed), enable_tools=False).execute(question))
    assert off.status == "complete"


def test_what_a_person_rejects_is_not_called_and_the_reason_is_kept(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    _, answer = both(Mode1ManualWorkflow(services), question, {"call-1": ("reject", "not needed")})
    assert answer.status == "complete"
    assert ports(services, "invoke") == []
    (decision,) = answer.consent.decisions
    assert (decision.approved, decision.by, decision.reason) == (False, "u1", "not needed")
    assert decision.at is not None
    assert answer.receipt()["approvals"][0]["at"].startswith("2026-01-01T00:00:00.5")


def test_an_edit_is_called_with_the_new_arguments_and_has_a_new_hash(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    paused, answer = both(Mode1ManualWorkflow(services), question, {"call-1": ("edit", {"x": 7})})
    assert ports(services, "invoke")[0].arguments["tool_call"].arguments == {"x": 7}
    assert answer.approvals[0].arguments_hash != paused.approvals[0].arguments_hash
    assert answer.approvals[0].tool_call.arguments == {"x": 6}
    assert answer.approvals[0].status == "done"


def test_a_turn_waits_until_all_its_calls_are_decided(seed: Any, question: Any, menu_of: Any) -> None:
    services = scripted(**{**seed, "suggest": (0.3, menu_of(Effect.PURE, Effect.READ))})
    workflow = Mode1ManualWorkflow(services)

    async def one_by_one() -> tuple[Any, Any]:
        await workflow.execute(question)
        half = await workflow.resume("r1", {"call-2": "reject"})
        return half, await workflow.resume("r1", {"call-1": ApprovalDecision("approve", "fine")}, by="ann")

    half, whole = run_virtual(one_by_one())
    assert half.status == "paused"
    assert [a.status for a in half.approvals] == ["proposed", "rejected"]
    assert half.timing.total == 0.5
    assert [(d.approved, d.by) for d in whole.consent.decisions] == [(True, "ann"), (False, "u1")]
    assert len(ports(services, "invoke")) == 1


def test_eight_clients_approve_at_once_and_the_call_is_made_once(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    workflow, other = Mode1ManualWorkflow(services), Mode1ManualWorkflow(services)

    async def clients() -> list[Any]:
        await workflow.execute(question)
        ours = [workflow.resume("r1", YES) for _ in range(4)]
        theirs = [other.resume("r1", YES, scope=MINE) for _ in range(4)]  # as another process would
        return list(await asyncio.gather(*ours, *theirs))

    answers = run_virtual(clients())
    assert len(ports(services, "invoke")) == len(services.prompts) == len(services.kept) == 1
    assert {a.status for a in answers} == {"complete"}
    assert len({(a.text, a.citations, a.cost) for a in answers}) == 1


def test_a_repeat_gives_the_first_answer_and_another_decision_is_a_conflict(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    workflow = Mode1ManualWorkflow(services)
    _, answer = both(workflow, question)
    assert run_virtual(workflow.resume("r1", YES)) is answer
    assert run_virtual(workflow.resume("r1")) is answer
    with pytest.raises(Conflict):
        run_virtual(workflow.resume("r1", {"call-1": "reject"}))
    elsewhere = run_virtual(Mode1ManualWorkflow(services).resume("r1", YES, scope=MINE))
    differing = {f.name for f in fields(answer) if getattr(answer, f.name) != getattr(elsewhere, f.name)}
    assert differing <= {"outcomes"}
    assert {n: type(o) for n, o in elsewhere.outcomes.items()} == {
        n: type(o) for n, o in answer.outcomes.items() if n != "save"
    }
    assert len(ports(services, "invoke")) == 1


@pytest.mark.parametrize(
    ("run_id", "decisions", "scope", "error"),
    [
        ("r2", YES, None, NotFound),
        ("r1", {"call-9": "approve"}, None, NotFound),
        ("r1", YES, Scope("t1", "u2"), NotFound),
        ("r1", YES, Scope("t2", "u1"), NotFound),
        ("r1", {"call-1": "yes"}, None, InvalidArguments),
        ("r1", {"call-1": ("edit", "x")}, None, InvalidArguments),
        ("r1", {"call-1": ApprovalDecision("edit")}, None, InvalidArguments),
        ("r1", {"call-1": True}, None, InvalidArguments),
    ],
)
def test_what_cannot_be_decided_is_refused_and_changes_nothing(
    run_id: str, decisions: Any, scope: Any, error: Any, seed: Any, question: Any
) -> None:
    workflow = Mode1ManualWorkflow(scripted(**seed))
    run_virtual(workflow.execute(question))
    with pytest.raises(error):
        run_virtual(workflow.resume(run_id, decisions, scope=scope))
    assert run_virtual(workflow.resume("r1", {})).status == "paused"


def test_where_nobody_pauses_nothing_is_resumed(question: Any) -> None:
    services = scripted()
    for make in (Mode2AutomaticWorkflow, Mode4ChatAutomaticWorkflow):
        with pytest.raises(NotFound):
            run_virtual(make(services).resume("r1", YES))
    run_virtual(Mode1ManualWorkflow(services).execute(question))
    with pytest.raises(NotFound, match="mode 1"):
        run_virtual(Mode3ChatManualWorkflow(services).resume("r1", YES, scope=MINE))


def test_an_edit_that_the_tool_refuses_settles_nothing(question: Any) -> None:
    class Strict:
        async def validate(self, tool_call: ToolCall) -> ToolCall:
            if not isinstance(tool_call.arguments.get("x"), int):
                raise InvalidArguments("x must be a number", fields=("x",))
            return replace(tool_call, arguments={"x": tool_call.arguments["x"], "unit": "mg"})

    workflow = Mode1ManualWorkflow(replace(scripted(), argument_validator=Strict()))
    run_virtual(workflow.execute(question))
    with pytest.raises(InvalidArguments):
        run_virtual(workflow.resume("r1", {"call-1": ("edit", {"x": "six"})}))
    answer = run_virtual(workflow.resume("r1", {"call-1": ("edit", {"x": 7})}))
    assert answer.approvals[0].call.arguments == {"x": 7, "unit": "mg"}
    without = Mode1ManualWorkflow(replace(scripted(), argument_validator=None))
    run_virtual(without.execute(question))
    with pytest.raises(Refused):
        run_virtual(without.resume("r1", {"call-1": ("edit", {"x": 7})}))


def test_a_tool_that_changed_since_voids_the_approval(question: Any) -> None:
    class Changed:
        async def validate(self, tool_call: ToolCall) -> ToolCall:
            raise ToolError("its definition has changed", service="tool")

    services = replace(scripted(), argument_validator=Changed())
    _, answer = both(Mode1ManualWorkflow(services), question)
    assert ports(services, "invoke") == []
    assert [(f.status, f.error) for f in answer.tool_results.results] == [("void", "tool")]
    assert answer.approvals[0].status == "failed"
    assert answer.approvals[0].attempts == 0
    assert "'scripted_tool' gave no result (void)" in " ".join(answer.warnings)


def test_what_nobody_decides_expires_and_the_turn_can_be_ended_without_it(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    workflow = Mode1ManualWorkflow(services, approval_seconds=3 * DAY)

    async def too_late() -> Any:
        await workflow.execute(question)
        await asyncio.sleep(3 * DAY)
        with pytest.raises(Expired):
            await workflow.resume("r1", YES)
        return await workflow.resume("r1")

    answer = run_virtual(too_late())
    assert answer.status == "complete"
    assert ports(services, "invoke") == []
    assert [(d.by, d.reason) for d in answer.consent.decisions] == [("nobody", "nobody decided in time")]
    assert answer.approvals[0].status == "expired"


def test_days_of_thinking_are_not_the_turns_time(seed: Any, question: Any) -> None:
    workflow = Mode1ManualWorkflow(scripted(**seed), profile="tiers")

    async def slowly() -> Any:
        await workflow.execute(replace(question, limits=Limits(seconds=5)))
        await asyncio.sleep(2 * DAY)
        return await workflow.resume("r1", YES)

    answer = run_virtual(slowly())
    assert (answer.status, answer.timing.total) == ("complete", TIERS_TOTAL)


def test_the_turns_deadline_counts_both_halves(seed: Any, question: Any) -> None:
    _, answer = both(Mode1ManualWorkflow(scripted(**seed)), replace(question, limits=Limits(seconds=1.2)))
    assert (answer.status, answer.timing.total) == ("partial", 1.2)


def test_degradations_before_the_pause_are_still_told_after_it(seed: Any, question: Any) -> None:
    services = scripted(**{**seed, "retrieve": RuntimeError("secret"), "recall": "hang"})
    paused, answer = both(Mode1ManualWorkflow(services, parallel_timeout_ms=400), question)
    assert paused.degraded == answer.degraded == {"retrieve": "error", "recall": "timeout"}
    assert "nobody could look" in services.prompts[0]
    assert isinstance(answer.outcomes["retrieve"], Degraded)
    assert "secret" not in str(answer.receipt())


def test_a_pause_that_cannot_be_kept_costs_the_tools_and_not_the_turn(seed: Any, question: Any) -> None:
    services = scripted(**seed)

    class Unreachable:
        async def pause(self, paused: Any, *, seconds: float) -> Any:
            raise StoreError("down", service="store")

        async def look(self, run_id: str, scope: Scope) -> Any:
            raise StoreError("down", service="store")

    unreachable: Any = Unreachable()
    answer = run_virtual(Mode1ManualWorkflow(replace(services, approvals=unreachable)).execute(question))
    assert answer.status == "complete"
    assert answer.degraded == {"consent": "error"}
    assert ports(services, "invoke") == []
    assert "could not be approved" in " ".join(answer.warnings)


def test_a_manual_mode_without_a_place_for_pauses_is_refused() -> None:
    with pytest.raises(ConfigError, match="approvals"):
        Mode1ManualWorkflow(replace(scripted(), approvals=None))


def test_nobody_is_asked_about_a_tool_that_the_expert_may_not_use(seed: Any, question: Any) -> None:
    from vital_engine.nouns import Brief

    brief = Brief(Expert("e", "", "", "", tools=("other",)))
    answer = run_virtual(Mode1ManualWorkflow(scripted(**{**seed, "brief": (0.0, brief)})).execute(question))
    assert answer.status == "complete"
    (decision,) = answer.consent.decisions
    assert (decision.approved, decision.by) == (False, "policy")


def test_a_brief_that_fails_fails_the_turn_as_in_the_other_modes(seed: Any, question: Any) -> None:
    services = {**seed, "brief": NotFound("no such expert")}
    manual = run_virtual(Mode1ManualWorkflow(scripted(**services)).execute(question))
    automatic = run_virtual(Mode2AutomaticWorkflow(scripted(**services)).execute(question))
    assert (manual.status, manual.code) == (automatic.status, automatic.code) == ("failed", "turn.not_found")


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(
    ("script", "of_effect", "of_others"),
    [
        (ToolError("no"), "error", "error"),
        (ToolTimeout("late"), "outcome_unknown", "timeout"),
        (OSError("cut"), "outcome_unknown", "error"),
        ("hang", "outcome_unknown", "timeout"),
        ((0.1, 42), "outcome_unknown", "wrong_type"),
    ],
)
def test_a_call_that_fails_is_named_and_an_effect_that_may_have_happened_is_unknown(
    effect: Effect, script: Any, of_effect: str, of_others: str, question: Any, menu_of: Any
) -> None:
    services = scripted(suggest=(0.0, menu_of(effect)), invoke=script)
    _, answer = both(Mode1ManualWorkflow(services), question)
    expected = of_effect if effect is Effect.EFFECT else of_others
    assert [f.status for f in answer.tool_results.results] == [expected]
    assert answer.approvals[0].status == ("outcome_unknown" if expected == "outcome_unknown" else "failed")
    assert ("is not known. It is not repeated" in " ".join(answer.warnings)) == (expected == "outcome_unknown")


@pytest.mark.parametrize("effect", Effect)
def test_a_turn_that_died_in_a_call_is_taken_over_when_its_lease_has_run_out(
    effect: Effect, question: Any, menu_of: Any
) -> None:
    services = scripted(suggest=(0.0, menu_of(effect)), invoke=1.0)
    workflow, other = Mode1ManualWorkflow(services), Mode1ManualWorkflow(services)
    book: Any = services.approvals

    async def die_and_resume() -> tuple[Any, float]:
        await workflow.execute(question)
        await book.decide("r1", {"call-1": ApprovalDecision("approve")}, MINE, by="u1")
        claim = await book.claim("r1", MINE, seconds=15)
        await book.start(claim, "call-1")  # and here its process is killed
        began = asyncio.get_running_loop().time()
        answer = await other.resume("r1", YES, scope=MINE)
        with pytest.raises(Conflict):  # it was not dead, only slow: what it brings is refused
            await book.finish(claim, "call-1", ToolResult(menu_of(effect).tool_calls[0], "done"))
        return answer, asyncio.get_running_loop().time() - began

    answer, seconds = run_virtual(die_and_resume())
    assert answer.status == "complete"
    assert seconds >= 15
    calls = ports(services, "invoke")
    if effect is Effect.EFFECT:
        assert calls == []
        assert [f.status for f in answer.tool_results.results] == ["outcome_unknown"]
    else:
        assert [c.arguments["tool_call"].id for c in calls] == ["call-1"]
        assert answer.approvals[0].attempts == 2


def test_who_lost_the_claim_neither_keeps_nor_answers_otherwise(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    workflow, other = Mode1ManualWorkflow(services), Mode1ManualWorkflow(services)
    book: Any = services.approvals

    async def overtaken() -> tuple[Any, Any]:
        await workflow.execute(question)
        first = await workflow.start_resumed("r1", YES)
        await asyncio.sleep(0.2)
        book._entries["t1", "u1", "r1"].held_until = 0.0  # as if its renewals had not come through for a lease
        second = await other.start_resumed("r1", YES, scope=MINE)
        return await first.answer(), await second.answer()

    mine, theirs = run_virtual(overtaken())
    assert len(services.kept) == 1
    assert (mine.text, mine.citations, mine.cost) == (theirs.text, theirs.citations, theirs.cost)
    assert len(ports(services, "invoke")) == 1


def test_a_living_turn_keeps_its_claim_beyond_one_lease(seed: Any, question: Any) -> None:
    services = scripted(**{**seed, "reply": 60.0})
    workflow, other = Mode1ManualWorkflow(services), Mode1ManualWorkflow(services)

    async def both_of_them() -> list[Any]:
        await workflow.execute(question)
        first = await workflow.start_resumed("r1", YES)
        await asyncio.sleep(20)
        second = await other.start_resumed("r1", YES, scope=MINE)
        return [await first.answer(), await second.answer()]

    answers = run_virtual(both_of_them())
    assert {a.status for a in answers} == {"complete"}
    assert len(services.prompts) == len(services.kept) == 1


def test_cancelling_a_resumed_turn_keeps_what_was_said_and_the_call_is_not_made_again(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    workflow = Mode1ManualWorkflow(services)

    async def stop() -> list[Any]:
        await workflow.execute(question)
        turn = await workflow.start_resumed("r1", YES)
        await asyncio.sleep(1.0)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn.answer()
        await asyncio.sleep(1)
        again = await workflow.resume("r1", YES)
        assert again.status == "partial"
        return [event async for event in turn.events.reader()]

    events = run_virtual(stop())
    assert isinstance(events[-1], Broken)
    (kept,) = services.kept
    assert kept.status == "partial"
    assert kept.receipt["retrieved"]
    assert [a["by"] for a in kept.receipt["approvals"]] == ["u1"]
    assert [f["status"] for f in kept.receipt["tool_results"]] == ["done"]
    assert len(ports(services, "invoke")) == 1


def test_a_pause_that_was_written_down_when_there_was_speculation_goes_on(seed: Any, question: Any) -> None:
    before, now = scripted(**seed), scripted(**seed)

    async def go_on() -> Any:
        await Mode1ManualWorkflow(before).execute(question, profile="tiers")
        kept = json.loads(noun_text((await before.approvals.look("r1", MINE)).paused))
        kept["value"]["settings"]["speculation"] = "auto"
        kept["value"]["memory"]["by_question"] = True
        await now.approvals.pause(noun_from(Paused, kept), seconds=DAY)
        return await Mode1ManualWorkflow(now).resume("r1", YES, scope=MINE)

    answer = run_virtual(go_on())
    assert (answer.status, answer.profile, answer.timing.total) == ("complete", "tiers", 2.15)


def test_a_receipt_that_was_written_when_there_was_speculation_is_read_back(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    _, answer = both(Mode1ManualWorkflow(services), question)
    assert "guess" not in answer.receipt()
    (kept,) = services.kept
    guess = {"source": "recollection", "right": True, "used": False}
    services.kept[0] = replace(kept, receipt={**kept.receipt, "guess": guess})
    again = run_virtual(Mode1ManualWorkflow(services).resume("r1", YES, scope=MINE))
    assert (again.status, again.text, again.timing, again.cost) == ("complete", answer.text, answer.timing, answer.cost)
    assert "guess" not in again.receipt()


def test_an_effect_that_a_cancel_cut_is_written_down_as_unknown(question: Any, menu_of: Any) -> None:
    services = scripted(suggest=(0.0, menu_of(Effect.EFFECT)), invoke=5.0)
    workflow = Mode1ManualWorkflow(services)

    async def stop() -> Any:
        await workflow.execute(question)
        turn = await workflow.start_resumed("r1", YES)
        await asyncio.sleep(1.0)
        turn.cancel()
        await asyncio.sleep(1.0)
        return await services.approvals.look("r1", MINE)

    turn = run_virtual(stop())
    assert [a.status for a in turn.approvals] == ["outcome_unknown"]


def test_a_stream_ends_in_the_pause_and_another_goes_on(seed: Any, question: Any) -> None:
    workflow = Mode1ManualWorkflow(scripted(**seed))

    async def streams() -> tuple[list[Any], list[Any]]:
        first = [event async for event in workflow.stream(question)]
        turn = await workflow.start_resumed("r1", YES)
        return first, [event async for event in turn.events]

    before, after = run_virtual(streams())
    assert isinstance(before[-1], Finished)
    assert before[-1].answer.status == "paused"
    assert not [e for e in before if isinstance(e, Token)]
    assert after[-1].answer.status == "complete"
    assert "".join(e.text for e in after if isinstance(e, Token)) == after[-1].answer.text
    assert [e.seq for e in after] == list(range(1, len(after) + 1))


def test_a_request_s_own_settings_hold_on_both_sides_of_the_pause(seed: Any, question: Any) -> None:
    workflow = Mode1ManualWorkflow(scripted(**seed), profile="tiers")

    async def run() -> Any:
        await workflow.execute(question, profile="sequential", tool_cost_ceiling_usd=Decimal("0.5"))
        return await workflow.resume("r1", YES)

    answer = run_virtual(run())
    assert (answer.profile, answer.timing.total) == ("sequential", SEQUENTIAL_TOTAL)


def test_an_answer_that_could_not_be_saved_is_made_again_without_its_calls(seed: Any, question: Any) -> None:
    services = scripted(**{**seed, "save": OSError("disk")})
    workflow = Mode1ManualWorkflow(services)

    async def twice() -> tuple[Any, Any]:
        await workflow.execute(question)
        first = await workflow.resume("r1", YES)
        return first, await workflow.resume("r1", YES)

    first, second = run_virtual(twice())
    assert first.degraded == second.degraded == {"save": "error"}
    assert first.text == second.text
    assert len(ports(services, "invoke")) == len(ports(services, "retrieve")) == 1


def test_the_pending_turns_of_a_user_can_be_listed(question: Any) -> None:
    services = scripted()
    workflow = Mode1ManualWorkflow(services)
    run_virtual(workflow.execute(question))
    run_virtual(workflow.execute(replace(question, run_id="r2")))
    book: Any = services.approvals
    assert [t.paused.question.run_id for t in run_virtual(book.pending(MINE))] == ["r1", "r2"]
    run_virtual(workflow.resume("r1", YES))
    assert [t.paused.question.run_id for t in run_virtual(book.pending(MINE))] == ["r2"]
    assert run_virtual(book.pending(Scope("t1", "u2"))) == []


def test_nothing_is_pending_after_many_pauses(seed: Any, question: Any) -> None:
    async def many() -> int:
        for i in range(100):
            workflow = Mode1ManualWorkflow(scripted(tokens=2, sentences=1), watchers=())
            await workflow.execute(replace(question, run_id=f"r{i}"))
            await workflow.resume(f"r{i}", {"call-1": "approve" if i % 2 else "reject"})
        await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    assert run_virtual(many()) == 0


def test_consent_stands_among_the_outcomes(seed: Any, question: Any) -> None:
    _, answer = both(Mode1ManualWorkflow(scripted(**seed)), question)
    consent = answer.outcomes["consent"]
    assert isinstance(consent, Done)
    assert consent.value == answer.consent


@pytest.mark.parametrize("failing", ["look", "hold", "finish"])
def test_a_book_that_fails_after_the_model_has_spoken_costs_no_answer(failing: str, seed: Any, question: Any) -> None:
    services = scripted(**seed)
    book: Any = services.approvals

    class Shaky:
        def __getattr__(self, name: str) -> Any:
            async def method(*args: Any, **kwargs: Any) -> Any:
                if name == failing and (services.prompts or name == "finish"):
                    raise StoreError("down", service="store")
                return await getattr(book, name)(*args, **kwargs)

            return method

    _, answer = both(Mode1ManualWorkflow(replace(services, approvals=Shaky())), question)
    assert answer.status == "complete"
    assert [f.status for f in answer.tool_results.results] == ["done"]
    assert len(services.kept) == 1
    assert len(ports(services, "invoke")) == 1


def test_a_call_that_cannot_be_written_down_is_not_made(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    book: Any = services.approvals

    class Closed:
        def __getattr__(self, name: str) -> Any:
            async def method(*args: Any, **kwargs: Any) -> Any:
                if name == "start":
                    raise StoreError("down", service="store")
                return await getattr(book, name)(*args, **kwargs)

            return method

    _, answer = both(Mode1ManualWorkflow(replace(services, approvals=Closed())), question)
    assert answer.status == "complete"
    assert ports(services, "invoke") == []
    assert [(f.status, f.error) for f in answer.tool_results.results] == [("error", "store")]


@pytest.mark.parametrize("make", MANUAL)
def test_the_same_run_asked_again_gives_what_it_came_to_and_retrieves_nothing(
    make: Any, seed: Any, question: Any
) -> None:
    services = scripted(**seed)
    talk = replace(question, conversation="c1")

    async def again() -> None:
        paused = await make(services).execute(talk)
        repeated = await make(services).execute(talk)  # as after a restart
        assert (repeated.status, repeated.approvals) == ("paused", paused.approvals)
        with pytest.raises(Refused):
            await make(services).execute(replace(talk, text="another question"))
        answer = await make(services).resume("r1", YES, scope=MINE)
        assert (await make(services).execute(talk)).text == answer.text

    run_virtual(again())
    assert [len(ports(services, port)) for port in ("retrieve", "invoke")] == [1, 1]


def test_a_turn_that_was_decided_and_then_died_goes_on_when_it_is_asked_again(seed: Any, question: Any) -> None:
    services = scripted(**seed)
    book: Any = services.approvals

    async def decided_then_dead() -> Any:
        await Mode1ManualWorkflow(services).execute(question)
        await book.decide("r1", {"call-1": ApprovalDecision("approve")}, MINE, by="u1")
        return await Mode1ManualWorkflow(services).execute(question)

    answer = run_virtual(decided_then_dead())
    assert (answer.status, answer.timing.total) == ("complete", DATAFLOW_TOTAL)
    assert len(ports(services, "retrieve")) == len(ports(services, "invoke")) == 1
