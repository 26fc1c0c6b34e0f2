"""Nouns as plain JSON: dataclasses to objects, Decimal to text (money is never a float), tuples to lists, times to ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any

_PLAIN = frozenset({NoneType, bool, int, float, str})
_NAMES: dict[type, tuple[str, ...] | None] = {}


def as_json(value: Any) -> Any:
    """*value* as JSON can hold it. What JSON cannot hold becomes its ``str``."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if (names := _fields(kind)) is not None:
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(v) for v in value]
    return str(value)


def _fields(kind: type) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None: it is none. Looked up once for each class."""
    if kind not in _NAMES:
        _NAMES[kind] = tuple(f.name for f in fields(kind)) if is_dataclass(kind) else None
    return _NAMES[kind]
