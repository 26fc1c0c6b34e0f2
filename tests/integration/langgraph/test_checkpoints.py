"""What a checkpointer keeps of a turn is plain, and enough to go on from: elsewhere, later, or after a crash."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow
from vital_engine.errors import ConfigError, InvalidQuestion, StepFailed
from vital_engine.langgraph.state import GraphState
from vital_engine.nouns import Evidence, Question, ToolSuggestions
from vital_engine.testing import run_virtual, scripted

CONFIG: Any = {"configurable": {"thread_id": "one"}}
PLAIN = (dict, list, str, int, float, bool, type(None))


class Strict(JsonPlusSerializer):
    """Revives no class at all, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self.seen: list[Any] = []

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.seen.append(obj)
        return super().dumps_typed(obj)


def foreign(value: Any) -> list[type]:
    """The types in *value* that JSON cannot hold."""
    match value:
        case dict():
            return [t for pair in value.items() for v in pair for t in foreign(v)]
        case list() | tuple():
            return [t for v in value for t in foreign(v)]
        case _:
            return [] if isinstance(value, PLAIN) else [type(value)]


def test_all_that_is_kept_is_plain_json_but_the_question_as_it_was_given(question: Question) -> None:
    serde = Strict()
    graph = Mode1ManualWorkflow(scripted()).build_graph().compile(checkpointer=InMemorySaver(serde=serde))

    async def turn() -> Any:
        state = await graph.ainvoke({"question": question}, CONFIG)
        (pause,) = state["__interrupt__"]
        decision = {pause.value["calls"][0]["id"]: "approve"}
        return await graph.ainvoke(Command(resume=decision), CONFIG)

    assert run_virtual(turn())["answer"].status == "complete"
    kinds = {t.__name__ for value in serde.seen for t in foreign(value)}
    assert kinds == {"Question", "Interrupt"}  # the caller's own, before the first node; LangGraph's own


@pytest.mark.parametrize("serde", [JsonPlusSerializer(), Strict()], ids=["as it comes", "strict"])
def test_the_state_is_the_same_nouns_after_a_checkpoint_and_nothing_is_warned_of(
    question: Question, serde: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sent = {"text": question.text, "tenant": question.tenant, "user": question.user}
    graph = Mode2AutomaticWorkflow(scripted()).build_graph().compile(checkpointer=InMemorySaver(serde=serde))

    async def turn() -> tuple[Any, Any]:
        with caplog.at_level(logging.WARNING):
            ended = await graph.ainvoke({"question": sent}, CONFIG)
            kept = (await graph.aget_state(CONFIG)).values
        return ended, kept

    ended, kept = run_virtual(turn())
    assert {k: v for k, v in kept.items() if k not in ("answer", "outcomes")} == {
        k: v for k, v in ended.items() if k not in ("answer", "outcomes")
    }
    assert kept["answer"].receipt() == ended["answer"].receipt()
    assert isinstance(kept["evidence"], Evidence) and isinstance(kept["evidence"].passages, tuple)
    assert caplog.records == []


class Dies(Exception):
    """The process is gone."""


class Stops(InMemorySaver):
    """Keeps what a node wrote, and dies once, before it keeps the state in which that counts."""

    def __init__(self, key: str) -> None:
        super().__init__(serde=Strict())
        self.key, self.armed = key, True

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if self.armed and self.key in versions:
            self.armed = False
            raise Dies
        return await super().aput(config, checkpoint, metadata, versions)


@pytest.mark.parametrize("key", ["brief", "evidence", "consent", "tool_results", "draft", "citations"])
def test_a_node_whose_writes_were_kept_is_not_run_again_after_a_crash(question: Question, key: str) -> None:
    saver = Stops(key)
    services = scripted(retrieve=0.5, reply=1.5)

    async def turn() -> Any:
        graph = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=saver)
        with pytest.raises(Dies):
            await graph.ainvoke({"question": question}, CONFIG, durability="sync")
        elsewhere = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=saver)
        return await elsewhere.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    called = [call.port for call in services.calls]
    assert [called.count(step) for step in ("brief", "retrieve", "invoke", "reply", "save")] == [1] * 5
    assert (answer.status, answer.timing.total) == ("complete", 2.0)
    assert answer.evidence.passages and answer.citations.verified


def test_a_turn_goes_on_in_another_process_with_the_same_answer(question: Question) -> None:
    question = replace(question, run_id="run")
    expected = run_virtual(Mode2AutomaticWorkflow(scripted(retrieve=0.5), profile="tiers").execute(question))
    saver = InMemorySaver(serde=Strict())

    async def turn() -> Any:
        first = Mode2AutomaticWorkflow(scripted(retrieve=0.5)).build_graph()
        begun = first.compile(checkpointer=saver, interrupt_before=["reply"])
        assert "draft" not in await begun.ainvoke({"question": question}, CONFIG)
        second = Mode2AutomaticWorkflow(scripted(retrieve="hang")).build_graph().compile(checkpointer=saver)
        return await second.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    mine, its = copy.deepcopy(answer.receipt()), expected.receipt()
    for receipt in (mine, its):
        receipt["steps"].pop("save")
    assert mine == its


