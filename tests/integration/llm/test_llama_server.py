"""llama.cpp's own server over HTTP, with the packaged 135M model: what it counted of what was read ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import xllamacpp

from prompts import answer_of, prompt_of
from vital_engine.nouns import Prompt, Segment
from vital_engine.services.llm.local import SMOLLM2
from vital_engine.services.llm.reading_ahead import LlamaServer

pytestmark = pytest.mark.slow


@pytest.fixture
async def model() -> AsyncIterator[LlamaServer]:
    params = xllamacpp.CommonParams()
    params.model.path = str(SMOLLM2.path())
    params.n_ctx, params.n_parallel, params.kv_unified, params.cache_idle_slots = 2048, 2, True, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, ["key"]
    server = xllamacpp.Server(params)
    model = LlamaServer("m", base_url=f"{server.listening_address}/v1", api_key="key")
    yield model
    await model.aclose()
    del server


def turn(run: str) -> Prompt:
    segments = (
        Segment("instructions", "Answer from the numbered passages, and from nothing else. " * 3),
        Segment("conversation", "Earlier in this conversation:\n" + " ".join(f"{run} {i}" for i in range(20))),
        Segment("question", "Question: what does aspirin inhibit?"),
    )
    base = prompt_of(max_output_tokens=2)
    return replace(base, segments=segments, question=replace(base.question, run_id=run))


async def test_what_was_read_ahead_is_not_read_again(model: LlamaServer) -> None:
    turns = [turn("a"), turn("b")]
    for prompt in turns:
        first = await model.prefill(replace(prompt, segments=prompt.segments[:1]))
        second = await model.prefill(replace(prompt, segments=prompt.segments[:2]))
        assert first.computed > 20 and second.cached > 20 and second.computed > 30
    for prompt in turns:  # each in the slot where it was read, though the other one has read since
        _, last = await answer_of(model, prompt)
        assert last.usage is not None and last.usage.output == 2
        assert 0 < last.usage.input - last.usage.cached < 30
