"""A model in this process: llama.cpp through ``xllamacpp``, with the packaged SmolLM2-135M or a GGUF file of one's own.

llama.cpp's own server does the work (chat template, slots, continuous batching, prompt cache); we call it
without HTTP. Each call runs in a thread of its own, which waits inside llama.cpp without the interpreter's lock
and is called back for each token and, while the prompt is being read, for each batch of
:data:`~.embedded_server.BATCH` tokens. The answer of the callback is how a call is stopped: within one of these.

Which slot a call takes is decided here (:mod:`.slots`): the beginning of a prompt that was read ahead is of use only to
a call in the same slot.

llama.cpp does not wait for a slow reader, and should not, since the reader would hold a slot; what it has
written ahead is bounded by ``max_output_tokens``.

Two things cannot be had. Loading holds the interpreter's lock (0.2 s for the 135M model, seconds for large
ones): call :meth:`Local.warm` before serving. And llama.cpp's server always listens on a port of loopback as
well: here on a free one, behind a random key that nobody is told.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vital_engine.errors import ConfigError, ContextTooLong, ModelError, ModelUnavailable, StreamBroken
from vital_engine.nouns import Piece, Prefilled, Prompt, Usage
from vital_engine.tokens import estimate_usage

from .chunks import Chunk, Unreadable, read_chunk
from .embedded_server import EmbeddedServer, ServerCall
from .patience import Patience
from .shortening import shorten
from .slots import Slots, Use, text_of
from .weights import SMOLLM2, gguf_at

__all__ = ["PROVIDER", "Local"]

PROVIDER = "llama.cpp"


class Local:
    """llama.cpp in this process. Fulfils :class:`vital_engine.ports.LLM` and :class:`~vital_engine.ports.Prefiller`.

    :param model: the path of a GGUF file; None for the packaged SmolLM2-135M-Instruct.
    :param context: tokens of prompt and answer that fit, shared by all slots.
    :param slots: calls that generate at once; more of them wait their turn, ``patience.first`` at most. The model says
        so as its ``capacity``.
    :param evidence_tokens: how much evidence is shown; the rest is cut, and said to be.
    :param threads: of computation; by default one less than the cores that this process may use.
    :raises ConfigError: ``xllamacpp`` is not installed, or there is no such file, or it is no GGUF.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        context: int = 4096,
        slots: int = 2,
        evidence_tokens: int = 700,
        threads: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        if find_spec("xllamacpp") is None:
            raise ConfigError("a local model needs xllamacpp: pip install 'vital-engine[local]'")
        if slots < 1 or context < 256:
            raise ConfigError(f"a local model needs a slot and a context of 256 tokens, not {slots} and {context}")
        self._path = SMOLLM2.path() if model is None else gguf_at(Path(model))
        self.name = SMOLLM2.name if model is None else self._path.stem
        self.model, self.provider = self.name, PROVIDER
        self.patience = patience or Patience(first=120.0)
        self.evidence_tokens = evidence_tokens
        self.capacity = slots
        self.slots = Slots(slots)
        self._server = EmbeddedServer(self._path, context, slots, threads or _spare_cores())
        # at exit too: a native thread that outlives the interpreter crashes it
        self.close: Callable[[], None] = weakref.finalize(self, self._server.close)

    async def warm(self) -> None:
        """Load the model now. The first call does it otherwise."""
        await asyncio.to_thread(self._server.load)

    async def aclose(self) -> None:
        """Stop what is running, and free the memory. ``close()`` does the same, blocking."""
        await asyncio.to_thread(self.close)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; the last piece carries usage, model, provider and finish.

        :raises ContextTooLong: prompt and answer do not fit ``context``.
        :raises ModelUnavailable: it could not be loaded, or there was no first token in time.
        :raises StreamBroken: it fell silent, or was closed, in mid-answer.
        """
        prompt, _ = shorten(prompt, self.evidence_tokens)
        said: list[str] = []
        usage: Usage | None = None
        finish = ""
        async with aclosing(self._chunks(prompt, "speaking")) as chunks:
            async for chunk in chunks:
                usage = chunk.usage or usage
                finish = chunk.finish or finish
                if chunk.text:
                    said.append(chunk.text)
                    yield Piece(chunk.text, model=self.name, provider=PROVIDER)
        if usage is None:
            usage = estimate_usage(prompt, "".join(said))
        yield Piece(usage=usage, model=self.name, provider=PROVIDER, finish=finish)

    async def prefill(self, prompt: Prompt) -> Prefilled:
        """Read the beginning of a prompt in the slot where ``stream`` of the whole one, with the same
        ``question.run_id``, will find it. Tokens are those that the server counted.

        Where no slot is to spare, nothing is read, and ``Prefilled()`` says so. What is cancelled stops within
        :data:`~.embedded_server.BATCH` tokens; what was read until then stays of use.

        :raises ModelError: as :meth:`stream` does.
        """
        prompt, _ = shorten(prompt, self.evidence_tokens)
        usage: Usage | None = None
        async with aclosing(self._chunks(prompt, "reading")) as chunks:
            async for chunk in chunks:
                usage = chunk.usage or usage
        return Prefilled(usage.input - usage.cached, usage.cached) if usage is not None else Prefilled()

    async def _chunks(self, prompt: Prompt, use: Use) -> AsyncGenerator[Chunk, None]:
        """What the server says to *prompt*, from a slot of its own."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience.total
        first_by = min(loop.time() + self.patience.first, deadline)
        begun, finish = False, ""
        try:
            held = await self.slots.take(prompt.question.run_id, text_of(prompt), use, until=first_by)
            if held is None:
                return
            call = ServerCall(loop, ended=partial(self.slots.give, held))
            request = _request(prompt, held.slot.number, read_only=use == "reading")
            thread = threading.Thread(target=self._server.run, args=(request, call), name="llama.cpp call")
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads
                self.slots.give(held)
                raise _broken(str(error), begun=False) from error
            ended = False
            try:
                while True:
                    limit = min(loop.time() + self.patience.silence, deadline) if begun else first_by
                    data = await call.next(limit)
                    if data is None:
                        ended = True
                        break
                    chunk = _read(data, begun=begun)
                    begun = begun or bool(chunk.text)
                    finish = chunk.finish or finish
                    yield chunk
            finally:
                if not ended:
                    held.stopping = True
                    call.stopped.set()
        except TimeoutError:
            raise _broken("it fell silent" if begun else "no first token in time", begun=begun) from None
        if isinstance(call.cause, ModelError):
            raise call.cause
        if not finish:
            raise _broken(call.error or "it was closed", begun=begun) from call.cause


def _request(prompt: Prompt, slot: int, *, read_only: bool) -> dict[str, Any]:
    return {
        "messages": prompt.messages(),
        "id_slot": slot,
        "temperature": prompt.temperature,
        "max_tokens": 0 if read_only else prompt.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        "return_progress": True,  # a call back while the prompt is read, and so a way to stop that
    }


def _read(data: Mapping[str, Any], *, begun: bool) -> Chunk:
    error = data.get("error")
    if isinstance(error, Mapping):
        message = str(error.get("message", ""))[:300]
        if error.get("type") == "exceed_context_size_error":
            raise ContextTooLong(message, service="model")
        raise _broken(message, begun=begun)
    try:
        return read_chunk(data)
    except Unreadable as unreadable:
        raise _broken(str(unreadable), begun=begun) from unreadable


def _broken(message: str, *, begun: bool) -> ModelError:
    if begun:
        return StreamBroken(message, service="model")
    return ModelUnavailable(message, service="model", retryable=False)


def _spare_cores() -> int:
    """All cores but one. llama.cpp's threads wait for each other by spinning: on a machine of two cores that was
    busy otherwise, two threads wrote less than one token a second, and one thread eleven."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)
