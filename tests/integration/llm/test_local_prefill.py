"""Reading ahead with the packaged model: what its server counted, and whose slot is whose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from prompts import answer_of, prompt_of
from vital_engine.errors import ModelError
from vital_engine.nouns import Passage, Prefilled, Prompt, Segment, Usage
from vital_engine.ports import prefiller
from vital_engine.services.llm.local import BATCH, Local

pytestmark = pytest.mark.slow


@pytest.fixture
async def model() -> AsyncIterator[Local]:
    model = Local(slots=2, context=4096, evidence_tokens=300)
    await model.warm()
    yield model
    await model.aclose()


def turn(run: str, words: int = 25) -> Prompt:
    """A prompt of four segments. The instructions are the same for all, the rest is the run's own."""
    own = " ".join(f"{run} {i}" for i in range(words))
    segments = (
        Segment("instructions", "Answer from the numbered passages, and from nothing else. " * 3),
        Segment("conversation", f"Earlier in this conversation:\nUser: {own}\nAssistant: I see."),
        Segment("evidence", f"Passages:\n[1] Aspirin inhibits COX-1, says {run}."),
        Segment("question", "Question: what does aspirin inhibit?"),
    )
    base = prompt_of(max_output_tokens=3)
    return replace(base, segments=segments, question=replace(base.question, run_id=run))


def head(prompt: Prompt, segments: int) -> Prompt:
    return replace(prompt, segments=prompt.segments[:segments])


async def used(model: Local, prompt: Prompt) -> Usage:
    _, last = await answer_of(model, prompt)
    assert last.usage is not None and not last.usage.estimated
    return last.usage


async def test_what_was_read_ahead_is_not_read_again(model: Local) -> None:
    assert prefiller(model) is model
    prompt = turn("a")
    cold = await used(model, turn("b"))
    first = await model.prefill(head(prompt, 1))
    second = await model.prefill(head(prompt, 2))
    assert second.computed > 50 and second.cached > 30, "the instructions are not read a second time"
    assert first.computed + first.cached < second.computed + second.cached
    usage = await used(model, prompt)
    # lost is only what the chat template puts behind the text that is there so far
    assert usage.cached >= second.computed + second.cached - 12
    assert usage.input - usage.cached < cold.input / 3


async def test_an_answer_that_comes_early_waits_instead_of_reading_twice(model: Local) -> None:
    prompt = turn("a", words=60)
    reading = asyncio.create_task(model.prefill(head(prompt, 2)))
    await asyncio.sleep(0.05)
    usage = await used(model, prompt)
    done = await reading
    assert done.computed > 150 and usage.cached >= done.computed - 12


async def test_two_readings_of_one_run_go_one_after_the_other(model: Local) -> None:
    prompt = turn("a")
    first, second = await asyncio.gather(model.prefill(head(prompt, 1)), model.prefill(head(prompt, 2)))
    assert second.cached >= first.computed - 12
    assert (await used(model, prompt)).cached >= second.computed + second.cached - 12


async def test_eight_runs_share_two_slots(model: Local) -> None:
    async def one(i: int) -> tuple[Prefilled, Usage]:
        prompt = turn(f"run{i}")
        return await model.prefill(head(prompt, 2)), await used(model, prompt)

    done = await asyncio.gather(*(one(i) for i in range(8)))
    assert all(slot.held is None for slot in model.slots.all)
    ahead = [read.computed + read.cached for read, _ in done]
    assert 2 <= sum(count > 0 for count in ahead) < 8, "two may read ahead at once; nobody waits to do so"
    for count, (_, usage) in zip(ahead, done, strict=True):
        assert usage.output == 3 and (not count or usage.cached > 30)


async def test_a_reading_that_is_cancelled_stops_within_a_batch(model: Local) -> None:
    prompt = turn("a", words=220)  # 6 batches
    reading = asyncio.create_task(model.prefill(head(prompt, 2)))
    while not any(slot.held for slot in model.slots.all):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    while any(slot.held for slot in model.slots.all):
        await asyncio.sleep(0.01)
    again = await model.prefill(head(prompt, 2))
    assert again.computed > 2 * BATCH, "it had not been read to its end"
    assert (await used(model, prompt)).cached > again.computed - 12, "and the server is as usable as before"


async def test_closing_while_it_reads_ends_the_reading() -> None:
    model = Local(slots=1, context=4096)
    await model.warm()
    reading = asyncio.create_task(model.prefill(head(turn("a", words=220), 2)))
    waiting = asyncio.create_task(used(model, turn("b")))
    while not any(slot.held for slot in model.slots.all):
        await asyncio.sleep(0.01)
    await model.aclose()
    for task in (reading, waiting):
        with pytest.raises(ModelError):
            await task


async def test_evidence_is_shortened_alike_in_a_part_and_in_the_whole(model: Local) -> None:
    long = Passage("p", " ".join(f"Sentence {i} says that aspirin inhibits COX-1." for i in range(45)), title="Long")
    prompt = prompt_of("What does aspirin inhibit?", long, max_output_tokens=2)
    prompt = replace(prompt, question=replace(prompt.question, run_id="a"))
    read = await model.prefill(head(prompt, 2))
    assert read.computed > 300
    usage = await used(model, prompt)
    assert usage.cached >= read.computed - 12
