"""Answers that were given before: the same prompt, of the same tenant, over the same index, is not paid for twice.

An exact cache at the model's door. What makes two turns the same is in the prompt itself: its key carries the tenant,
the expert, the model and its settings, the domains, the version of the index, and every character that the model would
read, and with them whatever flags shaped it. Kept is only what came to its own end and rests on no failed step. Whoever
asks while the answer is being given hears it from its beginning, and is not charged for it.
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
"""Who "spoke" when an answer is given again: nobody is paid, and the answer says so."""


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
    """Fulfils :class:`~vital_engine.ports.LLM` by another one, and gives again what it has said to the same prompt.

    In the memory of one process: a restart forgets. Used from one event loop.

    :param entries: answers kept; beyond that the one that was asked for least recently goes.
    :param start: begins the telling of an answer, which goes on while anybody listens.
    :param count: is told whether an answer was known, made, or overheard.
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
        """What was said before, as one piece, at no cost; or what is being said; else what the model says.

        Raises as the model does, to all who listen. The model is stopped once nobody does. Should the one who is charged
        go before the end, the next one is.
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
                self._forget(key, telling)  # whoever asks from now on is not to hear the end of what is broken off
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
                # A model that never waits would otherwise say all before anybody hears a word, or can stop it.
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
        """Whatever the model does before its first call."""
        if (warm := getattr(self._llm, "warm", None)) is not None:
            await warm()

    async def aclose(self) -> None:
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
    """*piece* for one who is not charged: its words, and nobody's bill."""
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
