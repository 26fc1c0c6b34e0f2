"""Chat completions, asked by OpenAI's own client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from vital_engine.api import Engine
from vital_engine.api.running import RunningTurns
from vital_engine.errors import ModelUnavailable, StreamBroken
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Expert
from vital_engine.testing import scripted

USER: Any = [{"role": "user", "content": "What was found?"}]
SHORT = {"tokens": 12, "sentences": 3}


async def _experts(_: str) -> tuple[Expert, ...]:
    return (
        Expert("cardiology", "Cardiologist", "hearts", "be exact"),
        Expert("other", "Other", "only in mode 1", "", modes=(1,)),
    )


def _engine(services: Any) -> Engine:
    return replace(Engine.around(Mode2AutomaticWorkflow(services)), experts=_experts)


@contextlib.asynccontextmanager
async def _client(served: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=20.0) as client:
        yield client


async def test_a_whole_answer(serving: Any) -> None:
    services = scripted(**SHORT)
    async with serving(_engine(services)) as served, _client(served) as client:
        said = await client.chat.completions.create(
            model="expert/cardiology",
            messages=[{"role": "system", "content": "Rhyme."}, *USER],
            max_completion_tokens=33,
            temperature=0.7,
        )
        message, vital = said.choices[0].message, said.model_extra["vital"]
        assert services.prompts[0].question.text == "What was found?"
        assert services.prompts[0].question.expert == "cardiology"
        assert services.prompts[0].max_output_tokens == 33
        assert said.choices[0].finish_reason == "stop" and said.usage.completion_tokens == 12
        assert said.usage.total_tokens == said.usage.prompt_tokens + 12
        assert vital["ignored"] == ["messages[0]", "temperature"]
        assert (vital["status"], vital["degraded"], vital["usage_estimated"]) == ("complete", {}, False)
        assert len(message.annotations) == 3
        for note in message.annotations:
            cited = note.url_citation
            assert message.content[cited.start_index : cited.end_index] == "[1]"
            assert cited.url.startswith(f"{served.url}/v1/documents/document-1#char=") and cited.title


async def test_a_stream(serving: Any) -> None:
    async with serving(_engine(scripted(reply=0.05, **SHORT))) as served, _client(served) as client:
        stream = await client.chat.completions.create(
            model="auto", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        whole = await client.chat.completions.create(model="auto", messages=USER)
        assert (deltas[0].role, deltas[0].content) == ("assistant", "")
        assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
        notes = [note for delta in deltas for note in (delta.model_extra or {}).get("annotations", [])]
        streamed = [note["url_citation"] for note in notes]
        assert streamed == [note.url_citation.model_dump() for note in whole.choices[0].message.annotations]
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
        assert len({chunk.id for chunk in chunks}) == 1


async def test_degradations_stand_beside_the_text_not_in_it(serving: Any) -> None:
    async with serving(_engine(scripted(retrieve=RuntimeError("secret"), **SHORT))) as served:
        async with _client(served) as client:
            raw = await client.chat.completions.with_raw_response.create(model="auto", messages=USER)
        vital = raw.parse().model_extra["vital"]
        assert raw.headers["x-vital-degraded"] == "retrieve=error" and vital["degraded"] == {"retrieve": "error"}
        assert vital["warnings"] and vital["warnings"][0] not in raw.text.split('"vital"')[0]
        assert "secret" not in raw.text


@pytest.mark.parametrize(
    ("reply", "status", "code", "partial"),
    [
        (ModelUnavailable("10.0.0.7"), 503, "model.unavailable", ""),
        ((0.02, "It was", StreamBroken("10.0.0.7")), 502, "model.stream_broken", "It was"),
    ],
)
async def test_a_broken_turn_is_never_presented_as_complete(
    serving: Any, reply: Any, status: int, code: str, partial: str
) -> None:
    services = scripted(reply=reply)
    async with serving(_engine(services)) as served, _client(served) as client:
        with pytest.raises(openai.APIStatusError) as whole:
            await client.chat.completions.create(model="auto", messages=USER)
        assert (whole.value.status_code, whole.value.code) == (status, code)
        assert whole.value.response.json()["vital"]["partial"] == partial
        assert len(services.prompts) == 1, "a turn that ran is not paid again by the client's own retries"
        stream = await client.chat.completions.create(model="auto", messages=USER, stream=True)
        said = ""
        with pytest.raises(openai.APIError) as cut:
            async for chunk in stream:
                said += chunk.choices[0].delta.content or ""
                assert chunk.choices[0].finish_reason is None
        assert (said, cut.value.code) == (partial, code)
        body = {"model": "auto", "stream": True, "messages": USER}
        raw = (await served.client.post("/v1/chat/completions", json=body)).text
        assert "[DONE]" not in raw and "10.0.0.7" not in raw


async def test_models_are_experts_of_the_automatic_mode(serving: Any) -> None:
    async with serving(_engine(scripted())) as served, _client(served) as client:
        assert [model.id async for model in await client.models.list()] == ["auto", "expert/cardiology"]
        for unknown in ("gpt-4o", "expert/nobody", "expert/other"):
            with pytest.raises(openai.NotFoundError) as refused:
                await client.chat.completions.create(model=unknown, messages=USER)
            assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": [{"role": "system", "content": "x"}]}, "role 'user'"),
        ({"messages": []}, "messages"),
        ({"messages": USER, "n": 2}, "n: "),
        ({"messages": USER, "response_format": {"type": "json_object"}}, "response_format"),
    ],
)
async def test_what_would_make_the_answer_wrong_is_refused(serving: Any, body: Any, says: str) -> None:
    services = scripted()
    async with serving(services) as served:
        response = await served.client.post("/v1/chat/completions", json={"model": "auto", **body})
        assert response.status_code == 422 and says in response.json()["error"]["message"]
        assert not services.calls


async def test_parts_of_a_message_are_read_and_the_unreadable_named(serving: Any) -> None:
    services = scripted(**SHORT)
    async with serving(services) as served:
        content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
        body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
        said = (await served.client.post("/v1/chat/completions", json=body)).json()
        assert services.prompts[0].question.text == "What is this?"
        assert said["vital"]["ignored"] == ["messages[0].content[1]"]


async def test_a_turn_that_the_server_stops_is_an_error(serving: Any) -> None:
    async with serving(_engine(scripted(reply=5.0, **SHORT))) as served:
        import asyncio

        body = {"model": "auto", "messages": USER}
        asking = asyncio.create_task(served.client.post("/v1/chat/completions", json=body))
        running: RunningTurns = served.desk.running
        while not len(running):
            await asyncio.sleep(0.01)
        await running.drain(within=0.05)
        response = await asking
        assert (response.status_code, response.json()["error"]["code"]) == (503, "server_draining")
