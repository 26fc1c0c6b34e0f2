"""Any server that speaks OpenAI's chat completions, asked through the ``openai`` SDK: one pool of connections each.

The SDK makes the request (address, credentials, JSON); its own retries are off and the stream is read here,
because three things must hold that it leaves open: silence is measured between *chunks* and not between
bytes (a server may send comments for ever), a stream without a finish is broken and never complete, and
closing the iterator closes the connection before it returns.

Behind the client: where the server is and how it knows us, and what its refusals mean, as typed errors. What it
sends is read by :mod:`.chunks`; how long it is waited for stands in :mod:`.patience`.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import anyio
import httpx2
import openai

from vital_engine.errors import ConfigError, ContextTooLong, ModelError, ModelUnavailable, RateLimited, StreamBroken
from vital_engine.nouns import FunctionCalls, Piece, Prefilled, Prompt, Usage
from vital_engine.nouns.codec import JSON
from vital_engine.text.tokens import estimate_usage

from .chunks import Chunk, events, read_chunk, read_completion, read_function_calls
from .patience import Patience, RetryBudget, Retrying, jitter

__all__ = [
    "AZURE",
    "LONGEST_WAIT",
    "LOOPBACK",
    "OpenAICompatible",
    "adapted",
    "credentials",
    "retry_after",
    "split_address",
    "typed_status",
    "typed_stream_error",
]

_CLOSING = 1.0  # seconds that closing a connection may take
# Seconds that the end of the HTTP message may take after the end of the stream. A server that ends it does so at once: only
# a machine or a network that is busy needs more, and what it costs not to wait is the connection.
_DRAINING = 1.0
_CHOOSING = 512  # tokens that a choice of functions may take, with their arguments
_BROKEN = (httpx2.RequestError, anyio.EndOfStream, OSError)  # the last two: TLS failures that httpx2 does not map

T = TypeVar("T")


class OpenAICompatible:
    """A model behind an OpenAI-compatible HTTP API. Fulfils :class:`vital_engine.ports.LLM`.

    :param model: the model's name; a prompt's own ``model`` goes before it.
    :param base_url: up to and without ``/chat/completions``. A query in it (Azure's ``api-version``) is sent
        with each request.
    :param api_key: sent as ``Authorization: Bearer``, or as ``api-key`` where *base_url* is Azure's. None:
        nothing is sent. The environment is never consulted: a key must not travel to a server by accident.
    :param connections: the most connections at once; further calls wait for one, ``patience.connect`` at most.
    :param provider: who is paid, for the price list; the host of *base_url* by default.
    :param draw: how a wait before a retry is drawn below its ceiling, in seconds.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        retrying: Retrying | None = None,
        budget: RetryBudget | None = None,
        connections: int = 64,
        provider: str | None = None,
        draw: Callable[[float], float] = jitter,
    ) -> None:
        self.model = model
        self.patience = patience = patience or Patience()
        self.retrying = retrying or Retrying()
        self.budget = budget or RetryBudget()
        address, query = split_address(base_url)
        host = urlsplit(address).hostname or ""
        self.provider = provider or host
        self._draw = draw
        self._refused: set[str] = set()
        # a proxy of the environment is for the world outside, never for this machine
        http = httpx2.AsyncClient(
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30.0
            ),
            timeout=httpx2.Timeout(patience.connect, read=None),  # reading is limited below
            trust_env=host not in LOOPBACK,
            follow_redirects=False,
        )
        self._client = openai.AsyncOpenAI(
            base_url=address,
            api_key=api_key or "none",
            max_retries=0,
            default_query=query,
            http_client=http,
        )
        _ = self._client.chat.completions  # the SDK imports it on first use: 20 ms that would block a turn
        self._headers = credentials(host, query, api_key, headers or {})

    async def aclose(self) -> None:
        """Close every connection. The object is of no use afterwards."""
        await self._client.close()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; the last piece carries usage, model, provider and finish.

        :raises RateLimited: before the first token; the server asks to wait.
        :raises ContextTooLong: before the first token; the prompt is too long.
        :raises ModelUnavailable: before the first token; the server cannot be reached.
        :raises ModelError: before the first token; any other failure.
        :raises StreamBroken: the stream ended, broke off or fell silent after it had begun.
        """
        async with aclosing(self._ask(prompt)) as pieces:
            async for piece in pieces:
                yield piece

    async def _ask(self, prompt: Prompt, **more: Any) -> AsyncGenerator[Piece, None]:
        """The stream, retried while it has not begun. *more*: fields of the request that only some servers know."""
        deadline = _now() + self.patience.total
        self.budget.earn()
        for attempt in range(self.retrying.times + 1):
            call = _Call(self._arguments(prompt, more), self.patience, deadline)
            try:
                async with aclosing(self._attempt(prompt, call)) as pieces:
                    async for piece in pieces:
                        yield piece
            except ModelError as error:
                wait = self._wait_before_retry(error, call, attempt)
                if wait is None:
                    raise
                await asyncio.sleep(wait)
            else:
                return

    def _wait_before_retry(self, error: ModelError, call: _Call, attempt: int) -> float | None:
        """Seconds to wait before the call is made again; None: it is not."""
        if call.begun or not error.retryable or attempt >= self.retrying.times:
            return None
        wait = self._draw(self.retrying.ceiling(attempt))
        if isinstance(error, RateLimited) and error.retry_after is not None:
            wait += error.retry_after  # never earlier than it asked, and not all of us at one moment
        return wait if _now() + wait < call.deadline and self.budget.spend() else None

    def _arguments(self, prompt: Prompt, more: Mapping[str, Any]) -> dict[str, JSON]:
        arguments: dict[str, JSON] = {
            "model": prompt.model or self.model,
            "messages": prompt.messages(),
            "temperature": prompt.temperature,
            "max_tokens": prompt.max_output_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if "max_tokens" in self._refused:
            arguments["max_completion_tokens"] = prompt.max_output_tokens
        if more:
            arguments["extra_body"] = dict(more)
        return {name: value for name, value in arguments.items() if name not in self._refused}

    async def _read(self, prompt: Prompt, **more: Any) -> Prefilled:
        """Let the server read *prompt*, once; what it says is thrown away. ``Prefilled()`` where it does not count."""
        call = _Call(self._arguments(prompt, more), self.patience, _now() + self.patience.total)
        usage: Usage | None = None
        async with aclosing(self._attempt(prompt, call)) as pieces:
            async for piece in pieces:
                usage = piece.usage or usage
        if usage is None or usage.estimated:
            return Prefilled()
        return Prefilled(usage.input - usage.cached, usage.cached)

    async def function_calls(
        self, messages: Sequence[Mapping[str, str]], functions: Sequence[Mapping[str, Any]]
    ) -> FunctionCalls:
        """See :class:`vital_engine.ports.FunctionCalling`. Asked once: who waits for this has no time for a second try.

        :raises RateLimited: the server asks to wait.
        :raises ContextTooLong: the messages are too long.
        :raises ModelUnavailable: the server cannot be reached.
        :raises ModelError: the answer cannot be read, or any other failure.
        """
        arguments = {
            "model": self.model,
            "messages": [dict(each) for each in messages],
            "tools": [{"type": "function", "function": dict(each)} for each in functions],
            "temperature": 0.0,
            "max_completion_tokens" if "max_tokens" in self._refused else "max_tokens": _CHOOSING,
        }
        call = _Call(
            {name: value for name, value in arguments.items() if name not in self._refused},
            self.patience,
            _now() + self.patience.total,
        )
        whole = await self._opened(self._client.chat.completions.with_raw_response.create, call)
        try:
            data = json.loads(whole.content)
            if isinstance(data, Mapping) and data.get("error"):
                raise typed_stream_error(data)
            asked = read_function_calls(data)
        except ValueError as error:
            raise call.broken(f"the answer is unreadable: {error}"[:200]) from error
        return replace(asked, model=asked.model or self.model, provider=self.provider)

    async def _attempt(self, prompt: Prompt, call: _Call) -> AsyncGenerator[Piece, None]:
        """One request and its stream."""
        said: list[str] = []
        usage: Usage | None = None
        model = finish = ""
        asked: str = call.arguments["model"]
        async with self._response(call) as response:
            content_type = response.headers.get("content-type", "")
            read = _whole if "json" in content_type else _chunks
            async with aclosing(read(response, call)) as chunks:
                async for chunk in chunks:
                    usage = chunk.usage or usage
                    model = chunk.model or model
                    finish = chunk.finish or finish
                    if chunk.text:
                        said.append(chunk.text)
                        # Each piece says who speaks: what breaks off must be priced too.
                        yield Piece(chunk.text, model=model or asked, provider=self.provider)
        if not finish:
            raise call.broken(f"the stream ({content_type or 'of no type'}) ended before the model did")
        if usage is None:
            usage = estimate_usage(prompt, "".join(said))
        yield Piece(usage=usage, model=model or asked, provider=self.provider, finish=finish)

    @asynccontextmanager
    async def _response(self, call: _Call) -> AsyncGenerator[httpx2.Response, None]:
        """The response to the request, as a stream."""
        opened = await self._opened(self._client.chat.completions.create, call)
        response = cast("openai.AsyncStream[Any]", opened).response
        try:
            yield response
        finally:
            # a closed connection is what tells the server to stop; it is closed before we go, and not for ever
            with anyio.move_on_after(_CLOSING, shield=True):
                await response.aclose()

    async def _opened(self, create: Callable[..., Awaitable[Any]], call: _Call) -> Any:
        """Send the request, without those optional fields that this server turns out to refuse."""
        refused: set[str] = set()
        while True:
            try:
                opened = await call.within(create(**call.arguments, extra_headers=self._headers))
                break
            except openai.APIStatusError as error:
                rest = adapted(call.arguments, error)
                if rest is None:
                    raise typed_status(error) from error
                refused |= call.arguments.keys() - rest.keys()
                call.arguments = rest
            except openai.APIConnectionError as error:
                raise call.broken(f"not reachable: {_why(error)}") from error
            except _BROKEN as error:
                raise call.broken(f"not reachable: {_why(error)}") from error
        self._refused |= refused  # remembered only now: without them it works
        return opened


@dataclass(slots=True)
class _Call:
    """One attempt: what is asked, until when, and how far it came."""

    arguments: dict[str, JSON]
    patience: Patience
    deadline: float
    begun: bool = False
    finished: bool = False
    first_by: float = field(init=False)

    def __post_init__(self) -> None:
        self.first_by = _now() + self.patience.first

    async def within(self, awaitable: Awaitable[T]) -> T:
        """Wait for it until the first token is due, or for as long as silence may last, and never past the deadline."""
        now = _now()
        limit = min(now + self.patience.silence if self.begun else self.first_by, self.deadline)
        with anyio.move_on_after(max(0.0, limit - now)):
            return await awaitable
        what = "all of the time" if limit == self.deadline else "silence" if self.begun else "no first token"
        raise self.broken(f"{what}: waited {limit - now:.3g} s")

    def broken(self, message: str, *, retryable: bool = True) -> ModelError:
        """The error of a stream that broke: what it is called depends on whether it had begun."""
        if self.begun:
            return StreamBroken(message, service="model")
        return ModelUnavailable(message, service="model", retryable=retryable)

    def note(self, chunk: Chunk) -> Chunk:
        self.begun = self.begun or chunk.progress
        self.finished = self.finished or bool(chunk.finish)
        return chunk


async def _chunks(response: httpx2.Response, call: _Call) -> AsyncGenerator[Chunk, None]:
    """The chunks of a stream."""
    async with aclosing(response.aiter_bytes()) as body, aclosing(events(body)) as stream:
        while True:
            try:
                data = await call.within(anext(stream))
                if data.startswith("[DONE]"):
                    with anyio.move_on_after(_DRAINING):  # a connection is kept only if its body was read to the end
                        async for _ in stream:
                            pass
                    return
                chunk = json.loads(data)
                if isinstance(chunk, Mapping) and chunk.get("error"):
                    error = typed_stream_error(chunk)
                    raise call.broken(str(error)) if call.begun else error
                yield call.note(read_chunk(chunk))
            except StopAsyncIteration:
                return
            except _BROKEN as error:
                if call.finished:  # all was said; only the end of the HTTP message is missing
                    return
                raise call.broken(f"the stream broke: {_why(error)}") from error
            except ValueError as error:  # not UTF-8, no JSON, or no chunk
                raise call.broken(f"the stream is unreadable: {error}"[:200]) from error


async def _whole(response: httpx2.Response, call: _Call) -> AsyncGenerator[Chunk, None]:
    """The one chunk of a server that cannot stream and answers with a whole completion."""
    try:
        data = json.loads(await call.within(response.aread()))
        if isinstance(data, Mapping) and data.get("error"):
            raise typed_stream_error(data)
        yield call.note(read_completion(data))
    except _BROKEN as error:
        raise call.broken(f"the answer broke off: {_why(error)}") from error
    except ValueError as error:
        raise call.broken(f"the answer is unreadable: {error}"[:200]) from error


def _now() -> float:
    return asyncio.get_running_loop().time()


def _why(error: BaseException) -> str:
    """The innermost reason, for operators: the SDK's own message is only "Connection error."."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__} {error}".strip()[:200]


