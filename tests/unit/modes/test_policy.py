"""The policy, rule by rule and all together: who may approve what without a person, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.modes.approval import POLICY, UNDECIDED, Opened, Policy, by_person, by_policy, not_asked
from vital_engine.modes.settings import TurnSettings
from vital_engine.nouns import (
    Approval,
    ApprovalDecision,
    Brief,
    Effect,
    Evidence,
    Expert,
    Limits,
    Memory,
    Paused,
    PausedTurn,
    Question,
    ToolCall,
    ToolSuggestions,
)
from vital_engine.nouns.transitions import decide, lapse, proposed

CALL = ToolCall("c1", "lookup", {"x": 1}, effect=Effect.READ, cost_usd=Decimal("0.03"))
EXPERT = Expert("e", "E", "", "", tools=("lookup", "other"))
SETTINGS = TurnSettings(tool_cost_ceiling_usd=Decimal("0.10"), never_automatic=("another",))
ALLOWED = "allowed to e, read, within $0.10 for this turn"

#: rule -> what breaks it (of the call, the expert, the settings, the ceiling) and what is then said, in the rules' order
RULES: dict[str, tuple[dict[str, Any], str]] = {
    "allow-list": ({"expert": {"tools": ("other",)}}, "e may not use it"),
    "never automatic": (
        {"settings": {"never_automatic": ("lookup",)}},
        "on the never-automatic list: a person must approve it",
    ),
    "effect": ({"call": {"effect": Effect.EFFECT}}, "it has effects outside of the engine: a person must approve it"),
    "consent": ({"call": {"needs_consent": True}}, "its tool demands consent to each call: a person must approve it"),
    "taint": (
        {"call": {"tainted": True}},
        "its arguments do not come from the question alone: a person must approve it",
    ),
    "ceiling": (
        {"settings": {"tool_cost_ceiling_usd": Decimal("0.02")}},
        "it costs $0.03, more than the $0.02 that are left of this turn's ceiling",
    ),
    "question's ceiling": (
        {"ceiling": Decimal("0.01")},
        "it costs $0.03, more than the $0.01 that are left of this turn's ceiling",
    ),
}


def decided(*broken: str) -> tuple[bool, str]:
    """What the policy says to the call with the rules *broken*."""
    call, expert, settings, ceiling = CALL, EXPERT, SETTINGS, None
    for rule in broken:
        change = RULES[rule][0]
        call = replace(call, **change.get("call", {}))
        expert = replace(expert, **change.get("expert", {}))
        settings = replace(settings, **change.get("settings", {}))
        ceiling = change.get("ceiling", ceiling)
    (decision,) = by_policy(ToolSuggestions((call,)), Brief(expert), settings, ceiling).decisions
    assert decision.by == POLICY and decision.tool_call == call and decision.at is None
    return decision.approved, decision.reason


def test_a_call_that_breaks_no_rule_is_approved_with_its_reason() -> None:
    assert decided() == (True, ALLOWED)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_refuses_by_itself(rule: str) -> None:
    assert decided(rule) == (False, RULES[rule][1])


@pytest.mark.parametrize("size", range(2, len(RULES) + 1))
def test_of_several_that_are_broken_the_first_is_named(size: int) -> None:
    for some in combinations(RULES, size):
        approved, reason = decided(*some)
        assert not approved
        if set(some) == {"ceiling", "question's ceiling"}:  # the lower of the two
            assert reason == RULES["question's ceiling"][1]
        else:
            assert reason == RULES[some[0]][1]


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("tainted", [False, True])
def test_taint_and_effect(effect: Effect, tainted: bool) -> None:
    call = replace(CALL, effect=effect, tainted=tainted)
    (decision,) = by_policy(ToolSuggestions((call,)), Brief(EXPERT), SETTINGS).decisions
    assert decision.approved is {Effect.PURE: True, Effect.EFFECT: False}.get(effect, not tainted)


def test_an_expert_without_a_list_may_use_every_tool() -> None:
    assert by_policy(ToolSuggestions((CALL,)), Brief(replace(EXPERT, tools=())), SETTINGS).decisions[0].approved


def test_what_was_spent_is_added_up_and_what_is_refused_costs_nothing() -> None:
    costs = ["0.04", "0.07", "0.05", "0.02", "0.01", "0", "0.000001"]
    suggestions = ToolSuggestions(
        tuple(replace(CALL, id=f"c{i}", cost_usd=Decimal(usd)) for i, usd in enumerate(costs))
    )
    decisions = by_policy(suggestions, Brief(EXPERT), SETTINGS).decisions
    assert [d.approved for d in decisions] == [True, False, True, False, True, True, False]
    assert decisions[1].reason == "it costs $0.07, more than the $0.06 that are left of this turn's ceiling"
    assert decisions[3].reason == "it costs $0.02, more than the $0.01 that are left of this turn's ceiling"
    assert decisions[6].reason == "it costs $0.000001, more than the $0.00 that are left of this turn's ceiling"


@pytest.mark.parametrize(
    ("ceiling", "approved"), [(None, True), ("0.03", True), ("0.02", False), ("0", False), ("100", True)]
)
def test_the_questions_own_ceiling_lowers_and_never_raises(ceiling: str | None, approved: bool) -> None:
    own = None if ceiling is None else Decimal(ceiling)
    assert by_policy(ToolSuggestions((CALL,)), Brief(EXPERT), SETTINGS, own).decisions[0].approved is approved
    dear = replace(CALL, cost_usd=Decimal("0.11"))
    assert not by_policy(ToolSuggestions((dear,)), Brief(EXPERT), SETTINGS, own).decisions[0].approved


async def test_the_step_takes_the_ceiling_from_the_question() -> None:
    question = Question("x", "t", "u", limits=Limits(cost_usd=Decimal("0.02")))
    opened = Opened(question, Brief(EXPERT), ToolSuggestions((CALL,)), SETTINGS, SETTINGS)
    assert not (await Policy().decide(opened)).approved
    assert (await Policy().decide(replace(opened, question=replace(question, limits=Limits())))).approved == (CALL,)


def test_a_person_is_asked_about_all_that_the_expert_may_use() -> None:
    strange = replace(CALL, id="c2", tool="strange")
    risky = replace(CALL, id="c3", effect=Effect.EFFECT, tainted=True, needs_consent=True)
    (refused,) = not_asked(ToolSuggestions((CALL, strange, risky)), Brief(EXPERT))
    assert (refused.tool_call, refused.approved, refused.by, refused.reason) == (
        strange, False, POLICY, "e may not use it",
    )  # fmt: skip
    assert not_asked(ToolSuggestions((CALL, strange, risky)), Brief(replace(EXPERT, tools=()))) == ()


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def settled(said: Any, call: ToolCall = CALL, *, late: bool = False) -> Approval:
    (open_,) = proposed(paused(ToolSuggestions((call,))), now=NOW, seconds=10)
    if late:
        return lapse(open_, NOW + timedelta(seconds=10))
    return decide(open_, said, by="ann", now=NOW)


def paused(suggestions: ToolSuggestions, **limits: Any) -> Paused:
    question = Question("x", "t", "u", run_id="r", limits=Limits(**limits))
    return Paused(question, 1, Brief(EXPERT), Evidence(), suggestions, Memory())


@pytest.mark.parametrize(
    ("approval", "expected"),
    [
        (settled(ApprovalDecision("approve")), (True, "ann", "approved", {"x": 1})),
        (settled(ApprovalDecision("approve", "sure")), (True, "ann", "sure", {"x": 1})),
        (
            settled(ApprovalDecision("edit", arguments={"x": 2})),
            (True, "ann", "approved with other arguments", {"x": 2}),
        ),
        (settled(ApprovalDecision("reject")), (False, "ann", "rejected", {"x": 1})),
        (settled(None, late=True), (False, UNDECIDED, "nobody decided in time", {"x": 1})),
    ],
)
def test_what_a_person_said_is_what_may_run(approval: Approval, expected: Any) -> None:
    refused = not_asked(ToolSuggestions((replace(CALL, tool="strange"),)), Brief(EXPERT))
    turn = PausedTurn(replace(paused(ToolSuggestions((CALL,))), refused=refused), (approval,))
    decision, last = by_person(turn).decisions
    assert (decision.approved, decision.by, decision.reason, decision.tool_call.arguments) == expected
    assert (last, decision.at) == (refused[0], approval.decided_at)


def test_a_persons_yes_is_bound_to_what_the_question_may_cost() -> None:
    costs = ["0.04", "0.07", "0.05", "0.02", "0.01"]
    calls = [replace(CALL, id=f"c{i}", cost_usd=Decimal(usd)) for i, usd in enumerate(costs)]
    said = tuple(settled(ApprovalDecision("approve" if i != 2 else "reject"), call) for i, call in enumerate(calls))
    bound = by_person(PausedTurn(paused(ToolSuggestions(), cost_usd=Decimal("0.07")), said)).decisions
    assert [(d.approved, d.by) for d in bound] == [
        (True, "ann"), (False, POLICY), (False, "ann"), (True, "ann"), (True, "ann"),
    ]  # fmt: skip
    assert bound[1].reason == "it costs $0.07, more than the $0.03 that are left of this turn's ceiling"
    free = by_person(PausedTurn(paused(ToolSuggestions()), said)).decisions
    assert [d.approved for d in free] == [True, True, False, True, True]
    assert [d.tool_call for d in not_asked(ToolSuggestions(tuple(calls)), Brief(EXPERT), Decimal("0.05"))] == [calls[1]]


cents = st.integers(0, 12).map(lambda n: Decimal(n) / 100)
tool_calls = st.builds(
    ToolCall,
    st.uuids().map(str),
    st.sampled_from(["lookup", "other", "another", "strange"]),
    st.just({}),
    cost_usd=cents,
    effect=st.sampled_from(Effect),
    tainted=st.booleans(),
    needs_consent=st.booleans(),
)


@given(st.lists(tool_calls, max_size=8).map(tuple), st.none() | cents, st.booleans())
def test_whatever_is_proposed_no_rule_is_ever_broken(calls: Any, ceiling: Decimal | None, open_list: bool) -> None:
    expert = replace(EXPERT, tools=() if open_list else EXPERT.tools)
    consent = by_policy(ToolSuggestions(calls), Brief(expert), SETTINGS, ceiling)
    assert [d.tool_call for d in consent.decisions] == list(calls)
    assert all(d.reason for d in consent.decisions)
    limit = min(Decimal("0.10"), ceiling if ceiling is not None else Decimal("0.10"))
    assert sum((c.cost_usd for c in consent.approved), Decimal(0)) <= limit
    for call in consent.approved:
        assert call.tool != "another" and (open_list or call.tool in expert.tools)
        assert not call.needs_consent and call.effect is not Effect.EFFECT
        assert not call.tainted or call.effect is Effect.PURE
