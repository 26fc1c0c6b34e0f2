"""The graph from its compiled object: which nodes there are, what each reads and writes, and that no key is idle."""

from __future__ import annotations

import copy
import operator
from dataclasses import replace
from typing import Any

import pytest
from langgraph.channels.base import BaseChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import EmptyChannelError, InvalidUpdateError
from langgraph.graph import StateGraph

from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
from vital_engine.errors import WrongType
from vital_engine.flow import Done
from vital_engine.langgraph.state import FORMER_KEYS, GraphState, Noun, Outcomes
from vital_engine.modes import TurnOptions
from vital_engine.modes.segments import parts
from vital_engine.nouns import Brief, Draft, Evidence, Question, ToolSuggestions
from vital_engine.testing import run_virtual, scripted
from vital_engine.testing.scripted import EVIDENCE, EXPERT
from vital_engine.turn import ORDER

MODES = [Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow]
NODES = ["brief", "parallel_retrieval", "consent", "invoke", "reply", "parallel_post_generation", "save"]
STEP_OF = {"parallel_retrieval": "gather", "parallel_post_generation": "review"}


def compiled(mode: Any) -> Any:
    return mode(scripted()).build_graph().compile()


def reads(graph: Any, node: str) -> set[str]:
    """By today's keys; the former ones are there for threads that an earlier version began."""
    channels = set(graph.nodes[node].channels)
    assert {former for former, today in FORMER_KEYS.items() if today in channels} == channels & set(FORMER_KEYS)
    return channels - set(FORMER_KEYS)


@pytest.mark.parametrize("mode", MODES)
def test_the_nodes_stand_in_the_order_of_a_turn(mode: Any) -> None:
    drawn = compiled(mode).get_graph()
    following = {edge.source: edge.target for edge in drawn.edges}
    path, at = [], "__start__"
    while (at := following[at]) != "__end__":
        path.append(at)
    assert path == NODES
    assert len(drawn.edges) == len(NODES) + 1
    named = [STEP_OF.get(node, node) for node in path if node != "consent"]
    assert named == [step for step in ORDER if step != "ask"]


def test_it_is_not_compiled_and_draws_itself() -> None:
    graph = Mode2AutomaticWorkflow(scripted()).build_graph()
    assert isinstance(graph, StateGraph)
    picture = graph.compile().get_graph().draw_mermaid()
    assert "parallel_retrieval --> consent" in picture


@pytest.mark.parametrize("mode", MODES)
def test_each_node_is_given_what_it_is_said_to_read_and_nothing_else(mode: Any) -> None:
    graph = compiled(mode)
    for part in parts(mode(scripted()).runner.approver):
        assert reads(graph, part.name) == set(part.reads)


@pytest.mark.parametrize("mode", MODES)
def test_every_key_read_is_written_before_and_every_key_written_is_read_after(mode: Any) -> None:
    there, unread = {"question", "outcomes"}, set[str]()
    for part in parts(mode(scripted()).runner.approver):
        assert set(part.reads) <= there, part.name
        unread = (unread - set(part.reads)) | set(part.writes)
        there |= set(part.writes)
    assert unread == {"answer"}
    assert there == set(GraphState.__annotations__)


class Watched(dict[str, Any]):
    """A state that notes which keys are read."""

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, otherwise: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, otherwise)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "script", [{}, {"retrieve": OSError("down"), "reply": OSError("down")}, {"brief": OSError("x")}]
)
def test_nodes_return_documented_keys_and_leave_their_state_alone(
    drive: Any, question: Question, mode: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[set[str], set[str]]] = {}
    node_of = _graph_module().TurnGraph._node

    def instrumented(self: Any, part: Any, work: Any) -> Any:
        node = node_of(self, part, work)

        async def around(state: Any) -> Any:
            watched, was = Watched(state), copy.copy(state)
            made = await node(watched)
            assert dict(watched) == was
            assert all(map(operator.is_, watched.values(), was.values()))
            seen[part.name] = (watched.read, set(made))
            return made

        return around

    monkeypatch.setattr(_graph_module().TurnGraph, "_node", instrumented)
    run_virtual(drive(mode(scripted(**script)), question))
    assert list(seen) == NODES
    for part in parts(mode(scripted()).runner.approver):
        read, made = seen[part.name]
        assert read <= set(part.reads), part.name
        assert made == set(part.writes), part.name
        if not script:
            assert read == set(part.reads), part.name