AZURE = (".azure.com", ".azure-api.net", ".azure.us", ".azure.cn")
"""Hosts that take the key as ``api-key`` instead of as a bearer token."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def split_address(base_url: str) -> tuple[str, dict[str, str]]:
    """The address without its query, and the query."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"base_url must be an http(s) address such as https://host/v1, not {base_url!r}")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), dict(parse_qsl(parts.query))


def credentials(
    host: str, query: Mapping[str, str], api_key: str | None, more: Mapping[str, str]
) -> dict[str, str | openai.Omit]:
    """Headers of every request. ``omit`` keeps out what the SDK would take from the environment."""
    azure = host.endswith(AZURE) or "api-version" in query
    headers: dict[str, str | openai.Omit] = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
    if api_key is None or azure:
        headers["Authorization"] = openai.omit
    if api_key is not None and azure:
        headers["api-key"] = api_key
    return {**headers, **more}


LONGEST_WAIT = 3600.0
"""Seconds. A server that asks for more is taken to have asked for this."""

_SERVICE = "model"
_TRANSIENT = frozenset({408, 409, 425})
_TOO_LONG = ("context length", "context window", "context size", "context_length", "too many tokens", "prompt is too long",
             "maximum context", "input is too long", "reduce the length")  # fmt: skip


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait by ``retry-after-ms`` or ``Retry-After`` (seconds or an HTTP date, RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return min(seconds, LONGEST_WAIT) if seconds >= 0 else None  # NaN is not >= 0
    date = headers.get("retry-after")
    if date is None:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    return min(max(0.0, moment.timestamp() - (time.time() if now is None else now)), LONGEST_WAIT)


def typed_status(error: openai.APIStatusError) -> ModelError:
    """The typed error of an HTTP status other than 2xx."""
    status, said = error.status_code, _said(error)
    message = f"HTTP {status}: {said}"
    if status == 429 and "insufficient_quota" not in said:
        return RateLimited(message, retry_after=retry_after(error.response.headers))
    if status == 413 or (status in (400, 422) and _speaks_of_length(said)):
        return ContextTooLong(message, service=_SERVICE)
    if status >= 500 or status in _TRANSIENT:
        return ModelUnavailable(message, service=_SERVICE, retryable=status != 501)
    return ModelError(message, service=_SERVICE)


def typed_stream_error(body: Mapping[str, Any]) -> ModelError:
    """The typed error of an error object that came inside a stream, before any token."""
    error = body.get("error")
    said = (
        " ".join(str(error.get(key) or "") for key in ("message", "type", "code"))
        if isinstance(error, Mapping)
        else str(error)
    )
    said = said.strip()[:300]
    if _speaks_of_length(said):
        return ContextTooLong(said, service=_SERVICE)
    if "rate_limit" in said or "429" in said:
        return RateLimited(said)
    return ModelUnavailable(said, service=_SERVICE, retryable=True)


def adapted(arguments: Mapping[str, JSON], error: openai.APIStatusError) -> dict[str, JSON] | None:
    """*arguments* without what this server refused, or None if the refusal was about something else.

    Servers differ in three optional fields: ``stream_options`` (unknown to older ones), ``max_tokens`` (called
    ``max_completion_tokens`` by reasoning models) and ``temperature`` (fixed for some models).
    """
    if error.status_code not in (400, 422):
        return None
    said = _said(error)
    for name in ("stream_options", "max_tokens", "temperature"):
        if name not in arguments or name not in said or _speaks_of_length(said):
            continue
        rest = {key: value for key, value in arguments.items() if key != name}
        return {**rest, "max_completion_tokens": arguments[name]} if name == "max_tokens" else rest
    return None


def _said(error: openai.APIStatusError) -> str:
    """What the server said, shortened: for operators, never for users."""
    body = error.body if isinstance(error.body, Mapping) else {}
    parts = [str(part) for part in (error.message, body.get("code"), body.get("type"), body.get("param")) if part]
    return " ".join(parts)[:300]


def _speaks_of_length(said: str) -> bool:
    low = said.lower()
    return any(phrase in low for phrase in _TOO_LONG)
