"""An OpenAI-compatible server over real loopback connections: what it says, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from model_server import ModelServer, Reply
from prompts import answer_of, prompt_of
from vital_engine.errors import ConfigError, ContextTooLong, ModelError, ModelUnavailable, RateLimited, StreamBroken
from vital_engine.nouns import Piece, Usage
from vital_engine.ports import LLM
from vital_engine.services.llm.openai_compatible import OpenAICompatible
from vital_engine.services.llm.patience import Patience, RetryBudget, Retrying

PATIENT = Patience(connect=60.0, first=60.0, silence=60.0, total=120.0)
"""No limit that a busy machine would reach. A test of one limit shortens that one."""
TEXT = "Aspirin inhibits COX-1 [1]. It lasts for days [1]."


@pytest.fixture
async def model(model_server: ModelServer) -> AsyncIterator[OpenAICompatible]:
    model = OpenAICompatible("m1", base_url=model_server.base_url, api_key="k", patience=PATIENT, draw=lambda _: 0.0)
    yield model
    await model.aclose()


@pytest.fixture
async def hasty(model_server: ModelServer) -> AsyncIterator[OpenAICompatible]:
    """It waits a quarter of a second for the first token."""
    patience = replace(PATIENT, first=0.25)
    model = OpenAICompatible("m1", base_url=model_server.base_url, patience=patience, draw=lambda _: 0.0)
    yield model
    await model.aclose()


async def partial(model: LLM, first: Callable[[], object] = lambda: None) -> tuple[str, ModelError]:
    """What arrived before the error, and the error. *first*: called once something has arrived."""
    said = ""
    try:
        async for piece in model.stream(prompt_of()):
            if not said and piece.text:
                await asyncio.to_thread(first)
            said += piece.text
    except ModelError as error:
        return said, error
    pytest.fail(f"nothing broke: {said!r}")


async def left_over(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """Tasks that outlive their call. One turn of the loop is granted: there the interpreter closes the
    generators inside the HTTP library."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return asyncio.all_tasks() - before


async def test_text_comes_in_pieces_and_the_last_one_says_who_spoke(
    model: OpenAICompatible, model_server: ModelServer
) -> None:
    model_server.say(Reply(TEXT, tokens_per_second=10, model="m1-2026-01-01"))
    sent: list[int] = []
    pieces: list[Piece] = []
    async for piece in model.stream(prompt_of()):
        pieces.append(piece)
        sent.append(model_server.requests[0].sent_tokens)
    assert "".join(p.text for p in pieces) == TEXT
    assert sent[0] < sent[-1] == 9, "the first words came before the last were sent"
    last = pieces[-1]
    assert (last.model, last.provider, last.finish) == ("m1-2026-01-01", "127.0.0.1", "stop")
    assert last.usage == Usage(input=100, output=9)
    request = model_server.requests[0]
    assert request.headers["authorization"] == "Bearer k"
    assert request.body["messages"] == prompt_of().messages()
    assert request.body["max_tokens"] == 64


@pytest.mark.parametrize("form", ["no_choices", "with_choices", "twice", "beside"])
async def test_usage_in_every_form(model: OpenAICompatible, model_server: ModelServer, form: str) -> None:
    model_server.say(Reply(TEXT, usage=form, cached_tokens=40, reasoning_tokens=25))
    _, last = await answer_of(model, prompt_of())
    assert last.usage == Usage(input=100, output=9 + 25, cached=40, reasoning=25)


async def test_usage_that_never_comes_is_an_estimate_and_says_so(
    model: OpenAICompatible, model_server: ModelServer
) -> None:
    model_server.say(Reply(TEXT, usage="never"))
    _, last = await answer_of(model, prompt_of())
    assert last.usage is not None and last.usage.estimated and last.usage.output >= 9


async def test_a_server_that_refuses_optional_fields_is_asked_without_them_from_then_on(
    model: OpenAICompatible, model_server: ModelServer
) -> None:
    model_server.default = Reply(TEXT, refuses=("stream_options", "max_tokens"))
    for _ in range(2):
        text, last = await answer_of(model, prompt_of())
        assert text == TEXT and last.usage is not None and last.usage.estimated
    fields = [(("stream_options" in r.body), r.body.get("max_completion_tokens")) for r in model_server.requests]
    assert fields == [(True, None), (False, None), (False, 64), (False, 64)]


