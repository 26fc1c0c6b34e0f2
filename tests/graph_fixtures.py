"""What the tests of the graph share: a question, the seed's profile, and a graph driven to its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from seed_profile import SEED
from vital_engine.nouns import Question

__all__ = ["drive", "question", "seed"]

Drive = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def question() -> Question:
    return Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")


@pytest.fixture
def seed() -> dict[str, Any]:
    """Seconds by step."""
    return dict(SEED)


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
