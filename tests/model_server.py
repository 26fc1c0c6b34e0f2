"""A model server of one's own: OpenAI-compatible, on loopback, and able to misbehave in every way that real ones do.

In a test::

    @pytest.fixture
    def model_server() -> Iterator[ModelServer]:
        with ModelServer() as server:
            yield server

    async def test_something(model_server: ModelServer) -> None:
        model_server.say(Reply("Aspirin irreversibly inhibits COX-1 [1].", tokens_per_second=50))
        ...                                   # point a client at model_server.base_url
        assert model_server.requests[0].body["stream"] is True

In a shell::

    python tests/model_server.py --port 0 --tokens-per-second 30

It runs in a thread of its own with an event loop of its own, so that a test may block, use virtual time, or
be cancelled without the server noticing. Replies are taken in the order in which they were given to
:meth:`ModelServer.say`; when none is left, :attr:`ModelServer.default` answers. What each request looked
like, how much of its answer was written and whether its client hung up stands in
:attr:`ModelServer.requests`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

__all__ = ["ModelServer", "PrefixCache", "Reply", "Request"]

_USAGE_FORMS = ("no_choices", "with_choices", "twice", "never", "beside")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and everything that shall go wrong with it.

    :param text: what the model says; streamed word by word.
    :param first: seconds until the first token, headers included if ``early_headers`` is False.
    :param tokens_per_second: None: at once.
    :param usage: where the counts stand: ``no_choices`` (a last chunk of its own, as OpenAI does),
        ``with_choices`` (on the chunk that ends), ``twice``, ``never``, or ``beside`` (cached tokens and
        reasoning tokens counted beside prompt and completion tokens instead of inside).
    :param status: other than 200: an error body, with ``retry_after`` seconds in its header where given.
    :param refuses: names of request fields that are refused with 400, as older servers do.
    :param stall_after: say nothing more after so many tokens, but keep the connection.
    :param cut_after: end after so many tokens, in the way that ``cut`` says: ``fin`` (the body just ends),
        ``rst`` (the connection is reset), ``json`` (in the middle of a chunk's JSON), ``utf8`` (in the middle
        of a character), ``close`` (a well-formed end of the body, but neither a finish nor ``[DONE]``),
        ``error`` (an error object in the stream).
    :param end_after: seconds between ``[DONE]`` and the end of the HTTP message.
    :param trickle: seconds between single *bytes*, instead of whole chunks.
    :param comments: seconds between SSE comments before the first token: a sign of life, but no progress.
    :param body: a whole body in place of a stream, with ``content_type``: an HTML page, say.
    :param function_calls: what a request with functions is answered with: names, and arguments as the model writes them.
    :param whole: ignore ``stream`` and answer with one JSON completion.
    """

    text: str = "Aspirin inhibits platelet aggregation [1]. The effect lasts for days [1]."
    first: float = 0.0
    tokens_per_second: float | None = None
    usage: str = "no_choices"
    prompt_tokens: int = 100
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    reasoning: str = ""
    finish: str = "stop"
    status: int = 200
    retry_after: str | None = None
    error: Mapping[str, Any] | None = None
    refuses: tuple[str, ...] = ()
    early_headers: bool = True
    stall_after: int | None = None
    cut_after: int | None = None
    cut: str = "fin"
    end_after: float = 0.0
    trickle: float | None = None
    comments: float | None = None
    body: bytes | None = None
    content_type: str = "text/html"
    function_calls: tuple[tuple[str, Any], ...] = ()
    whole: bool = False
    model: str | None = None

    def __post_init__(self) -> None:
        if self.usage not in _USAGE_FORMS:
            raise ValueError(f"usage is one of {_USAGE_FORMS}, not {self.usage!r}")

    @property
    def tokens(self) -> list[str]:
        """The text cut before each blank: joined together it is the text again."""
        return re.findall(r"\s*\S+|\s+$", self.text)


