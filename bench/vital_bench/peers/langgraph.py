"""LangGraph's StateGraph, compiled without a checkpointer: a step is a node, its value a key of the state."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from .shapes import SHAPES, Turn, Values, body


def langgraph(shape: str) -> Turn:
    work, needs = body(shape), SHAPES[shape]
    graph: Any = StateGraph(TypedDict("State", dict.fromkeys(needs, str)))  # type: ignore[operator]

    def node(step: str, of: tuple[str, ...]) -> Any:
        async def run(state: Any) -> Values:
            return {step: await work(step, *(state[one] for one in of))}

        return run

    for step, of in needs.items():
        graph.add_node(f"{step}_node", node(step, of))
        graph.add_edge(START if not of else [f"{one}_node" for one in of], f"{step}_node")
    for last in ("cite", "assess", "tally"):
        graph.add_edge(f"{last}_node", END)
    compiled = graph.compile()
    return lambda: compiled.ainvoke({})
