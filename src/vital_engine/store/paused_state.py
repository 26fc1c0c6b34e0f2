"""A pause as JSON that outlives the program that wrote it, in the one form that all nouns have."""

from __future__ import annotations

from typing import TypeVar

from vital_engine.errors import StoreError, WrongType
from vital_engine.nouns import codec

from .plain import json_text

__all__ = ["read", "written"]

T = TypeVar("T")


def written(value: object) -> str:
    """A noun as JSON text.

    :raises StoreError: it holds what JSON cannot.
    """
    return json_text(codec.write(value))


def read(kind: type[T], kept: object) -> T:
    """What :func:`written` wrote, also in an earlier version.

    :raises StoreError: a newer version wrote it, or it is no such noun.
    """
    try:
        return codec.read(kind, kept)
    except WrongType as error:
        raise StoreError(f"what was kept cannot be read: {error}", service="store") from error
