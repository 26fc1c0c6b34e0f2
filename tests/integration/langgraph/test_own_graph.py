"""The two wide nodes in a graph of somebody else's, and one by one."""

from __future__ import annotations

import logging
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph

from seed_profile import SEED
from vital_engine import Mode2AutomaticWorkflow
from vital_engine.errors import FlowError, RetrievalError
from vital_engine.flow import Degraded, Done
from vital_engine.langgraph.state import GraphState, plainly
from vital_engine.modes.segments import TurnState
from vital_engine.nouns import Brief, Citations, Cost, Draft, Evidence, Memory, Question, Support, ToolSuggestions
from vital_engine.testing import run_virtual, scripted
from vital_engine.testing.scripted import EVIDENCE, EXPERT

CONFIG: Any = {"configurable": {"thread_id": "one"}}
WIDE = ("parallel_retrieval", "parallel_post_generation")
SERDES = {"as it comes": JsonPlusSerializer(), "strict": JsonPlusSerializer(allowed_msgpack_modules=None)}


class Mine(GraphState, total=False):
    language: str


async def choose(state: Mine) -> dict[str, Any]:
    return {"brief": Brief(EXPERT), "language": "en"}


async def speak(state: Mine) -> dict[str, Any]:
    return {"draft": Draft("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [1].")}


def graph_of(workflow: Any, saver: Any) -> Any:
    builder: Any = StateGraph(Mine)
    nodes = {
        "choose": choose,
        "parallel_retrieval": plainly(workflow.parallel_retrieval_node),
        "speak": speak,
        "parallel_post_generation": plainly(workflow.parallel_post_generation_node),
    }
    for (name, node), before in zip(nodes.items(), [START, *nodes], strict=False):
        builder.add_node(name, node)
        builder.add_edge(before, name)
    builder.add_edge(name, END)
    return builder.compile(checkpointer=saver)


class Dies(Exception):
    pass


class Stops(InMemorySaver):
    """Keeps what every node wrote, and dies before it keeps the state in which *key* counts."""

    def __init__(self, key: str, serde: Any) -> None:
        super().__init__(serde=serde)
        self.key = key

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if self.key in versions:
            self.key = ""
            raise Dies
        return await super().aput(config, checkpoint, metadata, versions)


@pytest.mark.parametrize("serde", SERDES)
@pytest.mark.parametrize("key", ["evidence", "citations"])
def test_a_graph_of_yours_goes_on_after_a_crash_with_the_same_nouns(
    question: Question, key: str, serde: str, caplog: pytest.LogCaptureFixture
) -> None:
    services = scripted(retrieve=0.5, recall=RetrievalError("down", service="search"))
    workflow = Mode2AutomaticWorkflow(services)

    async def turn() -> Any:
        graph = graph_of(workflow, Stops(key, SERDES[serde]))
        with pytest.raises(Dies):
            await graph.ainvoke({"question": question}, CONFIG, durability="sync")
        with caplog.at_level(logging.WARNING):
            return await graph.ainvoke(None, CONFIG)

    state = run_virtual(turn())
    assert state["language"] == "en" and state["evidence"].passages == EVIDENCE.passages
    assert [c.verdict for c in state["citations"]] == ["verified"]
    assert isinstance(state["outcomes"]["recall"].error, RetrievalError)
    assert [call.port for call in services.calls].count("retrieve") == 1
    assert [r.message for r in caplog.records if "evidence" in r.message.lower()] == []


def test_bare_nodes_give_nouns_and_outcomes_in_any_graph(question: Question) -> None:
    class Bare(TypedDict, total=False):
        question: Question
        brief: Brief
        evidence: Evidence
        suggestions: ToolSuggestions
        memory: Memory
        outcomes: dict[str, Any]

    workflow = Mode2AutomaticWorkflow(scripted(retrieve=0.5, suggest="hang"), parallel_timeout_ms=800)
    builder: Any = StateGraph(Bare)
    builder.add_node("parallel_retrieval", workflow.parallel_retrieval_node)
    builder.add_edge(START, "parallel_retrieval")
    state = run_virtual(builder.compile().ainvoke({"question": question, "brief": Brief(EXPERT)}))
    assert state["evidence"] == EVIDENCE
    assert state["suggestions"] == ToolSuggestions.missing()
    assert isinstance(state["outcomes"]["retrieve"], Done) and isinstance(state["outcomes"]["suggest"], Degraded)


@pytest.mark.parametrize("schema", [TurnState, GraphState])
def test_bare_nodes_go_into_a_graph_of_either_schema(question: Question, schema: Any) -> None:
    workflow = Mode2AutomaticWorkflow(scripted(retrieve=0.5, cite=0.15, sentences=1))
    builder: Any = StateGraph(schema)
    for name, node in zip(
        WIDE, (workflow.parallel_retrieval_node, workflow.parallel_post_generation_node), strict=True
    ):
        builder.add_node(name, node)
    builder.add_edge(START, WIDE[0])
    builder.add_edge(*WIDE)
    draft = Draft("Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [1].")
    state = run_virtual(builder.compile().ainvoke({"question": question, "brief": Brief(EXPERT), "draft": draft}))
    assert [c.verdict for c in state["citations"]] == ["verified"]
    assert {name: o.ended for name, o in state["outcomes"].items() if o.ended} == {
        "retrieve": 0.5,
        "cite": 0.65,
        **dict.fromkeys(("assess", "tally"), 0.5),
    }


def test_each_task_stands_alone(question: Question) -> None:
    services = scripted(**SEED)
    workflow = Mode2AutomaticWorkflow(services)
    before: Any = {"question": question, "brief": Brief(EXPERT)}
    after: Any = {"question": question, "evidence": EVIDENCE, "draft": Draft("HbA1c fell [1].", "scripted")}
    tasks = {
        workflow._rag_retrieval_task: (before, Evidence),
        workflow._tool_suggestion_task: (before, ToolSuggestions),
        workflow._memory_retrieval_task: (before, Memory),
        workflow._citation_extraction_task: (after, Citations),
        workflow._quality_scoring_task: (after, Support),
        workflow._cost_tracking_task: (after, Cost),
    }
    for task, (state, made) in tasks.items():
        services.calls.clear()
        assert isinstance(run_virtual(task(state)), made)
        assert len({call.port for call in services.calls}) == 1


def test_a_node_says_what_its_state_lacks(question: Question) -> None:
    workflow = Mode2AutomaticWorkflow(scripted())
    with pytest.raises(FlowError, match="Brief"):
        run_virtual(workflow.parallel_retrieval_node({"question": question}))
    with pytest.raises(FlowError, match="Draft"):
        run_virtual(workflow.parallel_post_generation_node({"question": question, "evidence": EVIDENCE}))
