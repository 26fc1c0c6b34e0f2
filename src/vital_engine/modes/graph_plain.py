"""The nouns of a turn as plain, versioned JSON and back: what a checkpoint of a graph holds.

A checkpointer's own serializer would bring dataclasses back with lists for tuples and texts for errors, or refuse
them. So what is written is plain already: any checkpointer and any serializer keeps it, nothing is revived by the name
of a class, and what is read is checked against the noun's schema. An error is kept as its stable code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from vital_engine import errors
from vital_engine.nouns.answer import Answer
from vital_engine.errors import InvalidQuestion, VitalError, WrongType
from vital_engine.flow import Degraded, Done, Failed, Outcome, Skipped
from vital_engine.nouns import Question

T = TypeVar("T")

VERSION = 1
"""Of the form in which nouns are written. What was written by a newer engine is refused, never guessed at."""

_FAULTS: Mapping[str, type[BaseException]] = {
    **{c.code: c for c in (getattr(errors, name) for name in errors.__all__)},
    "TimeoutError": TimeoutError,
    "CancelledError": asyncio.CancelledError,
}


_MADE: Mapping[str, str] = {
    "brief": "brief",
    "retrieve": "evidence",
    "consent": "consent",
    "invoke": "tool_results",
    "reply": "draft",
    "cite": "citations",
    "assess": "support",
    "tally": "cost",
}
"""Steps whose product is a field of the answer: it is written there, and not with their outcome."""


def plain(noun: Any) -> dict[str, Any]:
    """*noun* as JSON can hold it, in an envelope: ``{"vital": 1, "noun": "Evidence", "value": {...}}``."""
    value = _plain_answer(noun) if isinstance(noun, Answer) else _fields(type(noun), noun)
    return {"vital": VERSION, "noun": type(noun).__name__, "value": value}


def revived(expected: type[T], given: Any) -> T:
    """The noun that *given* is: itself, its envelope, or (what a client sends as JSON) a mapping of its fields.

    :raises InvalidQuestion: it should be a Question, and is none.
    :raises WrongType: it should be another noun and is none, or a newer engine wrote it.
    """
    if isinstance(given, expected):
        return given
    try:
        if not isinstance(given, Mapping):
            raise TypeError(f"expected {expected.__name__}, got {type(given).__name__}")
        value = _opened(expected, given) if "vital" in given else given
        noun: Any = _answer(value) if expected is Answer else _adapter(expected).validate_python(value)
    except (TypeError, KeyError, ValidationError) as error:
        why = _explain(error)
        if expected is Question:
            raise InvalidQuestion(f"this is no question: {why}") from error
        raise WrongType(f"this is no {expected.__name__}: {why}", service="checkpoint") from error
    return cast("T", noun)


def written(made: Mapping[str, Any], run_id: str = "") -> dict[str, Any]:
    """What a node made, in the form in which a checkpointer keeps it; what is not ours stays as it is.

    *run_id*: of a turn whose graph knows where it begins: the outcomes of another are let go.
    """
    result: dict[str, Any] = {}
    for key, value in made.items():
        if key == "outcomes":
            steps = {name: plain_outcome(outcome) for name, outcome in value.items()}
            result[key] = {"run_id": run_id, "steps": steps} if run_id else steps
        else:
            result[key] = plain(value) if type(value).__module__.startswith("vital_engine.") else value
    return result


def plain_outcome(outcome: Outcome[Any]) -> dict[str, Any]:
    """How a step ended, without what it made: that stands under a key of its own."""
    kind = type(outcome).__name__.lower()
    times = {"kind": kind, "seconds": outcome.seconds, "began": outcome.began, "ended": outcome.ended}
    match outcome:
        case Done():
            return times
        case Skipped(because=because, known=known):
            return {**times, "because": because, "known": known}
        case Degraded(error=error, reason=reason) | Failed(error=error, reason=reason):
            return {**times, "reason": reason, "error": _plain_error(error)}


def outcome_of(given: Any) -> Outcome[Any]:
    """The outcome that was made plain; its value is None.

    :raises WrongType: it is none.
    """
    if isinstance(given, Done | Degraded | Failed | Skipped):
        return given
    try:
        times = {name: float(given[name]) for name in ("seconds", "began", "ended")}
        match given["kind"]:
            case "done":
                return Done(None, **times)
            case "skipped":
                return Skipped(given["because"], None, given["known"], **times)
            case "degraded":
                return Degraded(None, _error(given["error"]), given["reason"], **times)
            case "failed":
                return Failed(_error(given["error"]), given["reason"], **times)
            case kind:
                raise KeyError(kind)
    except (TypeError, KeyError, ValueError) as error:
        raise WrongType(f"this is no outcome of a step: {error!r}", service="checkpoint") from error


def _opened(expected: type, envelope: Mapping[str, Any]) -> Any:
    if envelope["vital"] != VERSION:
        raise TypeError(f"it is written in form {envelope['vital']!r}, and this engine reads {VERSION}")
    if envelope["noun"] != expected.__name__:
        raise TypeError(f"it is of {envelope['noun']!r}")
    return envelope["value"]


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _fields(noun: Any, value: Any) -> Any:
    return _adapter(noun).dump_python(value, mode="json", fallback=str, warnings="none")


@cache
def _answers_fields() -> dict[str, Any]:
    hints = get_type_hints(Answer)
    return {f.name: hints[f.name] for f in fields(Answer) if f.name not in ("outcomes", "error")}


def _plain_answer(answer: Answer) -> dict[str, Any]:
    result = {name: _fields(hint, getattr(answer, name)) for name, hint in _answers_fields().items()}
    result["outcomes"] = {step: plain_outcome(outcome) for step, outcome in answer.outcomes.items()}
    result["error"] = None if answer.error is None else _plain_error(answer.error)
    return result


def _answer(given: Mapping[str, Any]) -> Answer:
    values = {name: _adapter(hint).validate_python(given[name]) for name, hint in _answers_fields().items()}
    error, outcomes = given["error"], {}
    for name, written in given["outcomes"].items():
        outcome = outcome_of(written)
        if name in _MADE and not isinstance(outcome, Failed):
            outcome = replace(outcome, value=values[_MADE[name]])
        outcomes[name] = outcome
    return Answer(
        **values,
        outcomes=outcomes,
        error=None if error is None else _error(error),
    )


def _plain_error(error: BaseException) -> dict[str, Any]:
    """Its code; its text and its facts only where it is ours, since a foreign one may hold anything."""
    if not isinstance(error, VitalError):
        return {"code": type(error).__name__}
    facts = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float)}
    return {"code": error.code, "text": str(error), "facts": facts}


def _error(given: Mapping[str, Any]) -> BaseException:
    made, text = _FAULTS.get(given["code"]), given.get("text", "")
    if made is None:  # somebody else's: its name is all that was kept
        return RuntimeError(given["code"])
    error = made(text) if text else made()
    vars(error).update({name: value for name, value in given.get("facts", {}).items() if name in vars(error)})
    return error


def _explain(error: Exception) -> str:
    """Which fields are wrong, never what stands in them."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
    return str(error)
