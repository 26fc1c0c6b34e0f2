"""Servers that read ahead, over real loopback connections: what their prefix caches counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from model_server import ModelServer, PrefixCache, Reply
from prompts import answer_of, prompt_of
from vital_engine.errors import ConfigError, ModelUnavailable
from vital_engine.flow import run_in_background
from vital_engine.nouns import Prefilled, Prompt, Segment, Usage
from vital_engine.ports import prefiller
from vital_engine.services.llm import Fallback, open_llm
from vital_engine.services.llm.openai_compatible import OpenAICompatible
from vital_engine.services.llm.reading_ahead import BLOCK, LlamaServer, Vllm
from vital_engine.services.llm.remembered import CachedLLM


@pytest.fixture
async def vllm(model_server: ModelServer) -> AsyncIterator[Vllm]:
    model_server.cache = PrefixCache(block=BLOCK, per_token=0.0002)
    model = Vllm("m", base_url=model_server.base_url)
    yield model
    await model.aclose()


@pytest.fixture
async def llama(model_server: ModelServer) -> AsyncIterator[LlamaServer]:
    model_server.cache = PrefixCache(slots=2, per_token=0.0002)
    model = LlamaServer("m", base_url=model_server.base_url)
    yield model
    await model.aclose()


KINDS = pytest.mark.parametrize(
    ("kind", "cache"),
    [(Vllm, {"block": BLOCK}), (LlamaServer, {"slots": 2})],
)


def turn(run: str) -> Prompt:
    segments = (
        Segment("instructions", "Answer from the passages. " * 10),
        Segment("conversation", f"{run} said so. " * 30),
        Segment("question", "Why?"),
    )
    base = prompt_of()
    return replace(base, segments=segments, question=replace(base.question, run_id=run))


def head(prompt: Prompt, segments: int) -> Prompt:
    return replace(prompt, segments=prompt.segments[:segments])


async def used(model: OpenAICompatible, prompt: Prompt) -> Usage:
    _, last = await answer_of(model, prompt)
    assert last.usage is not None and not last.usage.estimated
    return last.usage


async def test_vllm_finds_whole_blocks_again(vllm: Vllm, model_server: ModelServer) -> None:
    prompt = turn("a")
    first = await vllm.prefill(head(prompt, 1))
    second = await vllm.prefill(head(prompt, 2))
    usage = await used(vllm, prompt)
    assert first.computed == len(PrefixCache.tokens({"messages": head(prompt, 1).messages()})) and first.cached == 0
    assert second.cached >= 32 and second.cached % BLOCK == 0
    assert usage.cached % BLOCK == 0
    assert 0 < usage.input - usage.cached < 2 * BLOCK
    assert [request.body["max_tokens"] for request in model_server.requests] == [1, 1, 64]


async def test_vllm_is_not_asked_for_less_than_a_block(vllm: Vllm, model_server: ModelServer) -> None:
    prompt = turn("a")
    await vllm.prefill(head(prompt, 2))
    assert await vllm.prefill(head(prompt, 2)) == Prefilled()
    assert await vllm.prefill(replace(prompt, segments=(Segment("instructions", "Be brief."),))) == Prefilled()
    assert len(model_server.requests) == 1


@KINDS
async def test_an_answer_waits_while_its_prompt_is_read(
    kind: type[Vllm | LlamaServer], cache: dict[str, int], model_server: ModelServer
) -> None:
    kept = model_server.cache = PrefixCache(**cache, per_token=0.0002)
    model = kind("m", base_url=model_server.base_url)
    prompt = turn("a")
    read, usage = await asyncio.gather(model.prefill(head(prompt, 2)), used(model, prompt))
    assert read.computed > 100 and usage.cached > 100
    assert kept.computed < 1.3 * usage.input
    await model.aclose()


@KINDS
async def test_a_reading_that_is_cancelled_is_stopped_at_the_server(
    kind: type[Vllm | LlamaServer], cache: dict[str, int], model_server: ModelServer
) -> None:
    kept = model_server.cache = PrefixCache(**cache, per_token=0.0002)
    model = kind("m", base_url=model_server.base_url)
    kept.per_token = 10.0
    reading = asyncio.create_task(model.prefill(head(turn("a"), 2)))
    while not model_server.requests:
        await asyncio.sleep(0.002)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(model_server.wait_for_disconnect, model_server.requests[0])
    kept.per_token = 0.0
    assert (await used(model, turn("a"))).cached == 0
    await model.aclose()


async def test_llama_server_reads_without_writing_where_the_answer_will_be(
    llama: LlamaServer, model_server: ModelServer
) -> None:
    one, other = turn("a"), turn("b")
    for prompt in (one, other):
        await llama.prefill(head(prompt, 1))
        assert (await llama.prefill(head(prompt, 2))).cached > 30
    for prompt in (one, other):
        usage = await used(llama, prompt)
        assert usage.input - usage.cached <= 4, "the tail of the template, and the question"
    asked = [(r.body["id_slot"], r.body["max_tokens"]) for r in model_server.requests]
    assert asked == [(0, 0), (0, 0), (1, 0), (1, 0), (0, 64), (1, 64)]


async def test_llama_server_with_all_slots_taken_reads_nothing(llama: LlamaServer, model_server: ModelServer) -> None:
    await llama.prefill(head(turn("a"), 2))
    await llama.prefill(head(turn("b"), 2))
    assert await llama.prefill(head(turn("c"), 2)) == Prefilled()
    assert (await used(llama, turn("c"))).output > 0, "but it answers"


async def test_a_server_that_does_not_say_how_many_slots_it_has(model_server: ModelServer) -> None:
    model = LlamaServer("m", base_url=model_server.base_url)
    await model.prefill(head(turn("a"), 2))
    assert (await used(model, turn("a"))).output > 0
    assert all("id_slot" not in r.body and r.body["cache_prompt"] for r in model_server.requests)
    await model.aclose()


@pytest.mark.parametrize("kind", [Vllm, LlamaServer])
async def test_a_reading_is_not_tried_again(kind: type[Vllm | LlamaServer], model_server: ModelServer) -> None:
    model = kind("m", base_url=model_server.base_url)
    model_server.default = Reply(status=503)
    with pytest.raises(ModelUnavailable):
        await model.prefill(head(turn("a"), 2))
    assert len(model_server.requests) == 1
    model_server.default = Reply(usage="never")
    assert await model.prefill(head(turn("b"), 2)) == Prefilled(), "nothing that is only estimated"
    await model.aclose()


async def test_who_can_read_ahead(model_server: ModelServer) -> None:
    for kind, can in (("off", False), ("vllm", True), ("llama.cpp", True)):
        for floor in (False, True):
            model = open_llm("m", base_url=model_server.base_url, prefill=kind, floor=floor)
            assert (prefiller(model) is not None) is can
    assert prefiller(open_llm()) is None
    local = Fallback(open_llm("smollm2"), open_llm())
    assert prefiller(local) is not None and local.capacity == 2
    remembered = CachedLLM(local, entries=1, start=run_in_background)
    assert prefiller(remembered) is remembered and remembered.capacity == 2
    assert prefiller(CachedLLM(open_llm(), entries=1, start=run_in_background)) is None
    with pytest.raises(ConfigError):
        open_llm("m", base_url=model_server.base_url, prefill="maybe")
