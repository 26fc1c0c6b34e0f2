"""One model after another, and never one answer by two."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from model_server import ModelServer, Reply
from prompts import answer_of, prompt_of
from vital_engine.errors import ConfigError, ModelUnavailable, RateLimited, ServiceError, StreamBroken
from vital_engine.nouns import Discarded, Piece, Prompt, Usage
from vital_engine.services.llm import Extractive, Fallback, Patience, open_llm
from vital_engine.services.llm.extractive import NOT_FOUND
from vital_engine.services.llm.local import Local
from vital_engine.services.llm.openai_compatible import OpenAICompatible


class Scripted:
    """Says its words, then fails or ends."""

    def __init__(self, *words: str, error: ServiceError | None = None) -> None:
        self.words, self.error = words, error
        self.prompts: list[Prompt] = []
        self.closed = 0

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        self.prompts.append(prompt)
        try:
            for word in self.words:
                yield Piece(word)
            if self.error is not None:
                raise self.error
            yield Piece(model=f"scripted-{''.join(self.words)}", finish="stop")
        finally:
            self.closed += 1


async def test_the_first_that_works_speaks() -> None:
    second = Scripted("b")
    text, last = await answer_of(Fallback(Scripted("a"), second), prompt_of())
    assert (text, last.model, second.prompts) == ("a", "scripted-a", [])


@pytest.mark.parametrize("error", [ModelUnavailable("down"), RateLimited("busy")])
async def test_the_next_speaks_if_the_first_failed_before_its_first_token(error: ServiceError) -> None:
    first, second = Scripted(error=error), Scripted("b")
    text, last = await answer_of(Fallback(first, second), prompt_of(model="wish"))
    assert (text, last.model) == ("b", "scripted-b")
    assert first.prompts[0].model == "wish" and second.prompts[0].model is None
    assert first.closed == 1


async def test_what_the_failed_one_used_is_told_and_is_not_the_next_ones() -> None:
    class Thinking(Scripted):
        async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
            yield Piece(usage=Usage(input=40, output=7), model="thinker", provider="p")
            raise ModelUnavailable("died before its first word")

    pieces = [piece async for piece in Fallback(Thinking(), Scripted("b")).stream(prompt_of())]
    assert [p.discarded for p in pieces if p.discarded] == [Discarded("fallback", Usage(40, 7), "thinker", "p")]
    assert all(piece.usage is None for piece in pieces)
    # of a failure that said nothing of its use, nothing is told
    silent = Fallback(Scripted(error=ModelUnavailable("down")), Scripted("b"))
    assert not [p async for p in silent.stream(prompt_of()) if p.discarded]


async def test_an_answer_that_has_begun_is_not_continued_by_another() -> None:
    second = Scripted("b")
    with pytest.raises(StreamBroken):
        await answer_of(Fallback(Scripted("a", error=StreamBroken("cut")), second), prompt_of())
    assert second.prompts == []


async def test_the_last_error_is_the_error() -> None:
    with pytest.raises(RateLimited):
        await answer_of(Fallback(Scripted(error=ModelUnavailable("x")), Scripted(error=RateLimited("y"))), prompt_of())


async def test_closing_closes_the_one_that_speaks() -> None:
    model = Scripted("a", "b", "c")
    stream = Fallback(model).stream(prompt_of())
    await anext(stream)
    await stream.aclose()
    assert model.closed == 1


async def test_a_floor_below_a_dead_server(model_server: ModelServer) -> None:
    model_server.kill()
    model = open_llm(
        "m", base_url=model_server.base_url, floor=True, patience=Patience(connect=0.5, first=0.5, total=1.0)
    )
    text, last = await answer_of(model, prompt_of())
    assert (text, last.model) == (NOT_FOUND, "extractive")


async def test_open_llm(model_server: ModelServer, tmp_path: Path) -> None:
    for name in (None, "", "extractive"):
        assert isinstance(open_llm(name), Extractive)
    remote = open_llm("m", base_url=model_server.base_url, api_key="k")
    assert isinstance(remote, OpenAICompatible)
    model_server.say(Reply("Hello there."))
    assert (await answer_of(remote, prompt_of()))[0] == "Hello there."
    await remote.aclose()
    (tmp_path / "own.gguf").write_bytes(b"GGUF....")
    local = open_llm(str(tmp_path / "own.gguf"))
    assert isinstance(local, Local) and local.name == "own"


@pytest.mark.parametrize(("model", "base_url"), [("gpt-5", None), ("", "http://localhost/v1"), ("m", "not a url")])
def test_open_llm_refuses(model: str, base_url: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        open_llm(model, base_url=base_url)
    if base_url is None:
        assert "extractive" in str(caught.value) and ".gguf" in str(caught.value)


def test_a_fallback_needs_a_model() -> None:
    with pytest.raises(ConfigError):
        Fallback()


def iterator_only() -> AsyncIterator[Piece]:
    """An iterator without ``aclose``, which the port allows."""

    class Once:
        done = False

        def __aiter__(self) -> Once:
            return self

        async def __anext__(self) -> Piece:
            if self.done:
                raise StopAsyncIteration
            self.done = True
            return Piece("x", finish="stop")

    return Once()


async def test_a_plain_iterator_will_do() -> None:
    class Plain:
        def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
            return iterator_only()

    assert (await answer_of(Fallback(Plain()), prompt_of()))[0] == "x"
