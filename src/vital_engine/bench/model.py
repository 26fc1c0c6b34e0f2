"""The model server of the benchmark: it reads, holds what it has read, and speaks, all in drawn time.

It keeps the beginnings of prompts that it has read for a turn, as a server with a prefix cache does, and reads only what
is new. Two requests that read the same at the same time both pay for it, as they do in such servers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from vital_engine.errors import StreamBroken
from vital_engine.nouns import Piece, Prefilled, Prompt, Usage

from .durations import Durations
from .stage import SECOND, STAGE, Stage, take, until

MODEL = "simulated"


class Model:
    """Fulfils the ports LLM and Prefiller.

    :param attempt: whose draws it goes by: 0, or 1 for the replica.
    :param by_token: say every token by itself; else the first token, and then a sentence at a time, at the same moments.
    :param capacity: how many answers it makes at once, the others wait in line; None: any number. What is read ahead takes
        no slot: servers read in between.
    """

    def __init__(self, attempt: int = 0, *, by_token: bool = False, capacity: int | None = None) -> None:
        self._attempt, self._by_token, self.capacity = attempt, by_token, capacity
        self._slots = None if capacity is None else asyncio.Semaphore(capacity)

    reads_between = True

    async def prefill(self, prompt: Prompt) -> Prefilled:
        stage = STAGE.get()
        computed = await self._read(stage, stage.drawn.durations[self._attempt], prompt)
        return Prefilled(computed=computed)

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        stage, loop = STAGE.get(), asyncio.get_running_loop()
        d, fault = stage.call("reply", self._attempt)
        spoke_at, whole = float("inf"), False
        try:
            async with AsyncExitStack() as held:
                if self._slots is not None:
                    await held.enter_async_context(self._slots)
                begun = loop.time()
                if fault is not None and fault.error != "cut":
                    await take(0.0, fault)
                await self._read(stage, d, prompt)
                await until(begun + d.held.get("reply", 0.0))
                spoke_at = loop.time()
                for text, at in _said(d.tokens, d.sentences, self._by_token):
                    if fault is not None and at > fault.share:
                        await until(spoke_at + fault.share * d.speech)
                        raise StreamBroken("drawn: cut", service="bench", retryable=True)
                    await until(spoke_at + at * d.speech)
                    yield Piece(text, model=MODEL, provider=MODEL)
            yield Piece(usage=Usage(output=d.tokens), model=MODEL, provider=MODEL, finish="stop")
            whole = True
            stage.copy_spoke = self._attempt == SECOND
        finally:
            if not whole and fault is None and (spent := loop.time() - spoke_at) > 0:
                stage.wasted += min(spent / d.token, d.tokens)

    async def _read(self, stage: Stage, d: Durations, prompt: Prompt) -> int:
        """Read what is new of *prompt*. :returns: how many segments that were."""
        held, seconds = stage.read[self._attempt], d.segments
        loop = asyncio.get_running_loop()
        begun, done, computed = loop.time(), 0.0, 0
        beginning: tuple[str, ...] = ()
        for segment in prompt.segments:
            if not segment.text:
                continue
            beginning = (*beginning, segment.text)
            if beginning in held:
                continue
            computed += 1
            if took := seconds.get(segment.kind, 0.0):
                done += took
                await until(begun + done)
            held.add(beginning)
        return computed


@functools.cache
def _said(tokens: int, sentences: int, by_token: bool) -> tuple[tuple[str, float], ...]:
    """The answer as (text, share of the speaking time). A sentence ends in a line break, and is known as it ends."""
    words = [f"This is sentence {i + 1} of the answer [1].\n" for i in range(sentences)]
    if not by_token:
        first, rest = words[0][0], words[0][1:]
        ends = [(text, (i + 1) / sentences) for i, text in enumerate(words)]
        return ((first, 1 / tokens), (rest, ends[0][1]), *ends[1:]) if tokens > sentences else tuple(ends)
    pieces: list[tuple[str, float]] = []
    for i, text in enumerate(words):
        share = tokens * (i + 1) // sentences - tokens * i // sentences
        cuts = [round(len(text) * (k + 1) / share) for k in range(share)]
        for start, end in zip([0, *cuts], cuts, strict=False):
            pieces.append((text[start:end], (len(pieces) + 1) / tokens))
    return tuple(pieces)
