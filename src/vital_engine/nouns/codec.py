"""Nouns as versioned JSON and back: the one form in which the store, checkpoints, receipts and HTTP hold them.

A noun is written as ``{"vital": 2, "noun": "Evidence", "value": {...}}``. What is read is checked against the noun's schema and
nothing is revived by the name of a class; an error is kept as its stable code. What an older engine wrote is brought up to
date, step by step, by :data:`MIGRATIONS`; what a newer one wrote is refused.
"""

from __future__ import annotations

import asyncio
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from importlib import resources
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from vital_engine import errors
from vital_engine.errors import ForeignError, StepFailed, VitalError, WrongType, code_of
from vital_engine.flow import BaseOutcome, Degraded, Done, Failed, Outcome, Skipped

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
JSON: TypeAlias = Any
"""What ``json.loads`` gives: dict, list, str, int, float, bool or None."""

VERSION: Final = 2
"""Of the form. A field that is added with a default needs no new one: what was written without it can be read."""


# -- writing
_PLAIN = frozenset({NoneType, bool, int, float, str})


def to_json(value: object) -> JSON:
    """*value* as JSON can hold it: dataclasses as objects, Decimal as text (money is never a float), times as ISO 8601,
    outcomes and errors without foreign text. What JSON cannot hold becomes its ``str``."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if (names := _field_names(kind)) is not None:
        return {name: to_json(getattr(value, name)) for name in names}
    if kind is tuple or kind is list:
        return [to_json(each) for each in value]  # type: ignore[attr-defined]
    return _other_json(value)


def _other_json(value: Any) -> JSON:
    match value:
        case BaseOutcome():
            return outcome_json(value)
        case Enum():
            return value.value
        case bool() | int() | float() | str():
            return value
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat()
        case BaseException():
            return error_json(value)
        case Mapping():
            return {str(k): to_json(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json(v) for v in value]
        case _:
            return str(value)


@cache
def _field_names(kind: Any) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None for anything else, and for an outcome, which has a form of its own."""
    if issubclass(kind, BaseOutcome) or not is_dataclass(kind):
        return None
    return tuple(f.name for f in fields(kind))


def write(noun: object) -> dict[str, JSON]:
    """*noun* in its envelope."""
    return {"vital": VERSION, "noun": type(noun).__name__, "value": to_json(noun)}


@dataclass(frozen=True, slots=True)
class Unkept:
    """In the place of what a step made, where that was not kept: the name of its class, and whether it was known before."""

    makes: str
    cached: bool = False


def made_by(outcome: BaseOutcome[Any]) -> str | None:
    """The name of the class of what a step made, also where the product itself was not kept; None: it made nothing."""
    if isinstance(outcome.value, Unkept):
        return outcome.value.makes
    return None if outcome.value is None else type(outcome.value).__name__


def outcome_json(outcome: BaseOutcome[Any]) -> dict[str, JSON]:
    """How a step ended, and the class of what it made; the product itself stands under a key of its own."""
    row: dict[str, JSON] = {"kind": outcome.kind, "made": made_by(outcome)}
    if getattr(outcome.value, "cached", False) is True:
        row["cached"] = True
    row |= {"seconds": outcome.seconds, "began": outcome.began, "ended": outcome.ended}
    if isinstance(outcome, Skipped):
        row |= {"because": outcome.because, "known": outcome.known}
    if outcome.error is not None:
        row |= {"reason": outcome.reason, "error": error_json(outcome.error)}
    return row


def error_json(error: BaseException) -> dict[str, JSON]:
    """Its code; its text and its facts only where it is ours, since a foreign one may hold anything."""
    if not isinstance(error, VitalError):
        return {"code": code_of(error)}
    facts = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float)}
    return {"code": error.code, "text": str(error), "facts": facts}


# -- reading
def read(expected: type[T], given: object) -> T:
    """The noun that *given* is: itself, its envelope, or (what a client sends as JSON) a mapping of its fields.

    :raises WrongType: it is none, or a newer engine wrote it. The message names fields, never what stands in them.
    """
    from pydantic import ValidationError

    if isinstance(given, expected):
        return given
    try:
        if not isinstance(given, Mapping):
            raise TypeError(f"expected {expected.__name__}, got {type(given).__name__}")
        given = _with_envelope(expected, given)
        value = _opened(expected, given) if "vital" in given else given
        kind: Any = expected
        noun: T = _with_outcomes(kind, value) if "outcomes" in _hints(kind) else _validated(kind, value)
    except (TypeError, KeyError, ValueError) as error:
        why = _fields_at_fault(error) if isinstance(error, ValidationError) else str(error)
        raise WrongType(f"this is no {expected.__name__}: {why}", service="codec") from error
    return noun


def read_value(kind: Any, value: JSON) -> Any:
    """*value*, which stands inside of something that was read, as *kind*. Raises pydantic's ValidationError."""
    return _adapter(kind).validate_python(value)


def outcome_from(given: object, products: Mapping[str, object] | None = None) -> Outcome[Any]:
    """The outcome that :func:`outcome_json` wrote.

    :param products: what the step may have made, by the name of its class; else the outcome's value is an :class:`Unkept`.
    :raises WrongType: it is none.
    """
    if isinstance(given, Done | Degraded | Failed | Skipped):
        return given
    try:
        row: Any = given
        makes = row.get("made")
        value: Any = (products or {}).get(makes)
        if value is None and makes is not None:
            value = Unkept(makes, row.get("cached", False))
        seconds, began, ended = (float(row[name]) for name in ("seconds", "began", "ended"))
        match row["kind"]:
            case "done":
                return Done(value, seconds, began, ended)
            case "skipped":
                return Skipped(row["because"], value if row["known"] else None, row["known"], seconds, began, ended)
            case "degraded":
                return Degraded(value, error_from(row["error"]), row["reason"], seconds, began, ended)
            case "failed":
                return Failed(error_from(row["error"]), row["reason"], seconds, began, ended)
            case kind:
                raise KeyError(kind)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise WrongType(f"this is no outcome of a step: {error!r}", service="codec") from error


