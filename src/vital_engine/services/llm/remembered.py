"""A cache of answers: the same prompt, of the same tenant, over the same index, is paid for once.

The key is a hash of the tenant, the expert, the model and its settings, the domains, the version of the index, and
every character of the prompt. Only a complete answer that rests on no failed step is cached. A turn that asks while the
answer is being generated gets it from its beginning, at no cost.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from vital_engine.nouns import NOTHING_FOUND, Piece, Prompt, Usage
from vital_engine.nouns.replied import CACHE
from vital_engine.ports import LLM, prefiller
from vital_engine.services.caching.cache import Count, LRUCache, Start, uncounted

__all__ = ["PROVIDER", "CachedLLM", "key_of"]

PROVIDER = CACHE
"""The provider of a cached answer: it costs nothing, and the answer shows that it is cached."""


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    model: str


@dataclass(slots=True, eq=False)
class _Telling:
    """An answer that is being given, and to whom. The one who has listened longest is charged for it."""

    pieces: list[Piece] = field(default_factory=list)
    listeners: list[object] = field(default_factory=list)
    wait_for_item: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Any] | None = None
    ended: bool = False

    def tell(self, piece: Piece | None = None) -> None:
        """Add *piece*, or None: it was the last one."""
        if piece is None:
            self.ended = True
        else:
            self.pieces.append(piece)
        self.wait_for_item.set()
        self.wait_for_item = asyncio.Event()


class CachedLLM:
    """Decorates an :class:`~vital_engine.ports.LLM` with a cache of its answers.

    The cache is in the memory of one process, for one event loop.

    :param llm: the model.
    :param entries: the largest number of answers; the least recently used one makes room.
    :param start: starts the generation of an answer, which goes on while any turn reads it.
    :param count: called with the outcome of each lookup: hit, miss or shared.
    :raises ConfigError: *entries* leave no room.
    """

    def __init__(self, llm: LLM, *, entries: int, start: Start, count: Count = uncounted) -> None:
        self._llm, self._start, self._count = llm, start, count
        self._said: LRUCache[str, _Said] = LRUCache(entries=entries)
        self._telling: dict[str, _Telling] = {}
        self.capacity: int | None = getattr(llm, "capacity", None)
        self.model, self.provider = (getattr(llm, name, "") for name in ("model", "provider"))
        if (reader := prefiller(llm)) is not None:  # what it can do besides, this one can too
            self.prefill = reader.prefill

    def __len__(self) -> int:
        return len(self._said)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """The cached answer as one piece, at no cost; else the answer of the model, or of another turn's call that is
        running.

        An error of the model reaches all turns that read the answer. When the last of them stops reading, the model is
        stopped. One of them pays for the call; if it leaves before the end, the next one pays.

        :param prompt: see :meth:`vital_engine.ports.LLM.stream`.
        """
        key = key_of(prompt)
        if (said := self._said.get(key)) is not None:
            self._count("hit")
            yield Piece(said.text, model=said.model, provider=PROVIDER)
            yield Piece(usage=Usage(), model=said.model, provider=PROVIDER, finish="stop")
            return
        telling = self._telling.get(key)
        self._count("miss" if telling is None else "shared")
        if telling is None:
            telling = self._begin(key, prompt)
        me = object()
        telling.listeners.append(me)
        try:
            async with aclosing(_heard(telling, me)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            telling.listeners.remove(me)
            if not telling.listeners and not telling.ended:
                self._forget(key, telling)  # a later turn must not get the rest of an answer that is broken off
                if telling.task is not None:
                    telling.task.cancel()

    def _begin(self, key: str, prompt: Prompt) -> _Telling:
        telling = self._telling[key] = _Telling()
        telling.task = self._start(self._tell(key, prompt, telling), name="answer told")
        telling.task.add_done_callback(lambda _: self._finish(key, telling))
        return telling

    async def _tell(self, key: str, prompt: Prompt, telling: _Telling) -> None:
        async with aclosing(self._llm.stream(prompt)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                telling.tell(piece)
                # A model that never waits would otherwise finish before any turn reads a word, or can stop it.
                await asyncio.sleep(0)
        heard = telling.pieces
        finish = next((p.finish for p in reversed(heard) if p.finish), "")
        if finish == "stop" and sound(prompt):
            model = next((p.model for p in reversed(heard) if p.model), "")
            self._said.put(key, _Said("".join(p.text for p in heard), model))

    def _finish(self, key: str, telling: _Telling) -> None:
        self._forget(key, telling)
        telling.tell()

    def _forget(self, key: str, telling: _Telling) -> None:
        if self._telling.get(key) is telling:
            del self._telling[key]

    async def warm(self) -> None:
        """Load the model, if it can be loaded before its first call."""
        if (warm := getattr(self._llm, "warm", None)) is not None:
            await warm()

    async def aclose(self) -> None:
        """Close the model, if it can be closed."""
        if (close := getattr(self._llm, "aclose", None)) is not None:
            await close()


async def _heard(telling: _Telling, me: object) -> AsyncGenerator[Piece, None]:
    """The telling from its beginning, as *me* hears it."""
    at = 0
    while True:
        while at < len(telling.pieces):
            yield from_cache(telling.pieces[at]) if telling.listeners[0] is not me else telling.pieces[at]
            at += 1
        if telling.ended:
            break
        await telling.wait_for_item.wait()
    if telling.task is not None:
        telling.task.result()  # raises what the model raised
    if telling.listeners[0] is not me:
        yield Piece(usage=Usage(), provider=PROVIDER)


def from_cache(piece: Piece) -> Piece:
    """*piece* as a turn reads it that does not pay for the call.

    :param piece: of the model.
    :returns: the same text, without usage.
    """
    return replace(piece, provider=PROVIDER, usage=None, discarded=None)


def sound(prompt: Prompt) -> bool:
    """Whether no step before the model failed: a degraded answer must not outlive what degraded it."""
    notes = next((s.text for s in prompt.segments if s.kind == "notes"), "")
    told = notes.replace(f"- {NOTHING_FOUND}", "").removeprefix("Notes:").strip()
    called = all(tool_result.status == "done" for tool_result in prompt.tool_results.results)
    return not told and called and not prompt.evidence.notes


def key_of(prompt: Prompt) -> str:
    """A hash of all that the answer depends on. Two tenants never share one."""
    expert = prompt.brief.expert
    parts = [
        prompt.question.tenant,
        expert.id,
        prompt.model or "",
        repr(prompt.temperature),
        prompt.max_output_tokens,
        sorted(expert.domains),
        prompt.evidence.index_version,
        [p.id for p in prompt.evidence.passages],
        [(s.kind, s.text) for s in prompt.segments],
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).hexdigest()
