"""Servers of one's own that can read the beginning of a prompt before the rest of it is known, over HTTP.

* :class:`Vllm`: a request for one token, which is thrown away, fills the server's prefix cache. It keeps whole blocks
  of :data:`BLOCK` tokens; what does not fill another one is not worth a request. The server says how much it found
  there only if it was started with ``--enable-prompt-tokens-details``.
* :class:`LlamaServer`: llama.cpp's server reads without writing, in a slot that the answer then takes as well.

Hosted APIs are asked for nothing ahead: there a request costs money, and whether it helps is not said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import openai

from vital_engine.errors import ModelUnavailable
from vital_engine.nouns import Piece, Prefilled, Prompt
from vital_engine.services.caching.cache import LRUCache
from vital_engine.text.tokens import estimate_tokens

from .openai_compatible import OpenAICompatible
from .slots import Slots, Use, text_of

__all__ = ["BLOCK", "LlamaServer", "Vllm"]

BLOCK = 16
"""Tokens of a block of vLLM's prefix cache, as it is set by default."""

_RUNS = 4096  # turns of which it is remembered how much they have had read


class Vllm(OpenAICompatible):
    """vLLM, and what caches prefixes like it. Fulfils :class:`~vital_engine.ports.Prefiller`; used from one event loop."""

    reads_between = True

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._reading: dict[str, asyncio.Event] = {}
        self._known: LRUCache[str, int] = LRUCache(entries=_RUNS)  # estimated tokens that each run has had read

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """As :meth:`OpenAICompatible.stream`. A reading of the same run is waited for: both at once would be computed
        twice."""
        await self._until_read(prompt)
        self._known.pop(prompt.question.run_id)
        async with aclosing(self._ask(prompt)) as pieces:
            async for piece in pieces:
                yield piece

    async def prefill(self, prompt: Prompt) -> Prefilled:
        """Tokens are the server's own counts. ``Prefilled()``: there was no whole block more to read.

        :raises ModelError: as ``stream`` does; it is not tried again.
        """
        await self._until_read(prompt)
        run = prompt.question.run_id
        tokens = estimate_tokens(text_of(prompt))
        if tokens // BLOCK <= (self._known.get(run) or 0) // BLOCK:
            return Prefilled()
        done = self._reading[run] = asyncio.Event()
        try:
            read = await self._read(replace(prompt, max_output_tokens=1))
        finally:
            if self._reading.get(run) is done:
                del self._reading[run]
            done.set()
        if run:
            self._known.put(run, tokens)
        return read

    async def _until_read(self, prompt: Prompt) -> None:
        run = prompt.question.run_id
        with anyio.move_on_after(self.patience.first):  # then it is asked all the same
            while run and (reading := self._reading.get(run)) is not None:
                await reading.wait()


class LlamaServer(OpenAICompatible):
    """llama.cpp's ``llama-server``. Fulfils :class:`~vital_engine.ports.Prefiller`.

    Which slot a call takes is decided here as long as the server says how many it has (``/props``); others who use the
    server at the same time are not known here. Else the server decides, by likeness.
    """

    _slots: Slots | None = None
    _counted = False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """As :meth:`OpenAICompatible.stream`, in the slot where the beginning was read."""
        async with self._slot(prompt, "speaking") as more, aclosing(self._ask(prompt, **(more or {}))) as pieces:
            async for piece in pieces:
                yield piece

    async def prefill(self, prompt: Prompt) -> Prefilled:
        """Tokens are the server's own counts. ``Prefilled()``: no slot was to spare.

        :raises ModelError: as ``stream`` does; it is not tried again.
        """
        async with self._slot(prompt, "reading") as more:
            if more is None:
                return Prefilled()
            return await self._read(replace(prompt, max_output_tokens=0), **more, n_predict=0)

    @asynccontextmanager
    async def _slot(self, prompt: Prompt, use: Use) -> AsyncIterator[Mapping[str, Any] | None]:
        """What the request says of its slot; None: there is none to spare."""
        slots = await self._count()
        if slots is None:
            yield {"cache_prompt": True}
            return
        until = asyncio.get_running_loop().time() + self.patience.first
        try:
            held = await slots.take(prompt.question.run_id, text_of(prompt), use, until=until)
        except TimeoutError:
            raise ModelUnavailable("no slot became free in time", service="model") from None
        try:
            yield None if held is None else {"cache_prompt": True, "id_slot": held.slot.number}
        finally:
            if held is not None:
                slots.give(held)

    async def _count(self) -> Slots | None:
        """The account of the server's slots, asked for once; None where it does not say."""
        if not self._counted:
            address = str(self._client.base_url).rstrip("/").removesuffix("/v1")
            try:
                with anyio.fail_after(self.patience.connect):
                    props = await self._client.get(
                        f"{address}/props", cast_to=object, options={"headers": self._headers}
                    )
            except (openai.APIError, TimeoutError, ValueError):
                return None
            total = props.get("total_slots") if isinstance(props, Mapping) else None
            if isinstance(total, int) and total > 0 and self._slots is None:
                self._slots = Slots(total)
            self._counted = True
        return self._slots
