"""What the tests of the graph share: a question, the seed's profile, and a graph driven to its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vital_engine.monitoring.track import tier_series
from vital_engine.nouns import Question

Drive = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(autouse=True)
def nobody_elses_figures() -> Iterator[None]:
    """The success rate speaks of the latest turns of this process: those of the tests after ours begin with none."""
    yield
    tier_series.cache_clear()


@pytest.fixture
def question() -> Question:
    return Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")


@pytest.fixture
def seed() -> dict[str, Any]:
    """Seconds by step; sequential 2.800 s, with barriers 2.150 s."""
    return {"retrieve": 0.5, "suggest": 0.3, "recall": 0.2, "reply": 1.5, "assess": 0.1, "cite": 0.15, "tally": 0.05}


@pytest.fixture
def drive() -> Drive:
    """``await drive(workflow, question, decision, **context)``: the state at the end; each pause is answered at once."""

    async def drive(workflow: Any, question: Any, decision: Any = "approve", **context: Any) -> dict[str, Any]:
        graph = workflow.build_graph().compile(checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": "one"}}
        state = await graph.ainvoke({"question": question}, config, context=context)
        while "__interrupt__" in state:
            calls = state["__interrupt__"][0].value["calls"]
            state = await graph.ainvoke(Command(resume={call["id"]: decision for call in calls}), config)
        return dict(state)

    return drive