def error_from(given: JSON) -> BaseException:
    """The error that :func:`error_json` wrote, or one with a stable code (*given* as text).

    Of a foreign error its class's name is all that was kept.
    """
    if isinstance(given, str):
        given = {"code": given, "text": "as it was written down"}
    made, text = _ERRORS.get(given["code"]), given.get("text", "")
    if made is None:
        return ForeignError(given["code"]) if given["code"] else StepFailed(text)
    error = made(text) if text else made()
    vars(error).update({name: value for name, value in given.get("facts", {}).items() if name in vars(error)})
    return error


class ErrorForm:
    """For pydantic: an error as its code. ``Annotated[BaseException | None, ErrorForm]``."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _form(lambda given: given if isinstance(given, BaseException) else error_from(given), error_json)


class OutcomeForm:
    """For pydantic: an outcome without its value. ``Annotated[Outcome[Any], OutcomeForm]``."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _form(outcome_from, outcome_json)


def _form(reading: Callable[[Any], Any], writing: Callable[[Any], Any]) -> Any:
    from pydantic_core import core_schema

    return core_schema.no_info_plain_validator_function(
        lambda given: None if given is None else reading(given),
        serialization=core_schema.plain_serializer_function_ser_schema(lambda v: None if v is None else writing(v)),
        json_schema_input_schema=core_schema.dict_schema(),
    )


_ERRORS: Mapping[str, type[BaseException]] = {
    **{c.code: c for c in (getattr(errors, name) for name in errors.__all__)},
    "TimeoutError": TimeoutError,
    "CancelledError": asyncio.CancelledError,
}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made when it is first needed: it takes milliseconds to build."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _validated(expected: Any, value: JSON) -> Any:
    return _adapter(expected).validate_python(value)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind) if is_dataclass(kind) else {}


def _with_outcomes(expected: Any, given: Mapping[str, Any]) -> Any:
    """A noun that holds the outcomes of steps beside what they made: each outcome gets its value back."""
    hints = get_type_hints(expected, include_extras=True)
    names = [f.name for f in fields(expected) if f.name != "outcomes" and f.name in given]
    values = {name: _validated(hints[name], given[name]) for name in names}
    products = {type(value).__name__: value for value in values.values()}
    outcomes = {step: outcome_from(row, products) for step, row in given.get("outcomes", {}).items()}
    return expected(**values, outcomes=outcomes)


def _opened(expected: type, envelope: Mapping[str, Any]) -> JSON:
    version, noun, value = envelope["vital"], envelope["noun"], envelope["value"]
    if not isinstance(version, int) or not 0 < version <= VERSION:
        raise TypeError(f"it is written in form {version!r}, and this engine reads up to {VERSION}")
    for older in range(version, VERSION):
        noun, value = MIGRATIONS[older](noun, value, expected)
    if noun != expected.__name__:
        raise TypeError(f"it is of {noun!r}")
    return value


def _with_envelope(expected: type, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The store's envelope of form 1, which named no noun, as that of today; anything else as it is."""
    if given.keys() != {"version", "value"}:
        return given
    return {"vital": given["version"], "noun": expected.__name__, "value": given["value"]}


def _fields_at_fault(error: Any) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))


# -- what older engines wrote
@cache
def _names_of_form_1() -> Mapping[str, Mapping[str, Any]]:
    """What form 1 called nouns and fields, and what each step made."""
    text = resources.files(__package__).joinpath("form_1.json").read_text(encoding="utf-8")
    names: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return names


def from_form_1(kind: Any, value: JSON) -> JSON:
    """*value*, written in form 1 where *kind* stands now, with the names of today. Free-form data is not touched."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return from_form_1(next(one for one in inside if one is not NoneType), value) if value is not None else None
    if origin is tuple and isinstance(value, list):
        return [from_form_1(inside[0], each) for each in value]
    if not (isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping)):
        return value
    renamed = _names_of_form_1()["fields"].get(kind.__name__, {})
    hints = _hints(kind)
    result = {}
    for name, each in value.items():
        today = renamed.get(name, name)
        result[today] = from_form_1(hints[today], each) if today in hints else each
    if "outcomes" in hints:  # a pause had them as a list of ``steps``, all left out of which class a product was
        steps = result.pop("steps", [])
        rows = {s["name"]: {**s, "kind": s["outcome"], "error": s["code"], "because": s["reason"]} for s in steps}
        rows = {name: {**row, "known": row["because"] == "known"} for name, row in rows.items()}
        rows |= result.get("outcomes", {})
        result["outcomes"] = {step: {"made": product_in_form_1(step), **row} for step, row in rows.items()}
    return result


def product_in_form_1(step: str) -> str | None:
    """The class of what *step* made."""
    product: str | None = _names_of_form_1()["steps"].get(step)
    return product


def _from_1(noun: str, value: JSON, expected: type) -> tuple[str, JSON]:
    return _names_of_form_1()["nouns"].get(noun, noun), from_form_1(expected, value)


MIGRATIONS: Final[Mapping[int, Callable[[str, JSON, type], tuple[str, JSON]]]] = {1: _from_1}
"""Form -> what makes the next one of it: (noun, value, the class that is expected) -> (noun, value)."""
