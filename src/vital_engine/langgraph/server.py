"""The engine behind a LangGraph server: what ``langgraph.json`` names.

One engine for the process, opened with the server (``app``'s lifespan). A factory of a graph that is asked before that,
or without it, opens one for as long as its graph is used. Settings are the deployment's: ``vital.toml`` and ``VITAL_...``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

from fastapi import FastAPI

from vital_engine.engine import MODES, Engine

if TYPE_CHECKING:
    from langgraph.graph import StateGraph

Graphs: TypeAlias = "dict[int, StateGraph[Any, Any, Any, Any]]"

_open: list[Graphs] = []


@contextlib.asynccontextmanager
async def engine(_: object = None) -> AsyncIterator[None]:
    """An engine with a graph for each mode, for as long as the block lasts. A lifespan of ASGI servers."""
    async with Engine() as opened:
        graphs: Graphs = {number: opened.workflow(number).build_graph() for number in MODES}
        _open.append(graphs)
        try:
            yield
        finally:
            _open.remove(graphs)


def _factory(number: int) -> Callable[[], AbstractAsyncContextManager[StateGraph[Any, Any, Any, Any]]]:
    @contextlib.asynccontextmanager
    async def make_graph() -> AsyncIterator[StateGraph[Any, Any, Any, Any]]:
        async with contextlib.AsyncExitStack() as stack:
            if not _open:
                await stack.enter_async_context(engine())
            yield _open[-1][number]

    return make_graph


app = FastAPI(title="VITAL Engine", lifespan=engine, openapi_url=None)
mode1, mode2, mode3, mode4 = map(_factory, (1, 2, 3, 4))
