"""Turns in which a model suggests the tool calls: a real server on loopback, in all four modes and in the graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from model_server import ModelServer, Reply
from vital_engine import (
    Answer,
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
)
from vital_engine.modes import Decisions
from vital_engine.nouns import Brief, Expert, Memory, PastTurn, Question, Usage
from vital_engine.ports import Replicas, Router
from vital_engine.services.cost import Prices
from vital_engine.services.llm.openai_compatible import OpenAICompatible
from vital_engine.services.tools import ModelSuggester, ToolArgumentValidator, Toolbox
from vital_engine.testing import ScriptedServices, scripted

MODES: tuple[type[ParallelBaseWorkflow], ...] = (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
TEXT = "How much is left of 80 mg after 3 half-lives?"
PRICES = {"small": {"input": "0.000001", "output": "0.000002"}, "scripted": {"input": "0", "output": "0"}}
ANN = ("greet", '{"name": "Ann"}')
EIGHT = ("half_life_left", '{"dose_mg": 8, "half_lives": 1}')


def half_life_left(dose_mg: float, half_lives: int) -> float:
    """What is left of a dose after some half-lives."""
    return dose_mg / 2.0**half_lives


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


class Anybody:
    """Fulfils Roster: one expert, who may use every tool."""

    async def route(self, question: Question, *, mode: int) -> Brief:
        return Brief(Expert("e", "E", "", "Answer."), "the only one")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(model="small") as server:
        yield server


@pytest.fixture
async def services(server: ModelServer) -> AsyncIterator[ScriptedServices]:
    model = OpenAICompatible("small", base_url=server.base_url, provider="house")
    box = Toolbox([half_life_left, greet], model=True)
    router: Router = Anybody()
    yield replace(
        scripted(),
        router=router,
        tool_suggester=ModelSuggester(model, box),
        caller=box,
        argument_validator=ToolArgumentValidator(box),
        accountant=Prices(PRICES),
    )
    await model.aclose()


def ask(make: type[ParallelBaseWorkflow], text: str = TEXT, **more: Any) -> Question:
    chat = make in (Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow)
    return Question(text, "t1", "u1", conversation="c1" if chat else None, **more)


async def through(make: type[ParallelBaseWorkflow], services: ScriptedServices, **settings: Any) -> Answer:
    """A whole turn; where a person is asked, all is approved."""
    workflow = make(services, watchers=(), **settings)
    answer = await workflow.execute(ask(make))
    if answer.status != "paused":
        return answer
    paid = [row.call for row in answer.cost.rows]
    assert [(call.purpose, row.usd) for call, row in zip(paid, answer.cost.rows, strict=True)] == [("suggest", None)]
    decisions: Decisions = {approval.id: "approve" for approval in answer.approvals}
    resumed = await workflow.resume(answer.run_id, decisions)
    assert [row.call for row in resumed.cost.rows if row.call.purpose == "suggest"] == paid
    return resumed


def suggested(answer: Answer) -> Any:
    (row,) = [row for row in answer.cost.rows if row.call.purpose == "suggest"]
    assert any(each["call"]["purpose"] == "suggest" for each in answer.receipt()["cost"]["calls"])
    return row


def called(answer: Answer) -> list[tuple[str, Any]]:
    return [(tool_result.tool_call.tool, tool_result.value) for tool_result in answer.tool_results.results]


@pytest.mark.parametrize("profile", ["dataflow", "tiers", "sequential"])
@pytest.mark.parametrize("make", MODES, ids=lambda make: make.__name__)
async def test_what_it_suggests_is_called_and_paid_for(
    make: type[ParallelBaseWorkflow], profile: str, services: ScriptedServices, server: ModelServer
) -> None:
    server.say(Reply("a b", function_calls=(ANN, EIGHT), prompt_tokens=300))
    answer = await through(make, services, profile=profile)
    assert (answer.status, answer.degraded, answer.warnings) == ("complete", {}, ())
    assert called(answer) == [("greet", "Hello Ann"), ("half_life_left", 4.0)]
    row = suggested(answer)
    assert (row.call.id, row.call.status) == (f"{answer.run_id}/suggest", "done")
    assert row.call.usage == Usage(input=300, output=2)
    assert row.usd == 300 * Decimal("0.000001") + 2 * Decimal("0.000002")
    assert answer.cost.usd is not None
    assert answer.cost.usd >= row.usd
    assert len(server.requests) == 1
    (kept,) = services.kept[-1:]
    assert kept.cost == answer.cost


@pytest.mark.parametrize(
    ("reply", "degraded", "status"),
    [
        (Reply(status=500), "error", "failed"),
        (Reply(body=b"<html>"), "error", "failed"),
        (Reply(first=60.0), "timeout", "cancelled"),
        (Reply("a b", function_calls=(("rm", "{}"), ("greet", "{"))), "", "done"),
    ],
    ids=["500", "html", "hang", "unusable"],
)
@pytest.mark.parametrize("make", MODES, ids=lambda make: make.__name__)
async def test_where_it_gives_nothing_the_matched_call_stands(
    make: type[ParallelBaseWorkflow],
    reply: Reply,
    degraded: str,
    status: str,
    services: ScriptedServices,
    server: ModelServer,
) -> None:
    server.say(reply)
    limit = 300 if degraded == "timeout" else 5000
    answer = await through(make, services, parallel_timeout_ms=limit)
    assert answer.status == "complete"
    assert called(answer) == [("half_life_left", 10.0)]
    row = suggested(answer)
    assert row.call.status == status
    assert (row.call.usage is None) == (status != "done")
    assert answer.degraded == ({"suggest": degraded} if degraded else {})
    # A call whose use nobody knows makes the sum a lower bound, and is not free.
    assert (answer.cost.usd is None) == (row.call.usage is None)
    if degraded:
        (warning,) = answer.warnings
        assert warning.startswith("The model that suggests tools did not answer")
        assert "none was considered" not in str(services.prompts[-1])
    if degraded == "timeout":
        assert await asyncio.to_thread(server.wait_for_disconnect, server.requests[0])


async def test_it_is_asked_while_documents_are_searched(services: ScriptedServices, server: ModelServer) -> None:
    server.say(Reply(function_calls=(ANN,), first=0.3))
    slow = replace(services, retriever=scripted(retrieve=0.3).retriever)
    answer = await through(Mode2AutomaticWorkflow, slow)
    row = answer.receipt()["steps"]
    assert row["suggest"]["began"] < row["retrieve"]["ended"]
    assert row["retrieve"]["began"] < row["suggest"]["ended"]


async def test_a_model_that_fails_after_it_is_not_the_only_one_on_the_bill(
    services: ScriptedServices, server: ModelServer
) -> None:
    server.say(Reply("a b", function_calls=(ANN,)))
    broken = replace(services, llm=scripted(reply=RuntimeError("down")).llm)
    answer = await through(Mode2AutomaticWorkflow, broken)
    assert answer.status == "failed"
    assert [row.call.purpose for row in answer.cost.rows] == ["reply", "suggest"]
    assert suggested(answer).call.usage is not None


async def test_a_turn_that_is_cancelled_tells_what_it_was_paid(services: ScriptedServices, server: ModelServer) -> None:
    server.say(Reply("a b", function_calls=(ANN,)))
    slow = replace(services, llm=scripted(reply=60.0).llm)
    workflow = Mode2AutomaticWorkflow(slow, watchers=())
    turn = workflow.start(ask(Mode2AutomaticWorkflow))
    async for event in turn.events:
        if getattr(event, "kind", "") == "token" or getattr(event, "step", "") == "reply":
            break
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn.answer()
    while not services.kept:
        await asyncio.sleep(0.01)
    (kept,) = services.kept
    rows = {row.call.purpose: row.call for row in kept.cost.rows}
    assert rows["reply"].status == "cancelled"
    assert rows["suggest"].status == "done"


async def test_also_a_turn_that_is_cancelled_after_its_pause(services: ScriptedServices, server: ModelServer) -> None:
    server.say(Reply("a b", function_calls=(ANN,)))
    slow = replace(services, llm=scripted(reply=60.0).llm)
    workflow = Mode1ManualWorkflow(slow, watchers=())
    paused = await workflow.execute(ask(Mode1ManualWorkflow))
    turn = await workflow.start_resumed(paused.run_id, {paused.approvals[0].id: "approve"})
    async for event in turn.events:
        if getattr(event, "step", "") == "reply":
            break
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn.answer()
    while not services.kept:
        await asyncio.sleep(0.01)
    assert {row.call.purpose: row.call.status for row in services.kept[0].cost.rows} == {
        "reply": "cancelled",
        "suggest": "done",
    }


async def test_what_comes_of_a_conversation_that_was_handed_in_is_marked(
    services: ScriptedServices, server: ModelServer
) -> None:
    server.say(Reply(function_calls=(ANN,)), Reply(function_calls=(ANN,)))
    workflow = Mode1ManualWorkflow(services, watchers=())
    text = f"Greet Ann. {TEXT}"  # a value that a model gives must stand in the question, or it is marked too
    alone = await workflow.execute(ask(Mode1ManualWorkflow, text))
    memory = Memory((PastTurn("Who is she?", "She is Ann."),))
    handed = await workflow.execute(ask(Mode1ManualWorkflow, text, memory=memory))
    assert [[a.tool_call.tainted for a in answer.approvals] for answer in (alone, handed)] == [[False], [True]]
    assert "She is Ann." in str(server.requests[1].body["messages"])


async def test_a_second_suggester_of_the_plain_kind_may_stand_beside_it(
    services: ScriptedServices, server: ModelServer
) -> None:
    server.say(Reply(function_calls=(ANN,)))
    both = replace(services, replicas=Replicas(tool_suggester=scripted().tool_suggester))
    answer = await through(Mode2AutomaticWorkflow, both)
    assert called(answer) == [("greet", "Hello Ann")]
    assert len(server.requests) == 1  # a model is not asked twice


async def test_in_a_graph_it_is_the_same(services: ScriptedServices, server: ModelServer) -> None:
    server.say(Reply("a b", function_calls=(ANN, EIGHT), prompt_tokens=300))
    graph = Mode2AutomaticWorkflow(services, watchers=()).build_graph().compile()
    state = await graph.ainvoke({"question": ask(Mode2AutomaticWorkflow)})
    answer: Answer = state["answer"]
    assert called(answer) == [("greet", "Hello Ann"), ("half_life_left", 4.0)]
    assert suggested(answer).call.usage == Usage(input=300, output=2)
    assert suggested(answer).usd is not None


async def test_the_cost_task_alone_needs_no_suggestions(services: ScriptedServices) -> None:
    workflow = Mode2AutomaticWorkflow(scripted(), watchers=())
    answer = await workflow.execute(ask(Mode2AutomaticWorkflow))
    cost = await workflow._cost_tracking_task({"question": answer.question, "draft": answer.draft})
    assert [row.call.purpose for row in cost.rows] == ["reply"]
