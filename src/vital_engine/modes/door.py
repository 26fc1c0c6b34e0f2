"""The one way to the graph: whoever does not go through here does not load LangGraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vital_engine.errors import ConfigError

if TYPE_CHECKING:
    from langgraph.graph import StateGraph

    from .workflow import ParallelBaseWorkflow


def graph_of(workflow: ParallelBaseWorkflow) -> StateGraph[Any, Any, Any, Any]:
    """*workflow* as a graph.

    :raises ConfigError: LangGraph is not installed.
    """
    try:
        from .graph import TurnGraph
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in ("langgraph", "langchain_core"):
            raise
        raise ConfigError("a graph needs LangGraph: pip install 'vital-engine[langgraph]'") from missing
    return TurnGraph(workflow).build()
