"""A real uvicorn on loopback, in the test's own loop, so that a test sees both ends.

Whatever it sends in any of these tests is held to ``/openapi.json``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from http_schema import Exchange, Recorder, Schemas
from vital_engine.api import Backend, ServerLimits, create_app
from vital_engine.api.backend import AppState
from vital_engine.api.serve import Server, listening
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.testing import scripted

QUICK = ServerLimits(drain_seconds=0.2)


@dataclass
class Served:
    """A server that runs: its address, a client, and what its routes share."""

    url: str
    client: httpx2.AsyncClient
    app_state: AppState
    server: Server

    async def ask(self, question: str = "What was found?", **more: Any) -> dict[str, Any]:
        """Begin a turn; the 202's body."""
        response = await self.client.post("/v1/turns", json={"question": question, **more})
        assert response.status_code == 202, response.text
        return response.json()

    async def events(self, path: str, **more: Any) -> list[dict[str, Any]]:
        """All events of a stream, until it ends."""
        response = await self.client.get(path, **more)
        assert response.status_code == 200, response.text
        return parsed(response.text)

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The turn, once it has ended."""
        await self.events(f"/v1/turns/{run_id}/events")
        return (await self.client.get(f"/v1/turns/{run_id}")).json()


def parsed(text: str) -> list[dict[str, Any]]:
    """Server-sent events as ``{id, event, data}``; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


@contextlib.asynccontextmanager
async def _serving(engine: Backend, limits: ServerLimits = QUICK) -> AsyncIterator[Served]:
    app = create_app(engine, limits=limits)
    with listening("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(app, url=url, quiet=True)
        recorder = server.config.app = Recorder(app)
        running = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            async with httpx2.AsyncClient(base_url=url, timeout=120.0) as client:
                yield Served(url, client, app.state.app_state, server)
        finally:
            server.should_exit = True
            await running
    assert faults(app, recorder.exchanges) == []


_schemas: list[Schemas] = []


def faults(app: FastAPI, exchanges: list[Exchange]) -> list[str]:
    """What was sent and is not as the document says. All applications have the same."""
    if not _schemas:
        _schemas.append(Schemas(app.openapi()))
    return [fault for exchange in exchanges for fault in _schemas[0].faults(exchange)]


@pytest.fixture
def serving() -> Callable[..., contextlib.AbstractAsyncContextManager[Served]]:
    """``async with serving(scripted(...)) as served``, or ``serving(engine)``."""

    def serve(what: Any = None, limits: ServerLimits = QUICK) -> contextlib.AbstractAsyncContextManager[Served]:
        if isinstance(what, Backend):
            return _serving(what, limits)
        return _serving(Backend.around(Mode2AutomaticWorkflow(what or scripted())), limits)

    return serve


@pytest.fixture(scope="session")
def sse() -> Callable[[str], list[dict[str, Any]]]:
    return parsed
