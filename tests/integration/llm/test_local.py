"""The packaged 135M model in this process: real tokens, few of them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from prompts import answer_of, prompt_of
from vital_engine.errors import ConfigError, ContextTooLong, ModelUnavailable, StreamBroken
from vital_engine.nouns import Passage, Piece
from vital_engine.services.llm.local import Local
from vital_engine.text.tokens import estimate_tokens

pytestmark = pytest.mark.slow

ASPIRIN = Passage(
    "p1", "Aspirin irreversibly inhibits COX-1 in platelets. The effect lasts for days. " * 4, title="Aspirin"
)


@pytest.fixture(scope="module")
async def model() -> AsyncIterator[Local]:
    model = Local(slots=1, context=2048)
    await model.warm()
    yield model
    await model.aclose()


async def seconds_of(model: Local) -> float:
    """What the shortest answer takes, with the wait for a slot."""
    started = time.monotonic()
    await answer_of(model, prompt_of("Hi", max_output_tokens=1))
    return time.monotonic() - started


async def seconds_per_token(model: Local) -> float:
    """At the pace of this machine, as busy as it is."""
    stream = model.stream(prompt_of("Write a long story about a doctor.", max_output_tokens=24))
    at = [time.monotonic() async for piece in stream if piece.text]
    return (at[-1] - at[0]) / (len(at) - 1)


async def test_it_streams_and_says_who_spoke(model: Local) -> None:
    started, at = time.monotonic(), []
    pieces: list[Piece] = []
    async for piece in model.stream(prompt_of("Write a long story about a doctor.", max_output_tokens=24)):
        pieces.append(piece)
        at.append(time.monotonic() - started)
    last = pieces[-1]
    assert len(pieces) > 10 and at[-1] - at[0] > 0.05
    assert (last.model, last.provider) == ("SmolLM2-135M-Instruct", "llama.cpp")
    assert last.finish in ("stop", "length")
    assert last.usage is not None and not last.usage.estimated
    assert 0 < last.usage.output <= 24 and last.usage.input > 10


async def test_a_prompt_that_begins_the_same_is_not_read_again(model: Local) -> None:
    _, first = await answer_of(model, prompt_of("How long?", ASPIRIN, max_output_tokens=2))
    _, second = await answer_of(model, prompt_of("How does it do so?", ASPIRIN, max_output_tokens=2))
    assert first.usage is not None and second.usage is not None
    assert second.usage.cached >= 60
    assert second.usage.cached < second.usage.input, "cached tokens are part of the input"


async def test_closing_frees_the_only_slot(model: Local) -> None:
    async with aclosing(model.stream(prompt_of("Write a long story.", max_output_tokens=1500))) as stream:
        async for piece in stream:
            if piece.text:
                break
    assert await seconds_of(model) < 700 * await seconds_per_token(model), "1,500 tokens take far longer"


async def test_cancelling_while_the_prompt_is_read_frees_the_slot(model: Local) -> None:
    long = " ".join(f"word{i}" for i in range(450))
    task = asyncio.create_task(answer_of(model, prompt_of(long, max_output_tokens=400)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await seconds_of(model) < 250 * await seconds_per_token(model), "400 tokens to write take far longer"


async def test_the_loop_goes_on_while_it_speaks(model: Local) -> None:
    beats, running = 0, True

    async def beat() -> None:
        nonlocal beats
        while running:
            beats += 1
            await asyncio.sleep(0.001)

    heart = asyncio.create_task(beat())
    await answer_of(model, prompt_of("What is aspirin?", ASPIRIN, max_output_tokens=16))
    running = False
    await heart
    assert beats > 20


async def test_a_prompt_that_does_not_fit(model: Local) -> None:
    with pytest.raises(ContextTooLong):
        await answer_of(model, prompt_of("word " * 3000))


async def test_the_estimate_is_near_the_real_tokenizer(model: Local) -> None:
    prompt = prompt_of("Does aspirin inhibit platelets?", ASPIRIN, max_output_tokens=1)
    _, last = await answer_of(model, prompt)
    guess = sum(estimate_tokens(message["content"]) for message in prompt.messages())
    assert last.usage is not None and guess == pytest.approx(last.usage.input, rel=0.2)


async def test_signals_are_left_alone(model: Local) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    caught = (
        Path("/proc/self/status").read_text().split("SigCgt:")[1].split()[0]
        if Path("/proc/self/status").exists()
        else "2"
    )
    assert not int(caught, 16) >> (signal.SIGTERM - 1) & 1


def test_the_interpreter_ends_although_a_call_is_running() -> None:
    program = """
import asyncio
from prompts import prompt_of
from vital_engine.services.llm.local import Local
loop = asyncio.new_event_loop()
stream = Local(slots=1).stream(prompt_of("Write a long story.", max_output_tokens=3000))
loop.run_until_complete(anext(stream))
print("speaking", flush=True)
"""
    started = time.monotonic()
    command = [sys.executable, "-c", program]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        began = time.monotonic()
        _, errors = process.communicate(timeout=240)
    assert said == "speaking\n" and process.returncode == 0, errors
    assert time.monotonic() - began < 3 + 2 * (began - started), "3,000 tokens take far longer than to load the model"


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"hello")
    for path in (tmp_path / "x.gguf", tmp_path / "y.gguf"):
        with pytest.raises(ConfigError):
            Local(path)


async def test_closing_the_model_ends_its_calls() -> None:
    model = Local(slots=2, context=1024)
    stream = model.stream(prompt_of("Write a long story.", max_output_tokens=900))
    await anext(stream)
    await model.aclose()
    with pytest.raises(StreamBroken):
        async for _ in stream:
            pass
    with pytest.raises(ModelUnavailable):
        await answer_of(model, prompt_of("Hi"))
