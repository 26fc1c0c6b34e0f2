"""A client that goes: the turn stops or runs on, as was asked, and what was said is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vital_engine.testing import scripted

LONG: dict[str, Any] = {"reply": 60.0, "tokens": 1200, "sentences": 48}


async def _until(condition: Any) -> None:
    for _ in range(6_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def _reply(services: Any) -> Any:
    return next((call for call in services.calls if call.port == "reply"), None)


async def test_a_stream_that_is_left_stops_the_model_and_keeps_the_partial(serving: Any) -> None:
    services = scripted(**LONG)
    async with serving(services) as served:
        async with served.client.stream("POST", "/v1/turns", json={"question": "?", "stream": True}) as response:
            async for line in response.aiter_lines():
                if line == "event: token":
                    break
        await _until(lambda: services.kept)
        assert isinstance(_reply(services).error, asyncio.CancelledError | GeneratorExit)
        assert services.kept[0].status == "partial" and services.kept[0].text
        assert not len(served.app_state.running)


async def test_a_stream_that_is_left_before_its_first_event_stops_the_turn(serving: Any) -> None:
    services = scripted(register="hang", **LONG)
    async with serving(services) as served:
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"question": "?", "stream": true}'
        head = (
            f"POST /v1/turns HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()  # nothing was read, not even the headers
        await writer.wait_closed()
        del reader
        await _until(lambda: served.app_state.running._ended)
        await _until(lambda: services.kept)
        assert not len(served.app_state.running)


@pytest.mark.parametrize("streams", [True, False])
async def test_a_turn_that_shall_continue_does(serving: Any, streams: bool) -> None:
    services = scripted(reply=0.4, tokens=12, sentences=3)
    async with serving(services) as served:
        if streams:
            body = {"question": "?", "stream": True, "on_disconnect": "continue"}
            async with served.client.stream("POST", "/v1/turns", json=body) as response:
                await anext(response.aiter_lines())
        else:
            begun = await served.ask()
            async with served.client.stream("GET", begun["events"]) as response:
                await anext(response.aiter_lines())
        await _until(lambda: services.kept)
        assert services.kept[0].status == "complete" and _reply(services).error is None


async def test_the_last_reader_decides(serving: Any) -> None:
    services = scripted(**LONG)
    async with serving(services) as served:
        begun = await served.ask(on_disconnect="cancel")
        async with served.client.stream("GET", begun["events"]) as one:
            lines = one.aiter_lines()  # held: httpx2 hangs up when its iterator is collected
            await anext(lines)
            async with served.client.stream("GET", begun["events"]) as two:
                await anext(two.aiter_lines())
            await asyncio.sleep(0.2)
            assert len(served.app_state.running) == 1, "somebody still reads"
            del lines
        await _until(lambda: services.kept)
        assert services.kept[0].status == "partial"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat_client_that_goes_stops_the_model(serving: Any, stream: bool) -> None:
    services = scripted(**LONG)
    async with serving(services) as served:
        body = {"model": "auto", "stream": stream, "messages": [{"role": "user", "content": "?"}]}
        asking = asyncio.create_task(served.client.post("/v1/chat/completions", json=body))
        await _until(lambda: _reply(services) is not None)
        asking.cancel()
        await asyncio.wait({asking})
        await _until(lambda: services.kept)
        assert isinstance(_reply(services).error, asyncio.CancelledError | GeneratorExit)
