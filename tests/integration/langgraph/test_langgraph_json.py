"""What langgraph.json names: graphs of a whole engine, opened once."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vital_engine.errors import Conflict
from vital_engine.langgraph import server as langgraph_app

ROOT = Path(__file__).parents[3]
DECLARED = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
ASKED = {"question": {"text": "What is 6 * 7?", "tenant": "t1", "user": "u1"}}


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_server: Any, database: str) -> None:
    """A deployment of the test's own: a database, no embedder, and the extractive answerer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITAL_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_server.url(database=database))
    monkeypatch.setenv("VITAL_EMBEDDER", "none")
    monkeypatch.setenv("VITAL_MODEL", "extractive")


def named(path: str) -> Any:
    """What a server finds there: the file is loaded by its path, not by a package's name."""
    file, _, name = path.partition(":")
    assert (ROOT / file).resolve() == Path(langgraph_app.__file__).resolve()
    spec = importlib.util.spec_from_file_location("served", ROOT / file)
    assert spec is not None and spec.loader is not None
    served = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(served)
    assert type(getattr(served, name)) is type(getattr(langgraph_app, name))
    return getattr(langgraph_app, name)


def test_each_mode_has_a_graph_and_the_engine_lives_with_the_server() -> None:
    assert {name: named(path) for name, path in DECLARED["graphs"].items()} == {
        f"mode{n}": getattr(langgraph_app, f"mode{n}") for n in (1, 2, 3, 4)
    }
    assert named(DECLARED["http"]["app"]) is langgraph_app.app


async def test_a_question_as_json_is_answered_and_kept(deployed: None) -> None:
    async with langgraph_app.engine():
        async with langgraph_app.mode2() as graph, langgraph_app.mode2() as again:
            assert graph is again
            state = await graph.compile(checkpointer=InMemorySaver()).ainvoke(
                ASKED, {"configurable": {"thread_id": "one"}}
            )
        answer = state["answer"]
        assert (answer.status, answer.mode) == ("complete", 2)
        assert "save" in answer.outcomes and "save" not in answer.degraded
    assert langgraph_app._open == []


async def test_a_pause_outlives_the_engine_that_began_it(deployed: None) -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "one"}}
    async with langgraph_app.engine(), langgraph_app.mode1() as graph:
        state = await graph.compile(checkpointer=saver).ainvoke(ASKED, config)
        (pause,) = state["__interrupt__"]
    decisions = {call["id"]: "approve" for call in pause.value["calls"]}
    assert "calculator" in {call["tool"] for call in pause.value["calls"]}
    async with langgraph_app.engine(), langgraph_app.mode1() as graph:
        again = graph.compile(checkpointer=saver)
        answer = (await again.ainvoke(Command(resume=decisions), config))["answer"]
        found = {tool_result.tool_call.tool: tool_result for tool_result in answer.tool_results.results}
        assert "42" in found["calculator"].text
        assert {a.status for a in answer.approvals} <= {"done", "failed"} and "save" not in answer.degraded
        with pytest.raises(Conflict):  # the same decision again, from where the graph stood still
            await again.ainvoke(Command(resume=decisions), (await _paused_at(again, config)))


async def _paused_at(graph: Any, config: Any) -> Any:
    async for snapshot in graph.aget_state_history(config):
        if snapshot.next == ("consent",):
            return snapshot.config
    raise AssertionError("it never paused")


async def test_a_graph_that_is_asked_for_by_itself_opens_an_engine_for_itself(
    deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    @contextlib.asynccontextmanager
    async def counting(settings: Any = None) -> AsyncIterator[Any]:
        opened.append(settings)
        async with was() as app:
            yield app

    was = langgraph_app.Engine
    monkeypatch.setattr(langgraph_app, "Engine", counting)
    async with langgraph_app.mode4() as graph, langgraph_app.mode1() as other:
        assert graph is not other and list(graph.nodes) == list(other.nodes)
    assert len(opened) == 1 and langgraph_app._open == []


def test_the_servers_own_lifespan_opens_and_closes_it(deployed: None) -> None:
    with TestClient(langgraph_app.app):
        assert len(langgraph_app._open) == 1
    assert langgraph_app._open == []
