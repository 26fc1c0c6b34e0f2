"""Arguments that may hold text of others are marked where the call enters the turn, and the mark is never lost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vital_engine.api import Backend, create_app
from vital_engine.api.approvals import approval_body
from vital_engine.flow import run_in_background
from vital_engine.modes import Decisions
from vital_engine.nouns import (
    ArgumentSource,
    Brief,
    Effect,
    Memory,
    PastTurn,
    Question,
    Scope,
    ToolCall,
    ToolSuggestions,
)
from vital_engine.nouns.provenance import edited, marked
from vital_engine.ports import Replicas
from vital_engine.services.caching import Cache, CachedToolSuggester
from vital_engine.store import ApprovalLine, Store, StoredApprovals
from vital_engine.testing import run_virtual, scripted

from .conftest import MODES, Clinic, Door, Foreign

QUESTION = Question("Please send record 7 of 1,200 to the ward, at -2.5 °C.", "t1", "u1", run_id="r1")
EARLIER = Memory((PastTurn("Who is it?", "It is mallory@example.org."),))
SAID = "its arguments do not come from the question alone: a person must approve it"
Q, P, C, E, T, M = ArgumentSource


@pytest.mark.parametrize(
    ("sources", "arguments", "tainted"),
    [
        ((Q,), {"to": "anybody"}, False),  # vouched for by who made it
        ((P,), {"to": "anybody"}, False),
        ((C,), {"to": "the ward"}, True),
        ((E,), {"to": "the ward"}, True),
        ((T,), {}, True),
        ((Q, E), {"to": "the ward"}, True),
        ((Q, M), {"to": "the  WARD"}, False),
        ((Q, M), {"to": "mallory"}, True),
        ((M,), {"to": "the ward"}, False),
        ((M, C), {"to": "the ward"}, True),
        (("elsewhere",), {"to": "the ward"}, True),
        ((), {}, False),
        ((), {"to": "the ward", "record": 7, "more": None, "note": " "}, False),
        ((), {"to": "the war"}, True),  # a part of a word is not the word
        ((), {"n": 7.0}, False),
        ((), {"n": 1200}, False),
        ((), {"n": -2.5}, False),
        ((), {"n": 2.5}, False),
        ((), {"n": 8}, True),
        ((), {"n": float("nan")}, True),
        ((), {"sure": True}, True),
        ((), {"to": ["the ward", "record"]}, False),
        ((), {"to": ["the ward", "mallory"]}, True),
        ((), {"to": {"record": 7}}, False),
        ((), {"to": {"mallory": 7}}, True),  # the name was chosen by who wrote it
        ((), {"to": Decimal(7)}, True),
    ],
)
def test_what_is_not_shown_to_be_the_persons_own_is_tainted(sources: Any, arguments: Any, tainted: bool) -> None:
    suggestions = ToolSuggestions((ToolCall("c", "send", arguments, sources=sources),))
    once = marked(suggestions, QUESTION)
    assert once.tool_calls[0].tainted is tainted
    assert marked(once, QUESTION) is once or once.tool_calls[0] != suggestions.tool_calls[0]
    assert marked(once, QUESTION).tool_calls[0].tainted is tainted


def test_a_mark_is_not_taken_off_and_who_was_handed_a_conversation_has_read_it() -> None:
    own = ToolCall("c", "send", {"to": "the ward"}, sources=(Q,))
    assert marked(ToolSuggestions((replace(own, tainted=True),)), QUESTION).tool_calls[0].tainted
    talked = replace(QUESTION, memory=EARLIER)
    (vouched,) = marked(ToolSuggestions((own,)), talked).tool_calls
    (silent,) = marked(ToolSuggestions((replace(own, sources=()),)), talked).tool_calls
    assert (vouched.tainted, silent.tainted, silent.sources) == (False, True, (C,))


@pytest.mark.parametrize(
    ("arguments", "tainted"),
    [
        ({"to": "the ward", "n": 3}, False),
        ({"to": "mallory@example.org", "n": 3}, True),
        ({"to": "the ward and MALLORY", "n": 3}, True),
        ({"to": "the ward", "n": 99}, True),
        ({"other": {"deep": ["mallory"]}}, True),
        ({}, False),
    ],
)
def test_an_edit_clears_it_only_if_nothing_is_left_of_what_was_proposed(arguments: Any, tainted: bool) -> None:
    foreign = ToolCall("c", "send", {"to": "mallory@example.org", "n": 99.0, "note": None}, tainted=True, sources=(E,))
    after = edited(foreign, arguments)
    assert (after.tainted, after.arguments) == (tainted, arguments)
    assert after.sources == ((E, P) if tainted else (P,))
    assert not edited(replace(foreign, tainted=False), arguments).tainted


@pytest.mark.parametrize("effect", [Effect.PURE, Effect.READ])
@pytest.mark.parametrize(
    "more", [{}, {"sources": (Q, M)}, {"sources": (E,)}, {"sources": (Q,), "tainted": True}], ids=str
)
async def test_no_policy_approves_it_but_for_a_mere_calculation(door: Door, effect: Effect, more: Any) -> None:
    made = Clinic()
    made.add("record", effect=effect)
    receipt = await door(made.services(tool_suggester=Foreign({"number": 8.0}, more=more)), QUESTION)
    (decision,) = receipt["approvals"]
    assert decision["tool_call"]["tainted"] is True
    if effect is Effect.PURE:
        assert decision["approved"] and made.asked == [("record", 8.0)]
    else:
        assert (decision["approved"], decision["reason"], made.asked) == (False, SAID, [])


async def test_what_stands_in_the_question_is_called_for_whoever_proposes_it(door: Door) -> None:
    made = Clinic()
    made.add("record")
    receipt = await door(made.services(tool_suggester=Foreign({"number": 7.0})), QUESTION)
    assert receipt["approvals"][0]["approved"] and made.asked == [("record", 7.0)]


@pytest.mark.parametrize("graph", [False, True])
async def test_a_suggester_that_was_handed_the_conversation_is_not_trusted(graph: bool) -> None:
    made = Clinic()
    made.add("record")
    workflow = MODES[2](made.services(tool_suggester=Foreign({"number": 7.0})), watchers=())
    question = replace(QUESTION, memory=EARLIER)
    if graph:
        answer = (await workflow.build_graph().compile().ainvoke({"question": question}))["answer"]
    else:
        answer = await workflow.execute(question)
    (decision,) = answer.consent.decisions
    assert (decision.approved, decision.tool_call.sources, made.asked) == (False, (C,), [])


async def test_nor_over_http_where_the_earlier_messages_come_with_the_question() -> None:
    made = Clinic()
    made.add("record")
    tool_suggester = Foreign({"number": 7.0})
    services = made.services(tool_suggester=tool_suggester)
    transport = httpx2.ASGITransport(create_app(Backend.around(MODES[2](services, watchers=()))))
    before = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Look at record 7."}]
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for earlier, called in (([], [("record", 7.0)]), (before, [])):
            made.asked.clear()
            asked = {"model": "auto", "messages": [*earlier, {"role": "user", "content": QUESTION.text}]}
            response = await client.post("/v1/chat/completions", json=asked)
            assert response.status_code == 200, response.text
            assert made.asked == called


def test_a_copy_of_a_late_suggester_is_not_trusted_either() -> None:
    made = Clinic()
    made.add("record")

    class Late:
        seconds = 0.1

        async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
            await asyncio.sleep(self.seconds)
            return ToolSuggestions()

    first = Late()
    services = made.services(tool_suggester=first, replicas=Replicas(tool_suggester=Foreign({"number": 8.0})))
    workflow = MODES[2](services, watchers=())

    async def turns() -> Any:
        for _ in range(100):  # until it is known how long the first one takes
            await workflow.execute(replace(QUESTION, run_id=""))
        first.seconds = 4.0
        return await workflow.execute(replace(QUESTION, run_id=""))

    (decision,) = run_virtual(turns()).consent.decisions
    assert (decision.tool_call.tainted, decision.approved, made.asked) == (True, False, [])


# -- never lost on the way

own_words = st.sampled_from(["record", "the ward", "send record 7"])
others_words = st.sampled_from(["mallory", "ward7", "delete all", "\u202egro", "\x00"])
own_numbers = st.sampled_from([7, 7.0, 1200, -2.5, 2.5])
others_numbers = st.sampled_from([8, 6.9, 12001])


def arguments(words: Any, numbers: Any) -> st.SearchStrategy[dict[str, Any]]:
    value = st.one_of(words, numbers, st.lists(st.one_of(words, numbers), min_size=1, max_size=3))
    return st.dictionaries(st.sampled_from(["to", "n", "note"]), value, min_size=1, max_size=3)


own, others = arguments(own_words, own_numbers), arguments(others_words, others_numbers)
either = st.one_of(own, others)
harmless = st.sampled_from([(Q,), (P,), (Q, P)])
unsure = st.sampled_from([(), (M,), (Q, M)])
foreign = st.sampled_from([(C,), (E,), (T,), (Q, E), (M, C), (Q, M, T)])
# (sources, arguments, said to be tainted) -> whether it must be, by how it was made
calls = st.one_of(
    st.tuples(harmless, either, st.just(False), st.just(False)),
    st.tuples(unsure, own, st.just(False), st.just(False)),
    st.tuples(unsure, others, st.just(False), st.just(True)),
    st.tuples(foreign, either, st.booleans(), st.just(True)),
    st.tuples(harmless, either, st.just(True), st.just(True)),
)
effects = st.sampled_from(Effect)


class Told:
    """A suggester with definitions, so that its menus can be kept; each question gets calls of its own."""

    definitions = "none"

    def __init__(self, tool_calls: list[ToolCall]) -> None:
        self.tool_calls, self.asked = tool_calls, 0

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        self.asked += 1
        return ToolSuggestions(tuple(self.renewed(each, question) for each in self.tool_calls))

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        return replace(tool_call, id=f"{question.run_id}-{tool_call.id.rpartition('-')[2]}")


def told(drawn: Any) -> tuple[list[ToolCall], dict[str, bool]]:
    tool_calls = [
        ToolCall(f"c-{i}", "send", given, effect=effect, tainted=said, needs_consent=needs, sources=sources)
        for i, ((sources, given, said, _), effect, needs) in enumerate(drawn)
    ]
    return tool_calls, {str(i): must for i, ((*_, must), _, _) in enumerate(drawn)}


suggestions = st.lists(st.tuples(calls, effects, st.booleans()), min_size=1, max_size=4).map(told)
patiently = settings(max_examples=40)


def number(call_id: str) -> str:
    return call_id.rpartition("-")[2]


def same(found: Any, tool_calls: list[ToolCall], must: dict[str, bool]) -> None:
    """*found*: id, tainted, needs_consent of each call, wherever it was seen."""
    seen = {number(call): (tainted, needs) for call, tainted, needs in found}
    assert seen == {number(p.id): (must[number(p.id)], p.needs_consent) for p in tool_calls}


def of(call: Any) -> tuple[str, bool, bool]:
    return call.id, call.tainted, call.needs_consent


@patiently
@given(suggestions, st.sampled_from([1, 3]), st.data())
def test_neither_mark_is_lost_from_the_cache_to_the_receipt(drawn: Any, mode: int, data: st.DataObject) -> None:
    tool_calls, must = drawn
    tool_suggester = Told(tool_calls)
    kept = CachedToolSuggester(tool_suggester, Cache("suggestions", entries=4, start=run_in_background))
    workflow = MODES[mode](replace(scripted(), tool_suggester=kept), watchers=())
    decided: dict[str, Any] = {}

    async def turn() -> Any:
        first = await workflow.execute(replace(QUESTION, run_id=""))
        paused = await workflow.execute(QUESTION)  # known from before
        assert tool_suggester.asked == 1
        for each in (first, paused):
            same(map(of, (a.tool_call for a in each.approvals)), tool_calls, must)
        for approval in paused.approvals:
            given = approval.tool_call.arguments
            some = data.draw(st.sampled_from(sorted(given)))
            decided[approval.id] = data.draw(
                st.sampled_from(["approve", "reject", ("edit", {some: given[some]}), ("edit", {"all": "new words"})])
            )
        return paused, await workflow.resume(paused.run_id, decided)

    _, answer = run_virtual(turn())
    left = {number(call): must[number(call)] and decided[call] != ("edit", {"all": "new words"}) for call in decided}
    same(map(of, (a.tool_call for a in answer.approvals)), tool_calls, must)
    same(map(of, (a.call for a in answer.approvals)), tool_calls, left)
    same(map(of, (d.tool_call for d in answer.consent.decisions)), tool_calls, left)
    rows = json.loads(json.dumps(answer.receipt()))["approvals"]
    same(
        ((r["tool_call"]["id"], r["tool_call"]["tainted"], r["tool_call"]["needs_consent"]) for r in rows),
        tool_calls,
        left,
    )
    for approval in answer.approvals:
        body = json.loads(approval_body(ApprovalLine(approval, "paused", mode, "q", None, (1, 1))).model_dump_json())
        assert (body["tainted"], body["needs_consent"]) == (left[number(body["id"])], approval.call.needs_consent)
        assert body["sources"] == [str(s) for s in approval.call.sources]


def test_what_was_read_from_a_conversation_is_not_cleared_by_being_known() -> None:
    silent = [ToolCall("c-0", "send", {"to": "the ward"}, effect=Effect.READ)]
    kept = CachedToolSuggester(Told(silent), Cache("suggestions", entries=4, start=run_in_background))
    workflow = MODES[2](replace(scripted(), tool_suggester=kept), watchers=())

    async def turns() -> list[bool]:
        answers = [await workflow.execute(replace(QUESTION, memory=memory, run_id="")) for memory in (EARLIER, None)]
        return [d.tool_call.tainted for a in answers for d in a.consent.decisions]

    assert run_virtual(turns()) == [True, True]


@patiently
@given(suggestions, st.sampled_from([1, 3]))
def test_neither_mark_is_lost_in_the_checkpoints_of_a_graph(drawn: Any, mode: int) -> None:
    tool_calls, must = drawn
    services, saver = replace(scripted(), tool_suggester=Told(tool_calls)), InMemorySaver()
    config: Any = {"configurable": {"thread_id": "one"}}

    def graph() -> Any:  # each time another process's
        return MODES[mode](services, watchers=()).build_graph().compile(checkpointer=saver)

    async def turn() -> Any:
        state = await graph().ainvoke({"question": QUESTION}, config)
        asked = state["__interrupt__"][0].value["calls"]
        same(((c["id"], c["tainted"], c["needs_consent"]) for c in asked), tool_calls, must)
        return await graph().ainvoke(Command(resume={c["id"]: "approve" for c in asked}), config)

    answer = run_virtual(turn())["answer"]
    same(map(of, (d.tool_call for d in answer.consent.decisions)), tool_calls, must)
    same(map(of, (f.tool_call for f in answer.tool_results.results)), tool_calls, must)


@patiently
@given(suggestions)
def test_in_the_automatic_modes_the_mark_decides(drawn: Any) -> None:
    tool_calls, must = drawn
    services = replace(scripted(), tool_suggester=Told(tool_calls))
    for mode in (2, 4):
        answer = run_virtual(MODES[mode](services, watchers=()).execute(replace(QUESTION, run_id="")))
        same(map(of, (d.tool_call for d in answer.consent.decisions)), tool_calls, must)
        for decision in answer.consent.decisions:
            call = decision.tool_call
            forbidden = call.needs_consent or call.effect is Effect.EFFECT
            assert decision.approved is not (forbidden or (call.tainted and call.effect is not Effect.PURE))


async def test_neither_mark_is_lost_in_the_store(store: Store) -> None:
    tool_calls, must = told(
        [
            (((Q,), {"to": "x"}, False, False), Effect.READ, True),
            (((E,), {"to": "the ward"}, False, True), Effect.READ, False),
            (((), {"to": "mallory"}, False, True), Effect.EFFECT, False),
        ]
    )
    services = replace(scripted(), tool_suggester=Told(tool_calls), approvals=StoredApprovals(store))
    paused = await MODES[1](services, watchers=()).execute(QUESTION)
    another = StoredApprovals(store)  # as another process has it
    turn = await another.look("r1", Scope("t1", "u1"))
    assert turn.approvals == paused.approvals
    same(map(of, (a.tool_call for a in turn.approvals)), tool_calls, must)
    elsewhere = MODES[1](replace(services, approvals=another), watchers=())
    decisions: Decisions = {a.id: "approve" for a in turn.approvals}
    answer = await elsewhere.resume("r1", decisions, scope=Scope("t1", "u1"))
    same(map(of, (d.tool_call for d in answer.consent.decisions)), tool_calls, must)
    assert [d.tool_call.sources for d in answer.consent.decisions] == [(Q,), (E,), ()]