async def test_a_whole_completion_instead_of_a_stream(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply(TEXT, whole=True))
    text, last = await answer_of(model, prompt_of())
    assert text == TEXT and last.finish == "stop" and last.usage == Usage(input=100, output=9)


async def test_a_byte_at_a_time(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply("Größe β [1].", trickle=0.0))
    assert (await answer_of(model, prompt_of()))[0] == "Größe β [1]."


async def test_azure_addresses_and_the_expert_own_model(model_server: ModelServer) -> None:
    url = model_server.base_url.replace("/v1", "/openai/deployments/gpt") + "?api-version=2026-01-01"
    model = OpenAICompatible("gpt", base_url=url, api_key="secret")
    await answer_of(model, prompt_of(model="gpt-large"))
    await model.aclose()
    request = model_server.requests[0]
    assert (request.path, request.query) == ("/openai/deployments/gpt/chat/completions", "api-version=2026-01-01")
    assert request.headers["api-key"] == "secret" and "authorization" not in request.headers
    assert request.body["model"] == "gpt-large"


async def test_no_key_is_taken_from_the_environment(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "secret")
    model = OpenAICompatible("m1", base_url=model_server.base_url)
    await answer_of(model, prompt_of())
    await model.aclose()
    headers = model_server.requests[0].headers
    assert "secret" not in str(headers) and "authorization" not in headers


@pytest.mark.parametrize("late", [0.0, 0.15])
async def test_connections_are_kept(model: OpenAICompatible, model_server: ModelServer, late: float) -> None:
    """Also if the end of the message comes late: on a busy machine it does."""
    model_server.default = Reply(end_after=late)
    for _ in range(3):
        await answer_of(model, prompt_of())
    assert {request.connection for request in model_server.requests} == {0}


async def test_a_message_that_never_ends_is_not_waited_for(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply(TEXT, end_after=3600.0))
    assert (await answer_of(model, prompt_of()))[0] == TEXT
    await answer_of(model, prompt_of())
    assert [request.connection for request in model_server.requests] == [0, 1]


@pytest.mark.parametrize(
    ("reply", "error", "calls"),
    [
        (Reply(status=500), ModelUnavailable, 3),
        (Reply(status=503, retry_after="0"), ModelUnavailable, 3),
        (Reply(status=401), ModelError, 1),
        (Reply(status=404), ModelError, 1),
        (Reply(status=429, retry_after="600"), RateLimited, 1),
        (Reply(status=429, error={"message": "out of money", "code": "insufficient_quota"}), ModelError, 1),
        (Reply(status=400, error={"message": "x", "code": "context_length_exceeded"}), ContextTooLong, 1),
        (Reply(body=b"<html>Welcome to the proxy</html>"), ModelUnavailable, 3),
        (Reply(body=b"{not json", content_type="application/json"), ModelUnavailable, 3),
        (Reply(cut_after=0, cut="error"), ModelUnavailable, 3),
        (Reply(cut_after=0, cut="rst"), ModelUnavailable, 3),
    ],
)
async def test_errors_before_the_first_token(
    model: OpenAICompatible, model_server: ModelServer, reply: Reply, error: type[ModelError], calls: int
) -> None:
    model_server.default = reply
    said, caught = await partial(model)
    assert said == "" and type(caught) is error
    assert len(model_server.requests) == calls


@pytest.mark.parametrize(
    "reply", [Reply(first=60.0), Reply(first=60.0, early_headers=False), Reply(first=60.0, comments=0.05)]
)
async def test_a_first_token_that_does_not_come(
    hasty: OpenAICompatible, model_server: ModelServer, reply: Reply
) -> None:
    model_server.default = reply
    said, caught = await partial(hasty)
    assert said == "" and type(caught) is ModelUnavailable and "no first token" in str(caught)
    assert len(model_server.requests) == 3


async def test_a_retry_that_works(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply(status=429, retry_after="0.2"), Reply(status=502), Reply(TEXT))
    started = time.monotonic()
    assert (await answer_of(model, prompt_of()))[0] == TEXT
    assert time.monotonic() - started >= 0.2, "the server's own wish was kept"


async def test_retry_after_is_told(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply(status=429, retry_after="170"))
    _, caught = await partial(model)
    assert isinstance(caught, RateLimited) and caught.retry_after == 170.0


