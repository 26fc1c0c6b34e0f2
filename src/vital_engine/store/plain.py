"""Text and JSON as PostgreSQL holds them: what it cannot hold is replaced, and a noun stands in its envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from vital_engine.errors import StoreError, WrongType
from vital_engine.nouns import codec

__all__ = ["json_text", "noun_from", "noun_text", "storable"]

T = TypeVar("T")

# A NUL, and halves of surrogate pairs: a model may emit either, and neither can be stored as text or as jsonb.
UNSTORABLE = {0: "\ufffd", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}


def storable(text: str) -> str:
    """*text* with U+FFFD in place of each character that the database cannot hold; lengths and offsets stay."""
    return text.translate(UNSTORABLE) if "\0" in text or not _encodes(text) else text


def json_text(value: Any) -> str:
    """*value* as JSON with sorted keys, its text made storable.

    :param value: JSON values.
    :raises StoreError: it is not JSON.
    """
    try:
        return json.dumps(_storable(value), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise StoreError(f"this cannot be kept as JSON: {error}", service="store") from error


def noun_text(noun: object) -> str:
    """*noun* as JSON that outlives the program that wrote it: in the envelope of :mod:`vital_engine.nouns.codec`.

    :raises StoreError: it holds what JSON cannot.
    """
    return json_text(codec.write(noun))


def noun_from(kind: type[T], kept: Any) -> T:
    """What :func:`noun_text` wrote, or an earlier version as ``{"version": 1, "value": ...}``.

    :raises StoreError: a newer engine wrote it, or it is not of its form.
    """
    try:
        return codec.read(kind, kept)
    except WrongType as error:
        raise StoreError(f"a {kind.__name__} that was kept cannot be read: {error}", service="store") from error


def _storable(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case Mapping():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
