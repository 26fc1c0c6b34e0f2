"""The life of an approval: what may follow what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.errors import Conflict, Expired, InvalidArguments, NotFound, Refused
from vital_engine.nouns import (
    Approval,
    ApprovalDecision,
    Brief,
    Decision,
    Effect,
    Evidence,
    Expert,
    Memory,
    Paused,
    Question,
    ToolCall,
    ToolResult,
    ToolSuggestions,
    transitions,
)
from vital_engine.nouns.transitions import UNKNOWN

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=10)


def fresh(effect: Effect = Effect.PURE) -> Approval:
    call = ToolCall("c", "tool", {"b": 1, "a": [1.0]}, effect=effect, cost_usd=Decimal("0.01"), tainted=True)
    return Approval(call, "r", transitions.hash_of(call.arguments), "c", NOW, LATER)


def settled(action: Any, effect: Effect = Effect.PURE, **more: Any) -> Approval:
    return transitions.decide(fresh(effect), ApprovalDecision(action, **more), by="ann", now=NOW)


def test_the_hash_is_of_the_canonical_arguments() -> None:
    assert transitions.canonical({"b": 1, "a": "ä"}) == '{"a":"ä","b":1}'
    assert transitions.hash_of({"a": 1, "b": 2}) == transitions.hash_of({"b": 2, "a": 1})
    assert transitions.hash_of({"a": 1}) != transitions.hash_of({"a": 1.5})


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": object()}, {"a": "x" * 70_000}])
def test_arguments_that_nobody_could_read_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArguments):
        transitions.canonical(bad)


@pytest.mark.parametrize(("action", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_a_ruling_settles_once_and_the_same_again_is_the_first(action: Any, status: str) -> None:
    first = settled(action, reason="because")
    assert (first.status, first.by, first.decided_at) == (status, "ann", NOW)
    assert (
        transitions.decide(first, ApprovalDecision(action, "another reason"), by="bob", now=LATER + timedelta(days=9))
        is first
    )


def test_another_ruling_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        transitions.decide(settled("approve"), ApprovalDecision("reject"), by="bob", now=NOW)
    edited = settled("edit", arguments={"a": 2})
    assert transitions.decide(edited, ApprovalDecision("edit", arguments={"a": 2}), by="bob", now=NOW) is edited
    with pytest.raises(Conflict):
        transitions.decide(edited, ApprovalDecision("edit", arguments={"a": 3}), by="bob", now=NOW)


def test_an_edit_has_its_own_hash_and_is_no_longer_tainted() -> None:
    edited = settled("edit", arguments={"a": 2})
    assert edited.arguments_hash == transitions.hash_of({"a": 2}) != fresh().arguments_hash
    assert edited.call.arguments == {"a": 2}
    assert (edited.call.tainted, edited.tool_call.tainted) == (False, True)
    assert edited.key == fresh().key


def test_what_nobody_decided_in_time_has_expired() -> None:
    late = transitions.lapse(fresh(), LATER)
    assert (late.status, late.decided_at) == ("expired", LATER)
    assert transitions.lapse(fresh(), LATER - timedelta(microseconds=1)).pending
    with pytest.raises(Expired):
        transitions.decide(fresh(), ApprovalDecision("approve"), by="ann", now=LATER)
    with pytest.raises(Expired):
        transitions.decide(late, ApprovalDecision("approve"), by="ann", now=NOW)


def test_all_rulings_of_a_call_are_taken_or_none() -> None:
    two = (fresh(), replace(fresh(), tool_call=replace(fresh().tool_call, id="d")))
    after = transitions.decide_all(two, {"d": ApprovalDecision("reject")}, by="ann", now=NOW)
    assert [a.status for a in after] == ["proposed", "rejected"]
    with pytest.raises(NotFound):
        transitions.decide_all(
            two, {"d": ApprovalDecision("reject"), "e": ApprovalDecision("approve")}, by="ann", now=NOW
        )
    with pytest.raises(Conflict):
        transitions.decide_all(
            after, {"c": ApprovalDecision("approve"), "d": ApprovalDecision("approve")}, by="ann", now=NOW
        )


@pytest.mark.parametrize("approval", [fresh(), settled("reject"), transitions.lapse(fresh(), LATER)])
def test_what_is_not_approved_does_not_start(approval: Approval) -> None:
    with pytest.raises(Refused):
        transitions.start(approval)


@pytest.mark.parametrize("effect", Effect)
def test_a_call_that_was_cut_is_made_again_unless_it_is_an_effect(effect: Effect) -> None:
    first, now = transitions.start(settled("approve", effect))
    assert (first.status, first.attempts, now) == ("started", 1, True)
    again, now = transitions.start(first)
    if effect is Effect.EFFECT:
        assert (again.status, now) == ("outcome_unknown", False)
        assert again.tool_result is not None
        assert again.tool_result.status == UNKNOWN
        assert transitions.start(again) == (again, False)
    else:
        assert (again.status, again.attempts, now) == ("started", 2, True)


def test_the_first_result_stands_and_is_not_called_for_again() -> None:
    started, _ = transitions.start(settled("approve"))
    done = transitions.finish(started, ToolResult(started.call, "done", "42"))
    assert done.status == "done"
    assert transitions.start(done) == (done, False)
    assert transitions.finish(done, ToolResult(started.call, "error")) is done
    assert transitions.finish(started, ToolResult(started.call, "error")).status == "failed"
    assert transitions.finish(started, ToolResult(started.call, UNKNOWN)).status == "outcome_unknown"


def test_a_person_is_asked_once_per_call_and_not_about_what_is_refused() -> None:
    calls = (fresh().tool_call, fresh().tool_call, replace(fresh().tool_call, id="d"))
    paused = Paused(
        Question("x", "t", "u", run_id="r"), 1, Brief(Expert("e", "", "", "")), Evidence(), ToolSuggestions(calls), Memory(),
        refused=(Decision(calls[2], False, "policy", "no"),),
    )  # fmt: skip
    assert [a.id for a in transitions.proposed(paused, now=NOW, seconds=10)] == ["c"]
    assert transitions.proposed(paused, now=NOW, seconds=10)[0].expires_at == LATER


moves = st.lists(
    st.sampled_from(["approve", "reject", "edit", "start", "done", "unknown", "late"]), min_size=1, max_size=14
)


@given(moves, st.sampled_from(Effect))
def test_whatever_is_tried_a_call_ends_once_and_an_effect_starts_once(tried: list[Any], effect: Effect) -> None:
    approval, made, first, ended = fresh(effect), 0, None, None
    for move in tried:
        try:
            if move == "start":
                approval, now = transitions.start(approval)
                made += now
            elif move == "late":
                approval = transitions.lapse(approval, LATER)
            elif move in {"done", "unknown"} and approval.status == "started":
                approval = transitions.finish(
                    approval, ToolResult(approval.call, UNKNOWN if move == "unknown" else "done")
                )
            elif move in {"approve", "reject", "edit"}:
                arguments = {"a": 1} if move == "edit" else None
                approval = transitions.decide(approval, ApprovalDecision(move, arguments=arguments), by="ann", now=NOW)
        except (Conflict, Expired, Refused):
            continue
        first = first or approval.decision
        ended = ended or approval.tool_result
        assert approval.decision == first
        assert approval.tool_result == ended
    assert made == approval.attempts or approval.status == "outcome_unknown"
    assert made <= 1 or effect is not Effect.EFFECT
    assert made == 0 or (first is not None and first.action != "reject")