@dataclass(slots=True)
class Request:
    """What came in, and what became of its answer. ``connection`` numbers the TCP connections from 0."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    connection: int
    at: float
    sent_tokens: int = 0
    finished: bool = False
    disconnected: bool = False


@dataclass
class PrefixCache:
    """What a server keeps of the prompts that it has read, counted in words and the marks of a template.

    ``block``: as vLLM does, every whole block of so many tokens, of any prompt. ``slots``: as llama.cpp does, the last
    prompt of each slot, to the token; ``id_slot`` of a request says which. What is read is known only once it has been:
    ``per_token`` seconds are what reading one takes.
    """

    block: int = 0
    slots: int = 0
    per_token: float = 0.0
    computed: int = 0

    def __post_init__(self) -> None:
        self._blocks: set[tuple[str, ...]] = set()
        self._last: list[list[str]] = [[] for _ in range(self.slots)]

    @staticmethod
    def tokens(body: Mapping[str, Any]) -> list[str]:
        read: list[str] = []
        for message in body["messages"]:
            read += [f"<{message['role']}>", *re.findall(r"\S+", message["content"]), "<end>"]
        return [*read, "<assistant>"]

    def found(self, body: Mapping[str, Any], tokens: list[str]) -> int:
        """How many of *tokens* need not be computed. The last one always is: an answer begins with it."""
        if self.block:
            ends = range(self.block, len(tokens), self.block)
            return max((end for end in ends if tuple(tokens[:end]) in self._blocks), default=0)
        known = self._last[body["id_slot"]] if "id_slot" in body else []
        pairs = zip(known, tokens[:-1], strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(known), len(tokens) - 1))

    def keep(self, body: Mapping[str, Any], tokens: list[str]) -> None:
        if self.block:
            self._blocks |= {tuple(tokens[:end]) for end in range(self.block, len(tokens) + 1, self.block)}
        elif "id_slot" in body:
            self._last[body["id_slot"]] = tokens


class _Cut(Exception):
    """The connection ends here."""


@dataclass(slots=True, eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    task: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """Close with RST instead of FIN: linger for 0 seconds."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class ModelServer:
    """The server. A context manager; or :meth:`start` and :meth:`stop`."""

    port: int = 0
    model: str = "loopback-1"
    default: Reply = field(default_factory=Reply)
    cache: PrefixCache | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._replies: deque[Reply] = deque()
        self._open: set[_Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def say(self, *replies: Reply) -> None:
        """Answer the next requests so, one reply each."""
        self._replies.extend(replies)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="model-server", daemon=True)
        self._thread.start()
        if not ready.wait(60.0):
            raise RuntimeError("the model server did not start within 60 s")

    def kill(self) -> None:
        """Die as a process does: every connection is reset, and the port no longer answers."""
        self.stop(reset=True)

    def stop(self, *, reset: bool = False) -> None:
        if self._loop is None or self._thread is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            asyncio.run_coroutine_threadsafe(self._close(reset=reset), self._loop).result(60.0)
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60.0)
        self._loop = self._thread = None

    def wait_for_disconnect(self, request: Request, within: float = 60.0) -> bool:
        """Whether the client of *request* hung up within so many seconds. Blocks its thread."""
        end = time.monotonic() + within
        while not request.disconnected and time.monotonic() < end:
            time.sleep(0.005)
        return request.disconnected

    # The server's own thread

    def _run(self, ready: threading.Event) -> None:
        loop = self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = self._server.sockets[0].getsockname()[1]
        ready.set()
        loop.run_forever()
        loop.close()

    async def _close(self, *, reset: bool) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            if reset:
                connection.reset()
            if connection.task is not None:
                connection.task.cancel()
        await asyncio.sleep(0)
        tasks = [c.task for c in self._open if c.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self.connections, asyncio.current_task())
        self.connections += 1
        self._open.add(connection)
        try:
            while (request := await self._read(connection)) is not None:
                await self._answer(request, connection)
        except (_Cut, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(connection)
            writer.close()

    async def _read(self, connection: _Connection) -> Request | None:
        try:
            head = await connection.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        raw = await connection.reader.readexactly(int(headers.get("content-length", "0")))
        path, _, query = target.partition("?")
        body = json.loads(raw) if raw else {}
        request = Request(method, path, query, headers, body, connection.number, time.monotonic())
        if method == "POST":
            self.requests.append(request)
        return request

    async def _answer(self, request: Request, connection: _Connection) -> None:
        if request.method == "GET" and request.path == "/props" and self.cache is not None and self.cache.slots:
            await self._send_body(connection, 200, json.dumps({"total_slots": self.cache.slots}).encode())
            return
        if request.method == "GET":
            models = {"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": "loopback"}]}
            await self._send_body(connection, 200, json.dumps(models).encode())
            return
        reply = self._replies.popleft() if self._replies else self.default
        watcher = asyncio.create_task(self._watch(request, connection))
        try:
            if self.cache is not None:
                reply = await self._counted(request, reply, self.cache)
            await self._reply(request, reply, connection)
            request.finished = True
        except OSError:  # a write may meet the end of the connection before the watcher looks
            request.disconnected = True
            raise
        finally:
            watcher.cancel()

    async def _counted(self, request: Request, reply: Reply, cache: PrefixCache) -> Reply:
        """*reply* as long as it may be, with the tokens that were really read for it and those that were known."""
        tokens = cache.tokens(request.body)
        found = cache.found(request.body, tokens)
        cache.computed += len(tokens) - found
        await asyncio.sleep((len(tokens) - found) * cache.per_token)
        cache.keep(request.body, tokens)
        most = request.body.get("max_tokens", len(reply.tokens))
        finish = "length" if most < len(reply.tokens) else reply.finish
        text = "".join(reply.tokens[:most])
        return replace(reply, text=text, finish=finish, prompt_tokens=len(tokens), cached_tokens=found)

    async def _watch(self, request: Request, connection: _Connection) -> None:
        """Notes when the client hangs up, and stops working for it: a request in flight sends nothing more."""
        while not connection.reader.at_eof() and connection.reader.exception() is None:
            await asyncio.sleep(0.002)
        request.disconnected = True
        if connection.task is not None:
            connection.task.cancel()

    async def _reply(self, request: Request, reply: Reply, connection: _Connection) -> None:
        refused = [name for name in reply.refuses if name in request.body]
        if refused:
            error = {"message": f"Unsupported parameter: '{refused[0]}'", "type": "invalid_request_error",
                     "param": refused[0], "code": "unsupported_parameter"}  # fmt: skip
            await self._send_body(connection, 400, json.dumps({"error": error}).encode())
        elif reply.status != 200:
            await asyncio.sleep(reply.first)
            error = dict(reply.error or {"message": f"status {reply.status}", "type": "server_error"})
            more = {"Retry-After": reply.retry_after} if reply.retry_after is not None else {}
            await self._send_body(connection, reply.status, json.dumps({"error": error}).encode(), more=more)
        elif reply.body is not None:
            await self._send_body(connection, 200, reply.body, reply.content_type)
        elif reply.whole or not request.body.get("stream"):
            await asyncio.sleep(reply.first)
            await self._send_body(connection, 200, json.dumps(self._completion(request, reply)).encode())
            request.sent_tokens = len(reply.tokens)
        else:
            await self._stream(request, reply, connection)

    async def _stream(self, request: Request, reply: Reply, connection: _Connection) -> None:
        if not reply.early_headers:
            await asyncio.sleep(reply.first)
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.writer.write(head.encode())
        await connection.writer.drain()
        if reply.early_headers:
            await self._wait(reply, connection)
        await self._event(connection, reply, self._chunk(request, reply, {"role": "assistant", "content": ""}))
        if reply.reasoning:
            await self._event(connection, reply, self._chunk(request, reply, {"reasoning_content": reply.reasoning}))
        for index, token in enumerate(reply.tokens):
            if index == reply.stall_after:
                await asyncio.sleep(3600)
            if index == reply.cut_after:
                await self._cut(request, reply, connection, token)
            if index and reply.tokens_per_second:
                await asyncio.sleep(1 / reply.tokens_per_second)
            await self._event(connection, reply, self._chunk(request, reply, {"content": token}))
            request.sent_tokens += 1
        await self._finish(request, reply, connection)

    async def _wait(self, reply: Reply, connection: _Connection) -> None:
        if reply.comments is None:
            await asyncio.sleep(reply.first)
            return
        for _ in range(max(1, round(reply.first / reply.comments))):
            await asyncio.sleep(reply.comments)
            await self._write(connection, b": still here\n\n", reply)

    async def _finish(self, request: Request, reply: Reply, connection: _Connection) -> None:
        wanted = bool(request.body.get("stream_options", {}).get("include_usage"))
        usage = self._usage(reply) if wanted and reply.usage != "never" else None
        last = self._chunk(request, reply, {}, finish=reply.finish)
        if usage and reply.usage != "no_choices":
            last["usage"] = usage
        await self._event(connection, reply, last)
        if usage and reply.usage in ("no_choices", "twice"):
            await self._event(connection, reply, {**self._chunk(request, reply, {}), "choices": [], "usage": usage})
        await self._write(connection, b"data: [DONE]\n\n", reply)
        await asyncio.sleep(reply.end_after)
        connection.writer.write(b"0\r\n\r\n")
        await connection.writer.drain()

    async def _cut(self, request: Request, reply: Reply, connection: _Connection, token: str) -> None:
        whole = (
            b"data: " + json.dumps(self._chunk(request, reply, {"content": token + "é"}), ensure_ascii=False).encode()
        )
        match reply.cut:
            case "rst":
                await asyncio.sleep(0.02)  # what was sent before must have arrived, or the reset eats it
                connection.reset()
            case "json":
                await self._write(connection, whole[: len(whole) // 2] + b"\n\n", reply)
            case "utf8":
                await self._write(connection, whole[: whole.rindex("é".encode()) + 1] + b'"}}]}\n\n', reply)
            case "error":
                await self._event(connection, reply, {"error": {"message": "the engine died", "type": "server_error"}})
            case "close":
                connection.writer.write(b"0\r\n\r\n")
                await connection.writer.drain()
        raise _Cut

    async def _event(self, connection: _Connection, reply: Reply, data: Mapping[str, Any]) -> None:
        await self._write(connection, b"data: " + json.dumps(data).encode() + b"\n\n", reply)

    async def _write(self, connection: _Connection, data: bytes, reply: Reply) -> None:
        parts = [data] if reply.trickle is None else [data[i : i + 1] for i in range(len(data))]
        for part in parts:
            connection.writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await connection.writer.drain()
            if reply.trickle is not None:
                await asyncio.sleep(reply.trickle)

    async def _send_body(
        self,
        connection: _Connection,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        more: Mapping[str, str] | None = None,
    ) -> None:
        headers = {"content-type": content_type, "content-length": str(len(body)), **(more or {})}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        connection.writer.write(head.encode() + body)
        await connection.writer.drain()

    def _chunk(
        self, request: Request, reply: Reply, delta: Mapping[str, Any], finish: str | None = None
    ) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": reply.model or request.body.get("model", self.model),
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    def _completion(self, request: Request, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.function_calls and request.body.get("tools"):
            calls = [
                {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for i, (name, arguments) in enumerate(reply.function_calls)
            ]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        return {
            **self._chunk(request, reply, {}),
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
            "usage": None if reply.usage == "never" else self._usage(reply),
        }

    def _usage(self, reply: Reply) -> dict[str, Any]:
        spoken, beside = len(reply.tokens), reply.usage == "beside"
        read = reply.prompt_tokens - (reply.cached_tokens if beside else 0)
        written = spoken + (0 if beside else reply.reasoning_tokens)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": reply.prompt_tokens + spoken + reply.reasoning_tokens,
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        }


def main() -> None:
    """A model server for demonstrations: says what it is told to say, until it is interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--text", default=Reply().text)
    parser.add_argument("--first", type=float, default=0.2, help="seconds to the first token")
    parser.add_argument("--tokens-per-second", type=float, default=30.0)
    options = parser.parse_args()
    reply = Reply(options.text, first=options.first, tokens_per_second=options.tokens_per_second)
    with ModelServer(port=options.port, default=reply) as server:
        print(f"{server.base_url} (model {server.model})", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