def _graph_module() -> Any:
    from vital_engine.langgraph import graph

    return graph


class BriefOnce:
    """A roster that knows an expert the first time alone."""

    def __init__(self, expert: Any) -> None:
        self.left = [Brief(expert)]

    async def route(self, question: Question, *, mode: int) -> Brief:
        return self.left.pop()


def test_a_second_question_on_a_thread_begins_with_nothing(question: Question) -> None:
    services = replace(scripted(recall=0.2), router=BriefOnce(EXPERT))
    graph = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "one"}}

    async def twice() -> tuple[Any, Any]:
        first = await graph.ainvoke({"question": question}, config)
        second = await graph.ainvoke({"question": Question(text="And?", tenant="t1", user="u1")}, config)
        return first["answer"], second["answer"]

    first, second = run_virtual(twice())
    assert first.run_id != second.run_id
    assert (first.status, first.timing.total, second.timing.total) == ("complete", 0.2, 0.2)
    assert (second.status, second.question.text, second.text, second.brief) == ("failed", "And?", "", None)
    assert second.degraded["brief"] == "error" and second.evidence.failed


@pytest.mark.parametrize("mode", MODES)
def test_the_schemas_of_the_graph_name_what_goes_in_and_what_comes_out_and_no_former_key(mode: Any) -> None:
    graph = compiled(mode)
    assert set(graph.get_input_jsonschema()["properties"]) == {"question"}
    assert set(graph.get_output_jsonschema()["properties"]) == set(GraphState.__annotations__)
    assert set(graph.get_context_jsonschema()["properties"]) == set(TurnOptions.__annotations__)
    assert not set(GraphState.__annotations__) & set(FORMER_KEYS)


# -- channels
def test_a_noun_channel_holds_the_latest_and_takes_it_plain() -> None:
    channel = Noun(Evidence, "evidence")
    assert not channel.is_available()
    with pytest.raises(EmptyChannelError):
        channel.get()
    assert channel.update([]) is False
    assert channel.update([EVIDENCE]) is True
    fresh = channel.from_checkpoint(channel.checkpoint())
    assert fresh.get() == EVIDENCE and channel.copy().get() is EVIDENCE
    with pytest.raises(InvalidUpdateError):
        channel.update([EVIDENCE, EVIDENCE])
    with pytest.raises(WrongType):
        channel.update([ToolSuggestions()])


def test_an_empty_channel_stays_empty_through_a_checkpoint() -> None:
    for channel in (Noun(Evidence, "evidence"), Outcomes(key="outcomes")):
        fresh: BaseChannel[Any, Any, Any] = channel.from_checkpoint(channel.checkpoint())
        assert not fresh.is_available()
        with pytest.raises(EmptyChannelError):
            fresh.get()


@pytest.mark.parametrize("noun", [Brief, Draft])
def test_nothing_made_is_none_and_is_not_empty(noun: type) -> None:
    channel = Noun(noun, "key")
    channel.update([None])
    fresh = channel.from_checkpoint(channel.checkpoint())
    assert fresh.is_available() and fresh.get() is None


def test_outcomes_are_added_within_a_run_and_let_go_with_the_next() -> None:
    channel = Outcomes(key="outcomes")
    channel.update([{"run_id": "1", "steps": {"brief": Done(None, 0.1)}}])
    channel.update([{"run_id": "1", "steps": {"reply": Done(None, 0.2)}}])
    assert list(channel.get()) == ["brief", "reply"]
    fresh = channel.from_checkpoint(channel.checkpoint())
    assert fresh.get() == channel.get() == channel.copy().get()
    fresh.update([{"run_id": "2", "steps": {"brief": Done(None, 0.3)}}])
    assert fresh.get() == {"brief": Done(None, 0.3)}
    fresh.update([{"cite": Done(None)}])
    assert list(fresh.get()) == ["brief", "cite"]


def test_channels_are_alike_if_they_hold_the_same() -> None:
    assert Noun(Evidence) == Noun(Evidence, "evidence") != Noun(ToolSuggestions)
    assert Outcomes() == Outcomes(key="x") != Noun(ToolSuggestions)
    assert Outcomes().UpdateType == dict[str, Any] and Noun(ToolSuggestions).UpdateType is ToolSuggestions
