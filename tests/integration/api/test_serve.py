"""``vital serve`` as a process: its first lines, its end, and whom it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from vital_engine.api import ServerLimits
from vital_engine.api.serve import FIRST_QUESTION, listening, serve
from vital_engine.errors import ConfigError
from vital_engine.nouns import Piece, Prompt
from vital_engine.ports import LLM
from vital_engine.settings import Settings
from vital_engine.testing import scripted

VITAL = (sys.executable, "-c", "from vital_engine.cli import main; main()")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Any]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("VITAL_", "DATABASE_URL"))}
    environ |= {"VITAL_HOME": str(tmp_path), "VITAL_EMBEDDER": "none", "VITAL_LOG_FORMAT": "json"}
    started = subprocess.Popen(
        [*VITAL, "serve", "--port", "0"],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield started
    if started.poll() is None:
        started.kill()
    started.communicate()


class Waiting:
    """Fulfils the port LLM: says what *llm* says, once it may."""

    def __init__(self, llm: LLM) -> None:
        self._llm, self.may = llm, asyncio.Event()

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        await self.may.wait()
        async for piece in self._llm.stream(prompt):
            yield piece


def test_it_says_where_it_listens_answers_and_goes_when_told(process: Any) -> None:
    first = process.stdout.readline()
    assert first.startswith("VITAL Engine is listening on http://127.0.0.1:")
    url = first.split()[-1]
    hint, curl = process.stdout.readline(), process.stdout.readline()
    assert hint.strip() == f'vital ask "{FIRST_QUESTION}"' and curl.strip().startswith(f"curl -N {url}/v1/turns ")
    with httpx2.Client(base_url=url, timeout=120.0) as client:
        ready = client.get("/readyz").json()
        assert ready["ready"] and ready["notes"] == [
            "no embedder (embedder = none): documents are searched by words only"
        ]
        text = b"Mutations that cause low HDL-C do not promote increased carotid intima-media thickness."
        assert client.post("/v1/documents", params={"name": "hdl.txt"}, content=text).status_code == 201
        body = {"question": FIRST_QUESTION, "stream": True}
        answer = client.post("/v1/turns", json=body).text
        assert "event: finished" in answer and "hdl.txt" in answer
        assert {e["id"] for e in client.get("/v1/experts").json()["experts"]} >= {"research"}
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=120)
    assert process.returncode == 0, logged
    assert '"event": "serving"' in logged and '"event": "stopped"' in logged
    assert "Traceback" not in logged and FIRST_QUESTION not in logged


async def test_what_runs_may_end_when_a_signal_comes_and_nothing_new_begins(serving: Any, sse: Any) -> None:
    services = scripted(tokens=12, sentences=3)
    services = replace(services, llm=(llm := Waiting(services.llm)))
    async with serving(services, ServerLimits(drain_seconds=120.0)) as served:
        reading = asyncio.create_task(served.client.post("/v1/turns", json={"question": "?", "stream": True}))
        while not len(served.app_state.running):
            await asyncio.sleep(0.01)
        served.server.handle_exit(signal.SIGTERM, None)
        ready = (await served.client.get("/readyz")).json()
        assert (ready["draining"], ready["ready"], ready["turns"]) == (True, False, 1)
        refused = await served.client.post("/v1/turns", json={"question": "?"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "turn.over_capacity")
        llm.may.set()
        assert sse((await reading).text)[-1]["event"] == "finished"


async def test_a_second_signal_does_not_wait(serving: Any, sse: Any) -> None:
    async with serving(scripted(reply=300.0, tokens=12, sentences=3), ServerLimits(drain_seconds=300.0)) as served:
        reading = asyncio.create_task(served.client.post("/v1/turns", json={"question": "?", "stream": True}))
        while not len(served.app_state.running):
            await asyncio.sleep(0.01)
        served.server.handle_exit(signal.SIGINT, None)
        await asyncio.sleep(0.2)
        served.server.handle_exit(signal.SIGINT, None)
        last = sse((await asyncio.wait_for(reading, 60.0)).text)[-1]
        assert (last["event"], last["data"]["code"]) == ("error", "server_draining")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "vital.example", ""])
def test_without_keys_nobody_else_is_served(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without API keys"):
        serve(Settings(home=tmp_path, host=host))


def test_an_address_that_is_taken_is_named() -> None:
    with listening("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"), listening("127.0.0.1", port):
            pass
