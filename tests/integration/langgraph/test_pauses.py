"""A person's decision in a graph: asked by an interrupt, taken once, and no tool called twice for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vital_engine import Mode1ManualWorkflow, Mode3ChatManualWorkflow
from vital_engine.errors import Conflict, ConversationBusy, NotFound, StoreError
from vital_engine.modes import Decisions
from vital_engine.nouns import Effect, Question, Scope, ToolCall, ToolSuggestions
from vital_engine.testing import ScriptedServices, run_virtual, scripted

CONFIG: Any = {"configurable": {"thread_id": "one"}}
TWO = ToolSuggestions(
    (
        ToolCall(
            "call-1", "scripted_tool", {"x": 6}, effect=Effect.EFFECT, cost_usd=Decimal("0.02"), needs_consent=True
        ),
        ToolCall("call-2", "scripted_tool", {"x": 7}),
    )
)


def calls_of(services: ScriptedServices, port: str) -> int:
    return sum(call.port == port for call in services.calls)


def graph_of(services: ScriptedServices, saver: Any, mode: Any = Mode1ManualWorkflow, **settings: Any) -> Any:
    return mode(services, **settings).build_graph().compile(checkpointer=saver)


async def paused(graph: Any, question: Question, **context: Any) -> Any:
    state = await graph.ainvoke({"question": question}, CONFIG, context=context)
    (pause,) = state["__interrupt__"]
    return pause.value


def test_what_is_shown_is_all_that_a_person_must_know(question: Question) -> None:
    shown = run_virtual(paused(graph_of(scripted(suggest=(0.1, TWO)), InMemorySaver()), question))
    assert (shown["kind"], [c["id"] for c in shown["calls"]]) == ("approval", ["call-1", "call-2"])
    assert shown["calls"][0] | {"expires_at": ""} == {
        "id": "call-1",
        "tool": "scripted_tool",
        "arguments": {"x": 6},
        "reason": "",
        "cost_usd": "0.02",
        "effect": "effect",
        "tainted": True,  # who proposed it does not say whence the 6 comes, and the question does not either
        "sources": [],
        "needs_consent": True,
        "expires_at": "",
    }


@pytest.mark.parametrize("mode", [Mode1ManualWorkflow, Mode3ChatManualWorkflow])
def test_approved_runs_and_rejected_does_not_and_retrieval_ran_once(question: Question, mode: Any) -> None:
    services = scripted(retrieve=0.5, suggest=(0.1, TWO), reply=1.5)

    async def turn() -> Any:
        graph = graph_of(services, InMemorySaver(), mode)
        await paused(graph, question)
        await asyncio.sleep(86_400)  # a day passes, and counts nowhere
        return await graph.ainvoke(Command(resume={"call-1": "approve", "call-2": ["reject", "no"]}), CONFIG)

    answer = run_virtual(turn())["answer"]
    assert (answer.status, answer.timing.total) == ("complete", 2.0)
    assert [(f.tool_call.id, f.status) for f in answer.tool_results.results] == [("call-1", "done")]
    assert [(d.approved, d.by, d.reason) for d in answer.consent.decisions] == [
        (True, "u1", "approved"),
        (False, "u1", "no"),
    ]
    assert [a.status for a in answer.approvals] == ["done", "rejected"]
    assert [calls_of(services, port) for port in ("brief", "retrieve", "invoke", "reply", "save")] == [1] * 5


def test_a_turn_is_resumed_by_another_process_with_the_settings_of_its_request(question: Question) -> None:
    services, saver = scripted(suggest=(0.1, TWO), assess=0.4, cite=0.4, tally=0.4, sentences=1), InMemorySaver()

    async def turn() -> Any:
        await paused(graph_of(services, saver), question, post_generation_timeout_ms=100)
        decision = Command(resume={"call-1": "approve", "call-2": "approve"})
        return await graph_of(services, saver).ainvoke(decision, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert {k: v for k, v in answer.degraded.items() if v == "timeout"} == dict.fromkeys(
        ("cite", "assess", "tally"), "timeout"
    )
    assert calls_of(services, "invoke") == 2


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("yes", "tool.invalid_arguments"),
        ({"call-1": "maybe"}, "tool.invalid_arguments"),
        ({"call-9": "approve"}, "turn.not_found"),
    ],
)
def test_what_is_no_decision_is_asked_again_with_what_was_wrong(question: Question, said: Any, code: str) -> None:
    services = scripted(suggest=(0.1, TWO))

    async def turn() -> Any:
        graph = graph_of(services, InMemorySaver())
        await paused(graph, question)
        again = await graph.ainvoke(Command(resume=said), CONFIG)
        (pause,) = again["__interrupt__"]
        assert pause.value["error"]["code"] == code
        assert calls_of(services, "invoke") == 0
        rest = await graph.ainvoke(Command(resume={"call-1": "reject"}), CONFIG)
        (pause,) = rest["__interrupt__"]
        assert [c["id"] for c in pause.value["calls"]] == ["call-2"] and "error" not in pause.value
        return await graph.ainvoke(Command(resume={"call-2": "approve"}), CONFIG)

    answer = run_virtual(turn())["answer"]
    assert [f.tool_call.id for f in answer.tool_results.results] == ["call-2"]


def test_an_edit_runs_with_the_arguments_of_the_person(question: Question) -> None:
    services = scripted(suggest=(0.1, TWO))

    async def turn() -> Any:
        graph = graph_of(services, InMemorySaver())
        await paused(graph, question)
        return await graph.ainvoke(Command(resume={"call-1": ["edit", {"x": 9}], "call-2": "reject"}), CONFIG)

    answer = run_virtual(turn())["answer"]
    (made,) = [call.arguments["tool_call"] for call in services.calls if call.port == "invoke"]
    assert (made.arguments, answer.approvals[0].status) == ({"x": 9}, "done")


def test_a_decision_that_comes_too_late_approves_nothing(question: Question) -> None:
    services = scripted(suggest=(0.1, TWO))

    async def turn() -> Any:
        graph = graph_of(services, InMemorySaver(), approval_seconds=60)
        await paused(graph, question)
        await asyncio.sleep(61)
        return await graph.ainvoke(Command(resume={"call-1": "approve", "call-2": "approve"}), CONFIG)

    answer = run_virtual(turn())["answer"]
    assert (answer.status, answer.tool_results.results) == ("complete", ())
    assert {d.reason for d in answer.consent.decisions} == {"nobody decided in time"}
    assert calls_of(services, "invoke") == 0


@pytest.mark.parametrize("clients", [2, 8])
def test_clients_who_approve_at_once_make_one_call_and_one_answer(question: Question, clients: int) -> None:
    services, saver = scripted(suggest=(0.1, TWO), invoke=0.2, reply=30.0), InMemorySaver()

    async def turn() -> Any:
        await paused(graph_of(services, saver), question)
        decision = Command(resume={"call-1": "approve", "call-2": "approve"})
        ends = [graph_of(services, saver).ainvoke(decision, CONFIG) for _ in range(clients)]
        return await asyncio.gather(*ends, return_exceptions=True)

    ends = run_virtual(turn())
    answers = [end["answer"] for end in ends if isinstance(end, dict)]
    assert len(answers) == 1 and answers[0].status == "complete"
    assert all(isinstance(end, Conflict) for end in ends if not isinstance(end, dict))
    assert calls_of(services, "invoke") == 2
    assert len(services.kept) == len(services.prompts) == 1


def test_a_pause_of_the_graph_may_be_answered_on_the_engines_own_path(question: Question) -> None:
    services = scripted(retrieve=0.5, suggest=(0.1, TWO), reply=1.5)

    async def turn() -> Any:
        workflow = Mode1ManualWorkflow(services)
        graph = workflow.build_graph().compile(checkpointer=InMemorySaver())
        shown = await paused(graph, question)
        decisions: Decisions = {"call-1": "approve", "call-2": "reject"}
        answer = await workflow.resume(shown["run_id"], decisions, scope=Scope("t1", "u1"))
        with pytest.raises(Conflict, match="answered"):
            await graph.ainvoke(Command(resume=decisions), CONFIG)
        return answer

    answer = run_virtual(turn())
    assert (answer.status, answer.timing.total, answer.expert) == ("complete", 2.0, "scripted")
    assert answer.evidence.passages and all(outcome.value is not None for outcome in answer.outcomes.values())
    assert [calls_of(services, port) for port in ("retrieve", "invoke", "reply", "save")] == [1] * 4


def test_who_waits_for_another_that_does_not_end_is_told_so(question: Question) -> None:
    services = scripted()

    async def turn() -> float:
        graph = graph_of(services, InMemorySaver(), turn_timeout_ms=1000, lease_seconds=1)
        shown = await paused(graph, question)
        assert services.approvals is not None
        await services.approvals.claim(shown["run_id"], Scope("t1", "u1"), seconds=3600)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Conflict, match="has not ended"):
            await graph.ainvoke(Command(resume={"call-1": "approve"}), CONFIG)
        return asyncio.get_running_loop().time() - began

    assert 3.0 <= run_virtual(turn()) < 4.1
    assert calls_of(services, "invoke") == 0


def test_a_double_click_in_one_process_makes_one_call_and_one_answer(question: Question) -> None:
    services = scripted(suggest=(0.1, TWO), invoke=0.2, reply=1.5)

    async def turn() -> Any:
        graph = graph_of(services, InMemorySaver())
        await paused(graph, question)
        decision = Command(resume={"call-1": "approve", "call-2": "approve"})
        ends = await asyncio.gather(*(graph.ainvoke(decision, CONFIG) for _ in range(2)), return_exceptions=True)
        return ends, (await graph.aget_state(CONFIG)).values

    ends, kept = run_virtual(turn())
    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "dict"]
    assert calls_of(services, "invoke") == 2
    assert kept["answer"].status == "complete" and len(services.kept) == 1


def test_a_turn_that_was_cut_after_its_tools_calls_none_of_them_again(question: Question) -> None:
    services, saver = scripted(suggest=(0.1, TWO), invoke=0.2, reply=("hang")), InMemorySaver()

    async def turn() -> Any:
        graph = graph_of(services, saver)
        await paused(graph, question)
        decision = Command(resume={"call-1": "approve", "call-2": "approve"})
        going = asyncio.ensure_future(graph.ainvoke(decision, CONFIG))
        await asyncio.sleep(5)
        going.cancel()
        await asyncio.wait({going})
        elsewhere = graph_of(services, saver, reply_timeout_ms=1000)
        return await elsewhere.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert (answer.status, calls_of(services, "invoke"), calls_of(services, "retrieve")) == ("failed", 2, 1)
    assert [f.status for f in answer.tool_results.results] == ["done", "done"]


def test_a_pause_that_cannot_be_kept_goes_on_without_tools_and_says_so(question: Question, drive: Any) -> None:
    class Broken:
        async def look(self, run_id: str, scope: Any) -> Any:
            raise NotFound(run_id)

        async def pause(self, paused: Any, *, seconds: float) -> Any:
            raise StoreError("down", service="store")

    broken: Any = Broken()
    services = replace(scripted(), approvals=broken)
    answer = run_virtual(drive(Mode1ManualWorkflow(services), question))["answer"]
    assert (answer.status, answer.degraded, answer.tool_results.results) == ("complete", {"consent": "error"}, ())


def talk(services: ScriptedServices, **settings: Any) -> tuple[Any, list[Any]]:
    """A chat's graph, and two messages to one conversation."""
    workflow = Mode3ChatManualWorkflow(services, enable_tools=False, **settings)
    asked = [Question(text=text, tenant="t1", user="u1", conversation="talk") for text in ("one", "two")]
    return workflow.build_graph().compile(), [{"question": question} for question in asked]


