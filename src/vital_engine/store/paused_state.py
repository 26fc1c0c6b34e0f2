"""A pause as JSON that outlives the program that wrote it: a version, and a form that is checked when it is read."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from vital_engine.errors import StoreError

from .plain import json_text

__all__ = ["VERSION", "read", "written"]

T = TypeVar("T")

VERSION: Final = 1
"""Of the form. A field that is added with a default needs no new one: what was written without it can be read."""


_forms: dict[type, TypeAdapter[Any]] = {}


def _form(kind: type) -> TypeAdapter[Any]:
    """Made when it is first needed: a form takes milliseconds to build."""
    if kind not in _forms:
        _forms[kind] = TypeAdapter(kind)
    return _forms[kind]


def written(value: Any) -> str:
    """A frozen dataclass as JSON text.

    :param value: the dataclass.
    :raises StoreError: it holds what JSON cannot.
    """
    try:
        plain = _form(type(value)).dump_python(value, mode="json")
    except (ValueError, TypeError) as error:
        raise StoreError(f"this pause cannot be kept as JSON: {error}", service="store") from error
    return json_text({"version": VERSION, "value": plain})


def read(kind: type[T], kept: Any) -> T:
    """What :func:`written` wrote.

    :param kind: the dataclass.
    :param kept: the JSON, as the database gives it.
    :raises StoreError: another version wrote it, or it has another form.
    """
    version = kept.get("version") if isinstance(kept, dict) else None
    if version != VERSION:
        raise StoreError(f"a pause of version {version!r} cannot be read, only {VERSION}", service="store")
    try:
        value: T = _form(kind).validate_python(kept.get("value"))
    except ValidationError as error:
        faults = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False)[:5])
        raise StoreError(f"a {kind.__name__} that was kept is not of its form: {faults}", service="store") from None
    return value
