"""llama.cpp's own server in this process, through ``xllamacpp``: loaded once, called from threads, stopped by the
answer of a callback."""

from __future__ import annotations

import asyncio
import secrets
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from vital_engine.errors import ModelError, ModelUnavailable

__all__ = ["BATCH", "EmbeddedServer", "ServerCall"]

BATCH = 128
"""Tokens of a prompt that are read at once: a call that is cancelled meanwhile costs at most these (0.4 s on two
cores with the 135M model). Larger batches read hardly faster there."""

_PROMPT_CACHE = 256  # MiB of memory for prompts of idle slots; llama.cpp's own default is 8 GiB
_CLOSING = 5.0  # seconds that calls in flight have to notice that the model is being closed


@dataclass(slots=True)
class ServerCall:
    """The bridge between the thread that hears llama.cpp and the loop that reads.

    ``ended`` is called from the thread, once the server is done with the call: not when its reader has gone.
    """

    loop: asyncio.AbstractEventLoop
    inbox: asyncio.Queue[Mapping[str, Any] | None] = field(default_factory=asyncio.Queue)
    stopped: threading.Event = field(default_factory=threading.Event)
    ended: Callable[[], None] = lambda: None
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


class EmbeddedServer:
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
        # else a call that begins empties all idle slots, and with them what was read ahead there
        params.cache_idle_slots = False
        params.verbosity = -1
        params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [secrets.token_urlsafe(32)]
        params.ui = params.endpoint_slots = params.endpoint_props = False
        params.n_threads_http = 1
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelUnavailable(f"llama.cpp cannot load {self._path.name}: {error}", service="model") from error

    def run(self, request: dict[str, Any], call: ServerCall) -> None:
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
            call.ended()
            call.put(None)

    def close(self) -> None:
        """Stop every call, wait for their threads, and let the server go."""
        self._closing.set()
        for thread in list(self._calls):
            if thread is not threading.current_thread():
                thread.join(_CLOSING)
        with self._lock:
            self._server = None