def test_a_conversation_speaks_one_turn_at_a_time_through_the_graph() -> None:
    services = scripted(retrieve=0.5, recall=0.5, reply=1.5)

    async def both() -> None:
        graph, asked = talk(services)
        await asyncio.gather(*(graph.ainvoke(question) for question in asked))

    run_virtual(both())
    ports = [(call.port, call.start) for call in services.calls if call.port in ("brief", "reply", "save")]
    assert ports == [("brief", 0.0), ("reply", 0.5), ("save", 2.0), ("brief", 2.0), ("reply", 2.5), ("save", 4.0)]


def test_a_turn_that_is_cancelled_gives_the_floor_to_the_next() -> None:
    services = scripted(reply="hang")

    async def both() -> float:
        graph, asked = talk(services)
        first, second = (asyncio.ensure_future(graph.ainvoke(question)) for question in asked)
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.wait({first})
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.wait({second})
        return [call.start for call in services.calls if call.port == "reply"][1]

    assert run_virtual(both()) < 1.5


def test_a_refused_message_is_a_typed_error_of_the_graph() -> None:
    async def both() -> Any:
        graph, asked = talk(scripted(reply=1.5), on_contention="refuse")
        return await asyncio.gather(*(graph.ainvoke(question) for question in asked), return_exceptions=True)

    first, second = run_virtual(both())
    assert first["answer"].status == "complete" and isinstance(second, ConversationBusy)
