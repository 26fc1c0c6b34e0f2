"""What a model server's refusal means: the SDK's exceptions and the bodies of errors as typed errors of ours."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Any

import openai

from vital_engine.errors import ContextTooLong, ModelError, ModelUnavailable, RateLimited

__all__ = ["LONGEST_WAIT", "adapted", "retry_after", "typed_status", "typed_stream_error"]

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


def adapted(arguments: Mapping[str, Any], error: openai.APIStatusError) -> dict[str, Any] | None:
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