@pytest.mark.parametrize("before", ["invoke", "reply", "save"])
def test_a_turn_in_which_nobody_was_asked_goes_on_elsewhere_too(question: Question, before: str) -> None:
    services, saver = scripted(suggest=(0.1, ToolSuggestions())), InMemorySaver(serde=Strict())

    async def turn() -> Any:
        for stop in ([before], None):
            graph = Mode1ManualWorkflow(services).build_graph().compile(checkpointer=saver)
            state = await graph.ainvoke({"question": question} if stop else None, CONFIG, interrupt_before=stop)
        return state

    answer = run_virtual(turn())["answer"]
    assert (answer.status, answer.approvals, len(services.prompts)) == ("complete", (), 1)


@pytest.mark.parametrize("sent", [None, "text", {"text": "x"}, {"text": " ", "tenant": "t", "user": "u"}])
def test_what_is_no_question_is_refused_before_anything_is_done(sent: Any) -> None:
    services = scripted()
    graph = Mode2AutomaticWorkflow(services).build_graph().compile()
    with pytest.raises(InvalidQuestion):
        run_virtual(graph.ainvoke({"question": sent}))
    assert services.calls == []


def test_an_unknown_setting_in_the_context_is_refused_by_name(question: Question) -> None:
    graph = Mode2AutomaticWorkflow(scripted()).build_graph().compile()
    with pytest.raises(ConfigError, match="parallel_timeout_ms"):
        run_virtual(graph.ainvoke({"question": question}, context={"parallel_timeout": 1}))


class Outer(GraphState, total=False):
    told: str


@pytest.mark.parametrize("mode", [Mode1ManualWorkflow, Mode2AutomaticWorkflow])
def test_a_whole_turn_is_one_node_of_a_graph_of_yours(question: Question, mode: Any) -> None:
    services = scripted(retrieve=0.5, reply=1.5)

    async def tell(state: Outer) -> dict[str, Any]:
        return {"told": f"{state['answer'].expert}: {len(state['answer'].citations)} citations"}

    async def turn() -> Any:
        builder: Any = StateGraph(Outer)
        builder.add_node("turn", mode(services).build_graph().compile())
        builder.add_node("tell", tell)
        builder.add_edge(START, "turn")
        builder.add_edge("turn", "tell")
        graph = builder.compile(checkpointer=InMemorySaver(serde=Strict()))
        state = await graph.ainvoke({"question": question}, CONFIG)
        if "__interrupt__" in state:
            calls = state["__interrupt__"][0].value["calls"]
            state = await graph.ainvoke(Command(resume={call["id"]: "approve" for call in calls}), CONFIG)
        return state, (await graph.aget_state(CONFIG)).values

    state, kept = run_virtual(turn())
    assert state["told"] == kept["told"] == "scripted: 8 citations"
    assert kept["answer"].timing.total == 2.0
    assert [call.port for call in services.calls].count("retrieve") == 1


def test_a_failure_that_was_kept_is_met_again_by_what_comes_after_it(question: Question) -> None:
    saver = InMemorySaver(serde=Strict())

    async def turn() -> Any:
        first = Mode2AutomaticWorkflow(scripted(brief=OSError("secret"))).build_graph()
        await first.compile(checkpointer=saver, interrupt_after=["brief"]).ainvoke({"question": question}, CONFIG)
        second = Mode2AutomaticWorkflow(scripted()).build_graph().compile(checkpointer=saver)
        return await second.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert (answer.status, answer.degraded["brief"], answer.degraded["retrieve"]) == ("failed", "error", "skipped")
    assert isinstance(answer.error, StepFailed) and "secret" not in str(answer.receipt())


def test_a_person_may_change_the_state_with_nouns_or_with_json(question: Question) -> None:
    services = scripted()
    graph = Mode2AutomaticWorkflow(services).build_graph()

    async def turn() -> Any:
        saver = InMemorySaver()
        begun = graph.compile(checkpointer=saver, interrupt_after=["parallel_retrieval"])
        await begun.ainvoke({"question": question}, CONFIG)
        await begun.aupdate_state(CONFIG, {"suggestions": {"tool_calls": []}, "evidence": Evidence()})
        return await begun.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert answer.tool_results.results == () and answer.evidence == Evidence()
    assert not any(call.port == "invoke" for call in services.calls)


def test_a_turn_that_has_ended_is_forked_from_before_it_spoke(question: Question) -> None:
    services = scripted(retrieve=0.5, reply=1.5)

    async def turn() -> Any:
        graph = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=InMemorySaver())
        first = (await graph.ainvoke({"question": question}, CONFIG))["answer"]
        (place,) = [s.config async for s in graph.aget_state_history(CONFIG) if s.next == ("reply",)]
        other = await graph.aupdate_state(place, {"evidence": Evidence()})
        second = (await graph.ainvoke(None, other))["answer"]
        return first, second, (await graph.aget_state(place)).values

    first, second, there = run_virtual(turn())
    assert (first.status, second.status) == ("complete", "complete")
    assert first.evidence.passages and there["evidence"].passages and second.evidence == Evidence()
    assert (first.timing.total, second.timing.total, second.run_id) == (2.0, 2.0, first.run_id)
    assert [sum(c.port == p for c in services.calls) for p in ("retrieve", "invoke", "reply", "save")] == [1, 1, 2, 2]