@pytest.mark.parametrize("cut", ["fin", "rst", "json", "utf8", "close", "error"])
async def test_a_stream_that_breaks_off_is_broken_and_never_repeated(
    model: OpenAICompatible, model_server: ModelServer, cut: str
) -> None:
    model_server.say(Reply(TEXT, cut_after=4, cut=cut))
    said, caught = await partial(model)
    assert said == "Aspirin inhibits COX-1 [1]." and isinstance(caught, StreamBroken)
    assert len(model_server.requests) == 1


async def test_silence_in_mid_stream(model_server: ModelServer) -> None:
    model_server.say(Reply(TEXT, stall_after=2))
    model = OpenAICompatible("m", base_url=model_server.base_url, patience=replace(PATIENT, silence=1.0))
    said, caught = await partial(model)
    assert said == "Aspirin inhibits" and isinstance(caught, StreamBroken)
    assert "silence: waited 1 s" in str(caught)
    await model.aclose()


async def test_single_bytes_are_no_sign_of_life(model_server: ModelServer) -> None:
    model_server.say(Reply(TEXT, trickle=0.1))
    patience = replace(PATIENT, first=0.25)
    model = OpenAICompatible("m", base_url=model_server.base_url, patience=patience, retrying=Retrying(0))
    _, caught = await partial(model)
    assert isinstance(caught, ModelUnavailable) and "no first token" in str(caught)
    await model.aclose()


async def test_the_total_holds_while_tokens_come(model_server: ModelServer) -> None:
    model_server.say(Reply("word " * 1000, tokens_per_second=20))
    model = OpenAICompatible("m", base_url=model_server.base_url, patience=replace(PATIENT, total=1.0))
    said, caught = await partial(model)
    assert said and isinstance(caught, StreamBroken) and "all of the time" in str(caught)
    await model.aclose()


async def test_thinking_is_progress_but_no_text(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply(TEXT, reasoning="hm", cut_after=0, cut="rst"))
    said, caught = await partial(model)
    assert said == "" and isinstance(caught, StreamBroken)
    assert len(model_server.requests) == 1, "what was thought was paid for: no retry"


async def test_a_server_that_dies(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.say(Reply("word " * 100, tokens_per_second=50))
    said, caught = await partial(model, first=model_server.kill)
    assert said and isinstance(caught, StreamBroken)
    _, caught = await partial(model)
    assert isinstance(caught, ModelUnavailable) and caught.retryable


async def test_closing_the_stream_closes_the_connection(model: OpenAICompatible, model_server: ModelServer) -> None:
    model_server.default = Reply("word " * 5000, tokens_per_second=100)
    before = asyncio.all_tasks()
    stream = model.stream(prompt_of())
    async for piece in stream:
        if piece.text:
            break
    await stream.aclose()
    assert await left_over(before) == set()
    request = model_server.requests[0]
    assert await asyncio.to_thread(model_server.wait_for_disconnect, request)
    assert request.sent_tokens < 2500, "it would have said 5,000"


async def test_cancelling_closes_the_connection_and_the_pool_stays_whole(model_server: ModelServer) -> None:
    model_server.default = Reply("word " * 500, tokens_per_second=50, first=0.05)
    model = OpenAICompatible("m", base_url=model_server.base_url, connections=2)
    before = asyncio.all_tasks()
    for wait in (0.02, 0.1, 0.15, 0.01, 0.12):
        task = asyncio.create_task(answer_of(model, prompt_of()))
        await asyncio.sleep(wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert all(
        [await asyncio.to_thread(model_server.wait_for_disconnect, request) for request in model_server.requests]
    )
    model_server.default = Reply(TEXT)
    assert (await answer_of(model, prompt_of()))[0] == TEXT
    assert await left_over(before) == set()
    await model.aclose()


async def test_the_retry_budget_is_a_tenth_of_the_calls(model_server: ModelServer) -> None:
    model_server.default = Reply(status=500)
    budget = RetryBudget(share=0.1, reserve=1.0)
    model = OpenAICompatible("m", base_url=model_server.base_url, budget=budget, draw=lambda _: 0.0)
    for _ in range(20):
        await partial(model)
    retries = len(model_server.requests) - 20
    assert retries == 2, "the reserve of one, and a tenth of the calls after it was spent"
    await model.aclose()


def test_a_wrong_address_is_refused() -> None:
    with pytest.raises(ConfigError):
        OpenAICompatible("m", base_url="localhost:8000")
