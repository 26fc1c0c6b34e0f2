"""Reading what an OpenAI-compatible server sends: pure functions of its JSON, tolerant of every known dialect.

Sources: OpenAI's API reference (chat completion chunk), the streams of vLLM, llama.cpp, LiteLLM, DeepSeek,
xAI and Azure. What is not understood is an :class:`Unreadable`, never a guess.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vital_engine.nouns import FunctionCall, FunctionCalls, Usage

__all__ = [
    "LARGEST_EVENT",
    "Chunk",
    "Unreadable",
    "events",
    "read_chunk",
    "read_completion",
    "read_function_calls",
    "read_usage",
]

LARGEST_EVENT = 1_048_576
"""Bytes of one server-sent event. A stream that never ends a line must not fill the memory."""

_FINISHES = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class Unreadable(ValueError):
    """The server sent something that is no chat completion."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a stream. ``progress``: the model did something, though there may be no text to show."""

    text: str = ""
    progress: bool = False
    finish: str = ""
    usage: Usage | None = None
    model: str = ""


async def events(body: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The data of each server-sent event (WHATWG HTML, 9.2) in *body*; comments and other fields are left out.

    A last event that no blank line ends is given too: some servers close without one.

    :raises Unreadable: what came is not UTF-8, or an event is larger than :data:`LARGEST_EVENT`.
    """
    lines = _Lines()
    data: list[str] = []
    async for part in body:
        for line in lines.feed(part):
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                yield "\n".join(data)
                data.clear()
    data.extend(line[5:].removeprefix(" ") for line in lines.close() if line.startswith("data:"))
    if data:
        yield "\n".join(data)


class _Lines:
    """Whole lines of UTF-8 that comes in pieces; a line ends with LF, CRLF or CR."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""

    def feed(self, part: bytes, *, final: bool = False) -> Iterator[str]:
        try:
            text = self._rest + self._decoder.decode(part, final)
        except UnicodeDecodeError as error:
            raise Unreadable("the stream is not UTF-8") from error
        # a CR at the very end may be half of a CRLF
        held = "\r" if text.endswith("\r") and not final else ""
        text = text.removesuffix("\r") if held else text
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + held
        if len(self._rest) > LARGEST_EVENT:
            raise Unreadable(f"an event is larger than {LARGEST_EVENT} bytes")
        yield from lines

    def close(self) -> Iterator[str]:
        yield from self.feed(b"", final=True)
        if self._rest:
            yield self._rest


def read_chunk(data: Any) -> Chunk:
    """One ``chat.completion.chunk``.

    :raises Unreadable: it is not an object, or its parts are of other kinds than the API says.
    """
    choice, model, usage = _opened(data)
    if choice is None:
        return Chunk(usage=usage, model=model)
    delta = choice.get("delta") or {}
    if not isinstance(delta, Mapping):
        raise Unreadable("a chunk's delta is no object")
    text = _text(delta)
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    return Chunk(text, bool(text or thought), _finish(choice), usage, model)


def read_completion(data: Any) -> Chunk:
    """A whole ``chat.completion``: what servers send that cannot stream."""
    choice, model, usage = _opened(data)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, Mapping):
        raise Unreadable("the completion holds no message")
    return Chunk(_text(message), True, _finish(choice), usage, model)


def read_function_calls(data: Any) -> FunctionCalls:
    """What a whole ``chat.completion`` asks to be called: ``tool_calls``, or the older ``function_call``.

    :raises Unreadable: it holds no message, or its calls are of another kind than the API says.
    """
    choice, model, usage = _opened(data)
    message = choice.get("message") if choice is not None else None
    if not isinstance(message, Mapping):
        raise Unreadable("the completion holds no message")
    asked = message.get("tool_calls") or []
    if not isinstance(asked, list) or not all(isinstance(each, Mapping) for each in asked):
        raise Unreadable("a message's tool_calls are no list of objects")
    functions = [each.get("function") for each in asked] or [message.get("function_call")]
    return FunctionCalls(tuple(_function(each) for each in functions if each is not None), usage, model)


def _function(asked: Any) -> FunctionCall:
    if not isinstance(asked, Mapping) or not isinstance(asked.get("name"), str):
        raise Unreadable("a function call has no name")
    arguments = asked.get("arguments")
    # Some servers send an object instead of its text.
    return FunctionCall(asked["name"], arguments if isinstance(arguments, str) else json.dumps(arguments or {}))


def read_usage(data: Any) -> Usage | None:
    """Tokens by class; ``cached`` is part of ``input`` and ``reasoning`` of ``output``, whatever the server's habit.

    Most servers count both inside (``prompt_tokens_details``, ``completion_tokens_details``), some beside. The
    sum tells: if ``total_tokens`` is larger than prompt and completion by just these, they were counted
    beside. More cached than prompt tokens were certainly counted beside.
    """
    if not isinstance(data, Mapping):
        return None
    read, written = _count(data, "prompt_tokens"), _count(data, "completion_tokens")
    if read is None and written is None:
        return None
    read, written = read or 0, written or 0
    cached = (
        _count(data.get("prompt_tokens_details"), "cached_tokens")
        or _count(data, "prompt_cache_hit_tokens")
        or _count(data, "cache_read_input_tokens")
        or 0
    )
    reasoning = _count(data.get("completion_tokens_details"), "reasoning_tokens") or 0
    missing = (_count(data, "total_tokens") or read + written) - read - written
    if cached > read or (cached and missing in (cached, cached + reasoning)):
        read += cached
        missing -= cached
    if reasoning > written or (reasoning and missing == reasoning):
        written += reasoning
    return Usage(input=read, output=written, cached=cached, reasoning=reasoning)


def _opened(data: Any) -> tuple[Mapping[str, Any] | None, str, Usage | None]:
    """The first choice (None if there is none), the model and the usage of a chunk or a completion."""
    if not isinstance(data, Mapping):
        raise Unreadable("a chunk is no object")
    choices = data.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise Unreadable("a chunk's choices are no list of objects")
    model = data.get("model")
    return (choices[0] if choices else None), model if isinstance(model, str) else "", read_usage(data.get("usage"))


def _text(part: Mapping[str, Any]) -> str:
    """What the model says to the user. A refusal is said too: to hide it would make an empty answer of it."""
    said = part.get("content") or part.get("refusal") or ""
    if isinstance(said, list):  # content parts, as Mistral streams them
        texts = [item.get("text") for item in said if isinstance(item, Mapping)]
        said = "".join(text for text in texts if isinstance(text, str))
    if not isinstance(said, str):
        raise Unreadable("a chunk's content is no text")
    return said


def _finish(choice: Mapping[str, Any]) -> str:
    """Why it stopped, from a closed set; a reason that is new to us is "other"."""
    reason = choice.get("finish_reason")
    return _FINISHES.get(str(reason).lower(), "other") if reason else ""


def _count(data: Any, name: str) -> int | None:
    """A count of tokens, or None where it is absent or no whole number."""
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
