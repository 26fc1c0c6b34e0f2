"""What the library holds: the nouns of ingest. The wire between services that read and the store that keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document with its whole text. ``pages``: number, start and end of each, where it has pages and they have text."""

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
    """``document.text[start:end] == text``; ``number`` counts within the document from 0, ``tokens`` is about how many."""

    document: str
    number: int
    start: int
    end: int
    text: str
    page: int | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A passage that a model has not embedded whole: without a vector of its own, or without those of its sentences."""

    ordinal: int
    domain: str
    title: str
    text: str
    vector: bool
    sentences: bool


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """A document as a list shows it: without its text. ``characters`` is the length of that, ``passages`` their number."""

    id: str
    title: str
    source: str
    domain: str
    media_type: str
    content_hash: str
    characters: int
    passages: int
    created_at: datetime


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
    """What a search needs to know first: the index's version, its segments in scope, and the ordinals of the dead.

    ``dead``: little-endian uint32, ascending; passages that were deleted and still stand in a segment.
    """

    version: int
    segments: tuple[LexicalSegment, ...] = ()
    dead: bytes = b""
