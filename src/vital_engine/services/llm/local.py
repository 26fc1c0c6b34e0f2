"""A model in this process: llama.cpp through ``xllamacpp``, with the packaged SmolLM2-135M or a GGUF file of one's own.

llama.cpp's own server does the work (chat template, slots, continuous batching, prompt cache); we call it
without HTTP. Each call runs in a thread of its own, which waits inside llama.cpp without the interpreter's lock
and is called back for each token and, while the prompt is being read, for each :data:`BATCH` tokens. The answer of
the callback is how a call is stopped: within one token, or one batch.

llama.cpp does not wait for a slow reader, and should not, since the reader would hold a slot; what it has
written ahead is bounded by ``max_output_tokens``.

Two things cannot be had. Loading holds the interpreter's lock (0.2 s for the 135M model, seconds for large
ones): call :meth:`Local.warm` before serving. And llama.cpp's server always listens on a port of loopback as
well: here on a free one, behind a random key that nobody is told.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio

from vital_engine.errors import ConfigError, ContextTooLong, ModelError, ModelUnavailable, StreamBroken
from vital_engine.nouns import Piece, Prompt, Usage
from vital_engine.tokens import estimate_usage

from .chunks import Chunk, Unreadable, read_chunk
from .patience import Patience
from .shortening import shorten
from .weights import SMOLLM2, gguf_at

__all__ = ["BATCH", "PROVIDER", "Local"]

PROVIDER = "llama.cpp"

BATCH = 128
"""Tokens of a prompt that are read at once: a call that is cancelled meanwhile costs at most these (0.4 s on two
cores with the 135M model). Larger batches read hardly faster there."""

_PROMPT_CACHE = 256  # MiB of memory for prompts of idle slots; llama.cpp's own default is 8 GiB
_CLOSING = 5.0  # seconds that calls in flight have to notice that the model is being closed


class Local:
    """llama.cpp in this process. Fulfils :class:`vital_engine.ports.LLM`.

    :param model: the path of a GGUF file; None for the packaged SmolLM2-135M-Instruct.
    :param context: tokens of prompt and answer that fit, shared by all slots.
    :param slots: calls that generate at once; more of them wait their turn, ``patience.first`` at most.
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
        self.patience = patience or Patience(first=120.0)
        self.evidence_tokens = evidence_tokens
        self._engine = _Engine(self._path, context, slots, threads or _spare_cores())
        # at exit too: a native thread that outlives the interpreter crashes it
        self.close: Callable[[], None] = weakref.finalize(self, self._engine.close)

    async def warm(self) -> None:
        """Load the model now. The first call does it otherwise."""
        await asyncio.to_thread(self._engine.load)

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
        call = _Call(asyncio.get_running_loop())
        thread = threading.Thread(target=self._engine.run, args=(_request(prompt), call), name="llama.cpp call")
        deadline = call.loop.time() + self.patience.total
        first_by = min(call.loop.time() + self.patience.first, deadline)
        said: list[str] = []
        usage: Usage | None = None
        finish = ""
        thread.start()
        try:
            while True:
                limit = min(call.loop.time() + self.patience.silence, deadline) if said else first_by
                data = await call.next(limit)
                if data is None:
                    break
                chunk = _read(data, begun=bool(said))
                usage = chunk.usage or usage
                finish = chunk.finish or finish
                if chunk.text:
                    said.append(chunk.text)
                    yield Piece(chunk.text, model=self.name, provider=PROVIDER)
        except TimeoutError:
            raise _broken("it fell silent" if said else "no first token in time", begun=bool(said)) from None
        finally:
            call.stopped.set()
        if isinstance(call.cause, ModelError):
            raise call.cause
        if not finish:
            raise _broken(call.error or "it was closed", begun=bool(said)) from call.cause
        if usage is None:
            usage = estimate_usage(prompt, "".join(said))
        yield Piece(usage=usage, model=self.name, provider=PROVIDER, finish=finish)


def _request(prompt: Prompt) -> dict[str, Any]:
    return {
        "messages": prompt.messages(),
        "temperature": prompt.temperature,
        "max_tokens": prompt.max_output_tokens,
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


@dataclass(slots=True)
class _Call:
    """The bridge between the thread that hears llama.cpp and the loop that reads."""

    loop: asyncio.AbstractEventLoop
    inbox: asyncio.Queue[Mapping[str, Any] | None] = field(default_factory=asyncio.Queue)
    stopped: threading.Event = field(default_factory=threading.Event)
    error: str = ""
    cause: BaseException | None = None

    def put(self, data: Mapping[str, Any] | None) -> None:
        """From the thread. A loop that has been closed has nobody left who reads."""
        try:
            self.loop.call_soon_threadsafe(self.inbox.put_nowait, data)
        except RuntimeError:
            self.stopped.set()

    async def next(self, limit: float) -> Mapping[str, Any] | None:
        """What came next; None at the end. *limit* is a moment of the loop's clock.

        :raises TimeoutError: nothing came.
        """
        with anyio.fail_after(max(0.0, limit - self.loop.time())):
            return await self.inbox.get()


class _Engine:
    """llama.cpp's server, loaded once; calls from any thread."""

    def __init__(self, path: Path, context: int, slots: int, threads: int) -> None:
        self._path, self._context, self._slots, self._threads = path, context, slots, threads
        self._lock = threading.Lock()
        self._server: Any = None
        self._closing = threading.Event()
        self._calls: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def load(self) -> Any:
        """The server. Blocks for as long as loading takes, the first time.

        :raises ModelUnavailable: llama.cpp cannot load the file, or the model has been closed.
        """
        with self._lock:
            if self._closing.is_set():
                raise ModelUnavailable("the local model has been closed", service="model")
            if self._server is None:
                self._server = self._start()
            return self._server

    def _start(self) -> Any:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.n_ctx, params.n_parallel, params.kv_unified = self._context, self._slots, True
        params.n_batch = params.n_ubatch = BATCH
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.cache_ram_mib = _PROMPT_CACHE
        params.verbosity = -1
        params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [secrets.token_urlsafe(32)]
        params.ui = params.endpoint_slots = params.endpoint_props = False
        params.n_threads_http = 1
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelUnavailable(f"llama.cpp cannot load {self._path.name}: {error}", service="model") from error

    def run(self, request: dict[str, Any], call: _Call) -> None:
        """One call, in its own thread, from the first token to the last or until it is stopped."""

        def heard(data: Mapping[str, Any]) -> bool:
            call.put(data)
            # the interpreter waits for this thread when it ends: then there is nobody left to speak to
            return call.stopped.is_set() or self._closing.is_set() or not threading.main_thread().is_alive()

        self._calls.add(threading.current_thread())
        try:
            server = self.load()
            if not call.stopped.is_set():
                server.handle_chat_completions(request, heard)
        except (ModelError, RuntimeError, ValueError, MemoryError) as error:
            call.error, call.cause = str(error), error
        finally:
            call.put(None)

    def close(self) -> None:
        """Stop every call, wait for their threads, and let the server go."""
        self._closing.set()
        for thread in list(self._calls):
            if thread is not threading.current_thread():
                thread.join(_CLOSING)
        with self._lock:
            self._server = None
