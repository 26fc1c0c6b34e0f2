"""A server that is given functions to call: what it asks for, what that used, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from model_server import ModelServer, Reply
from vital_engine.errors import ModelError, ModelUnavailable, RateLimited
from vital_engine.nouns import FunctionCall, FunctionCalls, Usage
from vital_engine.ports import FunctionCalling
from vital_engine.services.llm.chunks import Unreadable, read_function_calls
from vital_engine.services.llm.openai_compatible import OpenAICompatible
from vital_engine.services.llm.patience import Patience

SAID = [{"role": "user", "content": "How much is left of 80 mg?"}]
FUNCTIONS = [{"name": "left", "description": "What is left.", "parameters": {"type": "object", "properties": {}}}]


@pytest.fixture
async def model(model_server: ModelServer) -> AsyncIterator[OpenAICompatible]:
    patience = Patience(connect=1.0, first=0.25, silence=0.3, total=5.0)
    model = OpenAICompatible("m1", base_url=model_server.base_url, api_key="k", provider="house", patience=patience)
    yield model
    await model.aclose()


async def test_what_it_asks_for_and_what_that_used(model: OpenAICompatible, model_server: ModelServer) -> None:
    assert isinstance(model, FunctionCalling)
    asked = (("left", '{"dose_mg": 80}'), ("left", '{"dose_mg": 40}'))
    model_server.say(Reply("a b c", function_calls=asked, prompt_tokens=200, cached_tokens=50, model="m1-2026-01-01"))
    answer = await model.function_calls(SAID, FUNCTIONS)
    assert answer.calls == (FunctionCall("left", '{"dose_mg": 80}'), FunctionCall("left", '{"dose_mg": 40}'))
    assert answer.usage == Usage(input=200, output=3, cached=50)
    assert (answer.model, answer.provider) == ("m1-2026-01-01", "house")
    sent = model_server.requests[0]
    assert sent.headers["authorization"] == "Bearer k"
    assert sent.body["messages"] == SAID
    assert sent.body["tools"] == [{"type": "function", "function": FUNCTIONS[0]}]
    assert "stream" not in sent.body or sent.body["stream"] is False
    assert sent.body["temperature"] == 0


async def test_it_may_ask_for_nothing_and_keep_its_counts_to_itself(
    model: OpenAICompatible, model_server: ModelServer
) -> None:
    model_server.say(Reply("No function is needed.", usage="never"))
    assert await model.function_calls(SAID, FUNCTIONS) == FunctionCalls((), None, "m1", "house")


async def test_a_field_that_the_server_does_not_know_is_left_out(
    model: OpenAICompatible, model_server: ModelServer
) -> None:
    model_server.say(Reply(refuses=("max_tokens",)), Reply(function_calls=(("left", "{}"),)), Reply())
    assert (await model.function_calls(SAID, FUNCTIONS)).calls == (FunctionCall("left", "{}"),)
    await model.function_calls(SAID, FUNCTIONS)
    assert ["max_tokens" in each.body for each in model_server.requests] == [True, False, False]
    assert all(each.body.get("max_completion_tokens") for each in model_server.requests[1:])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=500), ModelUnavailable),
        (Reply(status=429, retry_after="3"), RateLimited),
        (Reply(status=401), ModelError),
        (Reply(body=b"<html>proxy</html>"), ModelError),
        (Reply(body=b'{"choices": []}', content_type="application/json"), ModelError),
        (Reply(body=b'{"error": {"message": "the engine died"}}', content_type="application/json"), ModelError),
        (Reply(first=5.0), ModelUnavailable),
    ],
    ids=["500", "429", "401", "html", "empty", "error", "late"],
)
async def test_a_failure_is_typed_and_not_tried_again(
    reply: Reply, error: type[ModelError], model: OpenAICompatible, model_server: ModelServer
) -> None:
    model_server.say(reply)
    with pytest.raises(error) as caught:
        await model.function_calls(SAID, FUNCTIONS)
    assert len(model_server.requests) == 1
    if reply.body is not None and b"died" in reply.body:
        assert str(caught.value) == "the engine died"


async def test_a_cancel_reaches_the_server(model: OpenAICompatible, model_server: ModelServer) -> None:
    model.patience = Patience()
    model_server.say(Reply(first=60.0))
    task = asyncio.create_task(model.function_calls(SAID, FUNCTIONS))
    while not model_server.requests:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(model_server.wait_for_disconnect, model_server.requests[0])


def completion(message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message}]}


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"content": "no"}, ()),
        ({"tool_calls": None}, ()),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}, (("f", {"x": 1}),)),  # as an object
        ({"tool_calls": [{"function": {"name": "f"}}]}, (("f", {}),)),
        ({"function_call": {"name": "f", "arguments": '{"x": 2}'}}, (("f", {"x": 2}),)),  # the older dialect
    ],
)
def test_dialects(message: dict[str, Any], calls: tuple[tuple[str, Any], ...]) -> None:
    read = read_function_calls(completion(message)).calls
    assert tuple((each.name, json.loads(each.arguments)) for each in read) == calls


@pytest.mark.parametrize(
    "data",
    [[], {}, completion(None), completion({"tool_calls": 3}), completion({"tool_calls": [3]}),
     completion({"tool_calls": [{"function": 3}]}), completion({"tool_calls": [{"function": {"name": None}}]})],
)  # fmt: skip
def test_what_is_no_answer_is_unreadable(data: Any) -> None:
    with pytest.raises(Unreadable):
        read_function_calls(data)
