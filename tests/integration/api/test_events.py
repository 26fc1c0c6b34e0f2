"""A turn's events: told in order, rejoined without a gap, never just ending."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.api import ServerLimits
from vital_engine.api.events import LogReader, rendered
from vital_engine.api.running import RunningTurns
from vital_engine.errors import ModelUnavailable, StreamBroken
from vital_engine.flow import run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Question, Scope
from vital_engine.testing import scripted

SHORT = {"tokens": 12, "sentences": 3}


@given(
    cuts=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.05)), max_size=6),
    frame_bytes=st.sampled_from([256, 1_024, 65_536]),
)
def test_any_cuts_of_a_stream_join_to_the_log(cuts: list[tuple[int, float]], frame_bytes: int, sse: Any) -> None:
    """A reader takes some writes, goes, waits, and comes back with the last id that it has seen."""

    async def follow() -> None:
        running = RunningTurns(ServerLimits(frame_bytes=frame_bytes))
        workflow = Mode2AutomaticWorkflow(scripted(retrieve=0.02, reply=0.1, tokens=12, sentences=3))
        question = Question("?", "t", "u")
        entry = running.begin(workflow, question, on_disconnect="continue", overrides={})
        seen: list[dict[str, Any]] = []
        for writes, pause in [*cuts, (10_000, 0.0)]:
            after = int(seen[-1]["id"]) if seen else 0
            reader = LogReader(entry, rendered(entry), running.limits, after=after)
            for _ in range(writes):
                if (more := await anext(reader, None)) is None:
                    break
                seen += sse(more.decode())
            await asyncio.sleep(pause)
        whole = b"".join([part async for part in LogReader(entry, rendered(entry), running.limits)])
        assert seen == sse(whole.decode())
        assert [e["data"]["seq"] for e in seen] == list(range(1, len(entry.log.items) + 1))
        assert seen[-1]["event"] == "finished"

    run_virtual(follow())


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_client_goes_on_where_it_was(serving: Any, by: str) -> None:
    async with serving(scripted(reply=0.1, **SHORT)) as served:
        begun = await served.ask()
        whole = await served.events(begun["events"])
        for cut in (0, 1, len(whole) // 2, len(whole) - 1):
            how = {"headers": {"Last-Event-ID": str(cut)}} if by == "header" else {"params": {"after": cut}}
            assert await served.events(begun["events"], **how) == whole[cut:]
        done = await served.client.get(begun["events"], headers={"Last-Event-ID": str(len(whole))})
        assert done.status_code == 204, "a browser that has seen all does not come back"
        for wrong in (str(len(whole) + 1), "x", "-1", "9" * 30):
            refused = await served.client.get(begun["events"], headers={"Last-Event-ID": wrong})
            assert refused.status_code == 422


async def test_two_readers_read_the_same(serving: Any) -> None:
    async with serving(scripted(reply=0.2, **SHORT)) as served:
        begun = await served.ask()
        one, two = await asyncio.gather(*(served.events(begun["events"]) for _ in range(2)))
        assert one == two


@pytest.mark.parametrize(
    ("reply", "code", "status", "text"),
    [
        (ModelUnavailable("10.0.0.7 refused"), "model.unavailable", "failed", ""),
        ((0.05, "It was", StreamBroken("peer 10.0.0.7")), "model.stream_broken", "partial", "It was"),
    ],
)
async def test_a_broken_turn_ends_in_an_error(
    serving: Any, sse: Any, reply: Any, code: str, status: str, text: str
) -> None:
    async with serving(scripted(reply=reply)) as served:
        response = await served.client.post("/v1/turns", json={"question": "?", "stream": True})
        last = sse(response.text)[-1]
        assert (last["event"], last["data"]["code"]) == ("error", code)
        assert (last["data"]["turn"]["status"], last["data"]["turn"]["text"]) == (status, text)
        assert "finished" not in {e["event"] for e in sse(response.text)}
        assert "10.0.0.7" not in response.text, "what an exception says is for operators"
        assert last["data"]["turn"]["cost"].keys() == {"usd", "at_least_usd"}


async def test_a_defect_of_ours_ends_the_stream_too(serving: Any, sse: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret")

    services = scripted(**SHORT)
    object.__setattr__(services, "grader", broken)
    async with serving(services) as served:
        response = await served.client.post("/v1/turns", json={"question": "?", "stream": True})
        assert (sse(response.text)[-1]["event"], sse(response.text)[-1]["data"]["code"]) == ("error", "error")
        assert "secret" not in response.text


async def test_an_idle_stream_says_that_it_is_alive(serving: Any, sse: Any) -> None:
    limits = ServerLimits(idle_seconds=0.05, drain_seconds=0.1)
    async with serving(scripted(reply=0.8, prefill=0.8, **SHORT), limits) as served:
        response = await served.client.post("/v1/turns", json={"question": "?", "stream": True})
        assert response.text.count(": ping\n\n") >= 3
        assert sse(response.text)[-1]["event"] == "finished"


async def test_all_that_is_new_is_one_write() -> None:
    running = RunningTurns(ServerLimits())
    workflow = Mode2AutomaticWorkflow(scripted(tokens=400, sentences=4))
    entry = running.begin(workflow, Question("?", "t", "u"), on_disconnect="continue", overrides={})
    await entry.turn.answer()
    writes = [part async for part in LogReader(entry, rendered(entry), running.limits)]
    assert len(writes) == -(-len(entry.log.items) // 256)


@contextlib.contextmanager
def deaf_readers(served: Any, path: str, count: int) -> Iterator[None]:
    """Sockets that ask for *path* and never read."""
    host, port = served.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.connect((host, int(port)))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        yield


LONG = "word " * 60_000
"""More than the buffers of both sides hold."""
WHOLE = {"output_tokens": len(LONG)}
"""Limits under which the model may say all of it."""


async def test_readers_that_take_nothing_cost_little_and_hold_up_nobody(serving: Any) -> None:
    """The turn ends in its time, and each is sent no more than fits."""
    limits = ServerLimits(stalled_seconds=120.0, drain_seconds=0.1)
    async with serving(scripted(reply=(0.2, LONG)), limits) as served:
        begun = await served.ask(limits=WHOLE)
        with deaf_readers(served, begun["events"], 30):
            turn = await served.ended(begun["run_id"])
            assert turn["status"] == "complete" and turn["text"] == LONG
            entry = served.app_state.running.get(begun["run_id"], Scope("local", "local"))
            while entry.readers < 30:
                await asyncio.sleep(0.005)
            largest = 2 * len(LONG) + 65_536
            buffers = [c.transport.get_write_buffer_size() for c in served.server.server_state.connections]
            assert max(buffers) <= largest


async def test_a_reader_that_takes_nothing_is_dropped(serving: Any) -> None:
    limits = ServerLimits(stalled_seconds=0.5, drain_seconds=0.1)
    async with serving(scripted(reply=(0.0, LONG)), limits) as served:
        begun = await served.ask(limits=WHOLE)
        entry = served.app_state.running.get(begun["run_id"], Scope("local", "local"))
        with deaf_readers(served, begun["events"], 1):
            while not entry.readers:
                await asyncio.sleep(0.001)
            while entry.readers:
                await asyncio.sleep(0.005)


async def test_the_last_words_of_a_turn_that_the_server_had_to_stop(serving: Any, sse: Any) -> None:
    async with serving(scripted(reply=60.0, **SHORT), ServerLimits(drain_seconds=0.1)) as served:
        reading = asyncio.create_task(
            served.client.post("/v1/turns", json={"question": "?", "stream": True}, timeout=120.0)
        )
        while not len(served.app_state.running):
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(served.app_state.running.shutdown(within=0.2))
        await asyncio.sleep(0.05)
        assert (await served.client.get("/readyz")).status_code == 503
        assert (await served.client.post("/v1/turns", json={"question": "?"})).status_code == 503
        last = sse((await reading).text)[-1]
        assert (last["event"], last["data"]["code"]) == ("error", "server_draining")
        assert await draining == 1
