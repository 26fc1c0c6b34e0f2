"""A batch of an ingest: documents read, cut into passages, analysed and embedded. Blocks; for a thread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import ServiceError
from vital_engine.nouns.stored import StoredDocument, StoredPassage
from vital_engine.ports import Embedder

from .analysis import ANALYSIS, terms
from .chunking import Chunk, estimated_tokens
from .reading import Document
from .sentence_vectors import embed_packed

__all__ = ["Batch", "Failure", "prepare", "read_some", "searched"]

MOST_DOCUMENTS = 256
MOST_CHARACTERS = 300_000
REVISION = 1
"""Of how a document becomes passages and sentences: part of its hash, so that a change makes every document new."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that was not taken in, and why."""

    document: str
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents with all that is to be written of them; ``terms``, ``vectors`` and ``sentences`` (packed vectors) have
    a row for each passage."""

    documents: Sequence[StoredDocument] = ()
    passages: Sequence[StoredPassage] = ()
    terms: Sequence[list[str]] = ()
    vectors: NDArray[np.float32] | None = None
    sentences: Sequence[bytes] | None = None
    failed: tuple[Failure, ...] = ()
    unchanged: int = 0

    def only(self, wanted: set[str]) -> Batch:
        """The part that belongs to these documents."""
        rows = [row for row, passage in enumerate(self.passages) if passage.document in wanted]
        return replace(
            self,
            documents=[document for document in self.documents if document.id in wanted],
            passages=[self.passages[row] for row in rows],
            terms=[self.terms[row] for row in rows],
            vectors=self.vectors[rows] if self.vectors is not None else None,
            sentences=[self.sentences[row] for row in rows] if self.sentences is not None else None,
        )


def read_some(
    source: Iterator[Document | Failure], domain: str, seen: dict[str, str]
) -> tuple[list[tuple[Document, StoredDocument]], list[Failure]]:
    """The next documents of a batch; none and none at the end. Notes in *seen* the hash of each id."""
    read: list[tuple[Document, StoredDocument]] = []
    failed: list[Failure] = []
    characters = 0
    while len(read) < MOST_DOCUMENTS and len(failed) < MOST_DOCUMENTS and characters < MOST_CHARACTERS:
        try:
            document = next(source, None)
        except ServiceError as error:
            # What opens several files goes on with the next one; what cannot go on ends at the next call.
            document = Failure("", f"{error.code}: {error}")
        if document is None:
            break
        if isinstance(document, Failure):
            failed.append(document)
            continue
        stored = _stored(document, domain)
        if stored.id in seen:
            failed.append(Failure(stored.id, "an earlier document of this ingest has the same id"))
            continue
        seen[stored.id] = stored.content_hash
        read.append((document, stored))
        characters += len(stored.text)
    return read, failed


def _stored(document: Document, domain: str) -> StoredDocument:
    pages = tuple((page.number, page.start, page.end) for page in document.pages)
    facts = (REVISION, ANALYSIS, document.title, document.source, domain, document.media_type, pages)
    digest = hashlib.sha256(json.dumps([*facts, document.metadata], sort_keys=True, default=str).encode())
    digest.update(document.content_hash.encode())
    return StoredDocument(
        id=document.id,
        text=document.text,
        title=document.title,
        source=document.source,
        domain=domain,
        media_type=document.media_type,
        content_hash=digest.hexdigest(),
        pages=pages,
        metadata=document.metadata,
    )


def prepare(
    fresh: Sequence[tuple[Document, StoredDocument]],
    failed: Sequence[Failure],
    unchanged: int,
    embedder: Embedder | None,
    cut: Callable[[Document], Sequence[Chunk]],
    sentence_vectors: bool,
) -> Batch:
    """Cut up, analyse and embed. Runs in a thread."""
    documents: list[StoredDocument] = []
    passages: list[StoredPassage] = []
    texts: list[str] = []
    bad = list(failed)
    for document, stored in fresh:
        try:
            chunks = cut(document)
        except ServiceError as error:
            bad.append(Failure(stored.id, f"{error.code}: {error}"))
            continue
        if not chunks:
            bad.append(Failure(stored.id, "it holds no text"))
            continue
        documents.append(stored)
        for number, c in enumerate(chunks):
            passages.append(StoredPassage(stored.id, number, c.start, c.end, c.text, c.page, estimated_tokens(c.text)))
            texts.append(searched(stored.title, c.text))
    vectors, sentences = None, None
    try:
        if embedder is not None and texts:
            vectors = np.asarray(embedder.embed(texts), np.float32)
            sentences = embed_packed(embedder, [p.text for p in passages]) if sentence_vectors else None
    except ServiceError as error:
        bad += [Failure(stored.id, f"{error.code}: {error}") for stored in documents]
        return Batch(failed=tuple(bad), unchanged=unchanged)
    return Batch(documents, passages, [terms(text) for text in texts], vectors, sentences, tuple(bad), unchanged)


def searched(title: str, text: str) -> str:
    """What a passage is found by: its text, under the title of its document, which often names what it is about."""
    return f"{title}\n{text}" if title and not text.startswith(title) else text
