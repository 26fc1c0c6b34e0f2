"""How a parameter without a wording of its own is read: by the words and the unit of its name, and by its type.

::

    dose_mg: float           "dose 80 mg", "dose of 0.08 g", "80 mg" if nothing else of the tool is a mass
    half_lives: int          "3 half-lives", "half lives: 3"
    route: Literal["oral", "intravenous"]     the one that is said
    smoker: bool             "a smoker", "no smoker", "smoker: no"
    values: list[float]      "values 1, 2 and 3"

What no rule can read (free text, dates, objects) is named with its reason when the tool is registered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from vital_engine.services.ranking import words

from .conversion import UNITS, plain, unit_of
from .reading import Choice, Mention, Number, Numbers, Wording, reader
from .schema import Form
from .tool import Reader

_TIMES: Final[Mapping[str, float]] = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("day", "days"), 86_400.0),
    **dict.fromkeys(("week", "weeks"), 604_800.0),
}
_ALONE: Final = (
    ("months", "month"),
    ("years", "year", "yrs", "yr"),
    ("percent", "per cent", "pct", "%"),
    ("bpm", "beats per minute", "/min"),
)
"""Units that no other is turned into."""
_NOT_IN_NAMES: Final = frozenset({"c", "f", "k", "st", "in", "bar"})
"""Words and letters at the end of a name that are a unit only by chance."""
_COUNTS: Final = re.compile(r"^(?:n|num|number|count|number of|count of)\s+(?=\S)")
_STATES: Final = re.compile(r"^(?:is|has|have|had|with)\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Worded:
    """The readers of a tool's parameters, and of those that have none the reason (parameter -> reason)."""

    read: Reader
    unreadable: Mapping[str, str]


def worded(form: Form) -> Worded:
    """How the arguments of *form* are read. Parameters say it themselves, or their names and types do."""
    fields = form.model.model_fields
    kinds = {name: _kind(info.annotation) for name, info in fields.items()}
    given = {name: own for name, info in fields.items() if (own := _given(info)) is not None}
    measures = {name: _measure(name) for name, kind in kinds.items() if kind in (int, float)}
    wordings: dict[str, Wording] = {}
    unreadable: dict[str, str] = {}
    for name, kind in kinds.items():
        found = given.get(name) or _wording(name, kind, fields[name].annotation)
        if isinstance(found, str):
            unreadable[name] = found
            continue
        if name in measures and name not in given and isinstance(found, Number):
            others = [m.measures for other, m in measures.items() if other != name]
            others += [frozenset(g.units) for g in given.values() if isinstance(g, Number)]
            only = all(measures[name].measures.isdisjoint(each) for each in others)
            found = replace(found, alone=found.units) if only else found
        wordings[name] = found
    whole = [name for name, kind in kinds.items() if kind in (int, list[int])]
    return Worded(reader(wordings, required=form.required, whole=whole), unreadable)


def _given(info: FieldInfo) -> Wording | None:
    """How the parameter says that it is worded, also inside of an optional type."""
    inside = [
        extra for each in get_args(info.annotation) if get_origin(each) is Annotated for extra in get_args(each)[1:]
    ]
    return next((each for each in (*info.metadata, *inside) if isinstance(each, Wording)), None)


def _kind(annotation: Any) -> Any:
    """The one type that is meant: without ``Annotated``, without ``None``, numbers as int or float."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        others = {_kind(each) for each in get_args(annotation) if each is not NoneType}
        return float if others == {int, float} else others.pop() if len(others) == 1 else annotation
    if annotation is Decimal:
        return float
    values = _values(annotation)
    if values and all(type(value) is int for value in values):
        return int
    if get_origin(annotation) in (list, tuple, set, frozenset):
        of = {_kind(each) for each in get_args(annotation) if each is not Ellipsis}
        many = get_origin(annotation) is not tuple or Ellipsis in get_args(annotation)
        return list[of.pop()] if many and len(of) == 1 and of <= {int, float} else annotation  # type: ignore[misc]
    return annotation


def _values(annotation: Any) -> Mapping[Any, tuple[str, ...]]:
    """The closed set that an annotation allows, each value with its words; empty where it is open."""
    if get_origin(annotation) is Literal:
        return {value: (str(value), words(str(value))) for value in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {m.value: (str(m.value), words(str(m.value)), words(m.name).lower()) for m in annotation}
    return {}


def _wording(name: str, kind: Any, annotation: Any) -> Wording | str:
    """How a parameter of *kind* is read; or why it cannot be."""
    if kind in (int, float):
        measure = _measure(name)
        own = next(iter(measure.units), "")
        return Number(measure.names, measure.units, {own: (-math.inf, math.inf)} if own else {})
    if kind in (list[int], list[float]):
        return Numbers(_measure(name).names, _measure(name).units)
    spoken = words(name).lower()
    if kind is bool:
        return Mention(_forms(_STATES.sub("", spoken)))
    values = _values(kind)
    if values and all(isinstance(value, str) for value in values):
        return Choice(values, _forms(spoken))
    return "free text" if kind is str else f"a value of type {getattr(annotation, '__name__', annotation)}"


@dataclass(frozen=True, slots=True)
class _Measure:
    """What a number is called; its units, its own first, with their factors to that; and how what it measures is written."""

    names: tuple[str, ...]
    units: Mapping[str, float]
    measures: frozenset[str]


def _measure(name: str) -> _Measure:
    parts = words(name).lower().split()
    for size in range(min(3, len(parts)), 0, -1):
        units = _units("/".join(part for part in parts[-size:] if part != "per"))
        if units and parts[-1] not in _NOT_IN_NAMES:
            whole, rest = _forms(" ".join(parts)), " ".join(parts[:-size])
            if not rest:  # "hours": its unit is what it is called
                return _Measure(whole, {}, frozenset(units))
            return _Measure((*_forms(rest), *whole[:1]), units, frozenset(units))
    return _Measure(_forms(" ".join(parts)), {}, frozenset())


def _units(unit: str) -> dict[str, float]:
    """Every way to write a number in *unit* or in one that measures the same, with its factor; empty if it is none."""
    if unit in _TIMES:
        return {unit: 1.0} | {other: factor / _TIMES[unit] for other, factor in _TIMES.items()}
    for same in _ALONE:
        if unit in same:
            return dict.fromkeys((unit, *same), 1.0)
    known = unit_of(unit)
    if known is None or known.offset:
        return {}
    alike = [each for each in UNITS if each.dimension == known.dimension]
    names = {plain(n): float(each.factor / known.factor) for each in alike for n in (each.symbol, *each.also)}
    return {plain(unit): 1.0} | {n: factor for n, factor in names.items() if n not in _NOT_IN_NAMES}


def _forms(spoken: str) -> tuple[str, ...]:
    """*spoken* in the singular and in the plural, with and without a word for "number of"."""
    said = dict.fromkeys((spoken, _COUNTS.sub("", spoken)))
    return tuple(dict.fromkeys(form for each in said for form in (each, *_numbers(each))))


def _numbers(spoken: str) -> tuple[str, ...]:
    if spoken.endswith("ves"):
        return (f"{spoken[:-3]}fe", f"{spoken[:-3]}f")
    if spoken.endswith(("ss", "us", "is")):
        return ()
    return (spoken[:-1],) if spoken.endswith("s") else (f"{spoken}s",)
