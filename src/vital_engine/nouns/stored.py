"""What the library holds: nouns of ingest, between the services that read documents and the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document with its whole text.

    :param id: id of the document.
    :param text: its text.
    :param title: its title.
    :param source: where it comes from.
    :param domain: its domain.
    :param media_type: of the file that was read.
    :param content_hash: SHA-256 of the content, in hex.
    :param pages: (number, start, end) of each page with text; empty: it has no pages.
    :param metadata: JSON values.
    :param created_at: when it was stored.
    """

    id: str
    text: str
    title: str = ""
    source: str = ""
    domain: str = ""
    media_type: str = "text/plain"
    content_hash: str = ""
    pages: tuple[tuple[int, int, int], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage of a document: ``document.text[start:end] == text``.

    :param document: id of the document.
    :param number: its number in the document, from 0.
    :param start: offset of its first character.
    :param end: offset behind its last character.
    :param text: its text.
    :param page: page number, from 1; None: the document has no pages.
    :param tokens: estimated number of tokens.
    """

    document: str
    number: int
    start: int
    end: int
    text: str
    page: int | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A passage that lacks a vector of its own, or the vectors of its sentences."""

    ordinal: int
    domain: str
    title: str
    text: str
    vector: bool
    sentences: bool


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """A document as a list shows it, without its text. ``characters``: length of the text; ``passages``: their number."""

    id: str
    title: str
    source: str
    domain: str
    media_type: str
    content_hash: str
    characters: int
    passages: int
    created_at: datetime


class Counts(TypedDict):
    """How much a library holds, and the version of its index. ``vectors``: of the present model."""

    documents: int
    passages: int
    vectors: int
    segments: int
    version: int


@dataclass(frozen=True, slots=True)
class LexicalSegment:
    """A part of the lexical index that never changes: *passages* of one domain, ordinals *first* to *last*."""

    id: int
    domain: str
    first: int
    last: int
    passages: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a search needs first: the version of the index, its segments in scope, and deleted passages.

    :param version: version of the index.
    :param segments: segments of the lexical index.
    :param dead: ordinals of deleted passages that still stand in a segment: ascending, little-endian uint32.
    """

    version: int
    segments: tuple[LexicalSegment, ...] = ()
    dead: bytes = b""
