"""Documents into the library, batch by batch: while one is written, the next is read, cut up and embedded.

A batch is one transaction, so a document is found in its old form until it is found in its new one, what has been
written can be searched, and an ingest that was killed is finished by running it again: what is there already
is known by its hash and costs a look-up. A batch is prepared in a thread: :func:`read_some` and :func:`prepare` block.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import ServiceError
from vital_engine.nouns.stored import DocumentEntry, StoredDocument, StoredPassage, Unembedded
from vital_engine.ports import Embedder
from vital_engine.text.tokens import estimate_word_pieces
from vital_engine.text.words import ANALYSIS, terms

from .chunking import Chunk, chunk
from .lexical import Packed, UpkeepReader, UpkeepWriter, keep_up, pack
from .reading import Document
from .sentence_vectors import embed_packed

__all__ = [
    "Batch",
    "Failure",
    "IngestReport",
    "Progress",
    "embed_missing",
    "ingest",
    "prepare",
    "read_some",
    "searched",
]

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
            passages.append(
                StoredPassage(stored.id, number, c.start, c.end, c.text, c.page, estimate_word_pieces(c.text))
            )
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


AT_ONCE = 256
"""Passages that are embedded in one go when only vectors are missing."""


class IngestReader(UpkeepReader, Protocol):
    """What an ingest reads of the store, in one transaction of one tenant."""

    async def model(self, name: str, dimensions: int) -> int | None:
        """The number of the embedding model *name*; None: it is not registered."""

    async def hashes(self, documents: Sequence[str]) -> dict[str, str]:
        """Content hash by id, of those of *documents* that are stored."""

    async def unembedded(self, *, model: int, sentences: bool, after: int, limit: int) -> list[Unembedded]:
        """Passages that have no vector of *model*, by ordinal, from the one behind *after*."""


class IngestWriter(IngestReader, UpkeepWriter, Protocol):
    """What an ingest writes to the store, in one transaction of one tenant."""

    async def remove(self, documents: Sequence[str]) -> int:
        """Delete *documents*.

        :returns: how many there were.
        """

    async def changed(self) -> int:
        """Increase the version of the index, and return it."""

    async def documents(
        self, *, domains: Sequence[str] = (), after: str = "", limit: int = 100
    ) -> tuple[DocumentEntry, ...]:
        """A page of the list of documents, ordered by id, from the one behind *after*."""

    async def add_vectors(self, scopes: Sequence[tuple[int, str]], vectors: NDArray[np.float32], *, model: int) -> None:
        """Store a vector for each of (ordinal, domain).

        :param vectors: float32 of shape (n, dimensions).
        """

    async def add_sentences(self, ordinals: Sequence[int], packed: Sequence[bytes], *, model: int) -> None:
        """Store packed sentence vectors, one row per ordinal."""

    async def add(
        self,
        documents: Sequence[StoredDocument],
        passages: Sequence[StoredPassage],
        postings: Packed,
        *,
        domain: str,
        vectors: NDArray[np.float32] | None = None,
        sentences: Sequence[bytes] | None = None,
        model: int | None = None,
    ) -> None:
        """Store documents, their passages and the segment of their postings.

        :param vectors: of the passages; None: there is no embedder.
        :param sentences: packed vectors of each passage's sentences; None: they are not kept.
        """


class IngestShelves(Protocol):
    """The store's side of an ingest: ``vital_engine.store.Knowledge`` fulfils it.

    ``sentence_vectors``: whether the vectors of sentences are to be computed and kept as well.
    """

    @property
    def sentence_vectors(self) -> bool:
        """Whether sentence vectors are computed and stored as well."""

    def reading(self, tenant: str) -> AbstractAsyncContextManager[IngestReader]:
        """A read transaction of *tenant*."""

    def writing(self, tenant: str, *, analysis: str) -> AbstractAsyncContextManager[IngestWriter]:
        """A write transaction of *tenant*, under the lock of its library."""

    async def register(self, model: str, dimensions: int) -> int:
        """Register the embedding model *model*, and return its number."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of the documents; ``passages`` are those written, ``seconds`` the wall time."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0

    @property
    def documents(self) -> int:
        """All that were looked at."""
        return self.added + self.updated + self.unchanged + len(self.failed)


Progress = Callable[[IngestReport], None]
"""Called after each batch, with what has been done so far."""


async def ingest(
    documents: Iterable[Document | Failure],
    *,
    shelves: IngestShelves,
    tenant: str,
    domain: str = "",
    embedder: Embedder | None = None,
    progress: Progress | None = None,
    prune: bool = False,
    cut: Callable[[Document], Sequence[Chunk]] = chunk,
) -> IngestReport:
    """Ingest *documents* into *tenant*'s library, under *domain*.

    :param documents: read in a thread, some at a time; a Failure stands for one that could not be read.
    :param shelves: the store.
    :param tenant: whose library.
    :param domain: domain of all these documents.
    :param embedder: None: the documents can be found by words only, until :func:`embed_missing` runs with one.
    :param progress: called after each batch.
    :param prune: delete the domain's other documents. If any document could not be read, nothing is deleted, because it
        is unknown which document that is.
    :param cut: makes passages of a document.
    :returns: what was added, updated, unchanged and removed.
    :raises StoreError: the database failed; the batches before stay stored, and a second run continues from there.
    """
    began = time.perf_counter()
    model = await _registered(embedder, shelves, tenant) if embedder is not None else None
    source, seen, report = iter(documents), dict[str, str](), IngestReport()
    ready: asyncio.Future[Batch] | None = None
    ahead: asyncio.Future[Batch] | None = None
    try:
        while True:
            read, failed = await asyncio.to_thread(read_some, source, domain, seen)
            if read or failed:
                async with shelves.reading(tenant) as reader:
                    known = await reader.hashes([stored.id for _, stored in read])
                fresh = [(document, stored) for document, stored in read if known.get(stored.id) != stored.content_hash]
                # A future, not a task: this batch is prepared in threads while the one before is written.
                ahead = asyncio.get_running_loop().run_in_executor(
                    None, prepare, fresh, failed, len(read) - len(fresh), embedder, cut, shelves.sentence_vectors
                )
            if ready is not None:
                report = await _write(await ready, report, shelves=shelves, tenant=tenant, domain=domain, model=model)
                if progress is not None:
                    progress(replace(report, seconds=time.perf_counter() - began))
            if ahead is None:
                break
            ready, ahead = ahead, None
    finally:
        for future in (ready, ahead):
            if future is not None:
                future.cancel()
    if prune and all(failure.document in seen for failure in report.failed):
        report = replace(report, removed=await _prune(shelves, tenant, domain, seen))
    return replace(report, seconds=time.perf_counter() - began)


async def _write(
    batch: Batch, report: IngestReport, *, shelves: IngestShelves, tenant: str, domain: str, model: int | None
) -> IngestReport:
    """Write a batch, and count it in."""
    added = updated = passages = 0
    unchanged = batch.unchanged
    if batch.documents:
        async with shelves.writing(tenant, analysis=ANALYSIS) as writer:
            # Asked again under the lock: another ingest may have brought the same documents meanwhile.
            known = await writer.hashes([document.id for document in batch.documents])
            same = {document.id for document in batch.documents if known.get(document.id) == document.content_hash}
            new = batch.only({document.id for document in batch.documents} - same) if same else batch
            if new.documents:
                replaced = [document.id for document in new.documents if document.id in known]
                if replaced:
                    await writer.remove(replaced)
                packed = await asyncio.to_thread(pack, new.terms)
                await writer.add(
                    *(new.documents, new.passages, packed),
                    domain=domain,
                    vectors=new.vectors,
                    sentences=new.sentences,
                    model=model,
                )
                await writer.changed()
                added, updated, passages = len(new.documents) - len(replaced), len(replaced), len(new.passages)
            unchanged += len(same)
        await keep_up(shelves, tenant)
    return replace(
        report,
        added=report.added + added,
        updated=report.updated + updated,
        unchanged=report.unchanged + unchanged,
        passages=report.passages + passages,
        failed=report.failed + batch.failed,
    )


async def _prune(shelves: IngestShelves, tenant: str, domain: str, seen: Container[str]) -> int:
    """Take out the domain's documents that were not seen."""
    async with shelves.writing(tenant, analysis=ANALYSIS) as writer:
        gone: list[str] = []
        after = ""
        while page := await writer.documents(domains=[domain], after=after, limit=1_000):
            gone += [entry.id for entry in page if entry.id not in seen]
            after = page[-1].id
        removed = await writer.remove(gone) if gone else 0
        if removed:
            await writer.changed()
    await keep_up(shelves, tenant)
    return removed


async def embed_missing(
    *, shelves: IngestShelves, tenant: str, embedder: Embedder, progress: Callable[[int], None] | None = None
) -> int:
    """Embed the passages that have no vector of *embedder*'s model, as after a change of models, or none of their
    sentences where the shelves keep those; returns how many.

    Passages can be found by meaning as they are done. Running it again goes on from there.

    :raises RetrievalError: the embedder failed.
    :raises StoreError: the database failed.
    """
    model = await _registered(embedder, shelves, tenant)
    done, after = 0, -1
    while True:
        async with shelves.reading(tenant) as reader:
            rows = await reader.unembedded(model=model, sentences=shelves.sentence_vectors, after=after, limit=AT_ONCE)
        if not rows:
            return done
        whole = [row for row in rows if not row.vector]
        parts = [row for row in rows if not row.sentences] if shelves.sentence_vectors else []
        texts = [searched(row.title, row.text) for row in whole]
        vectors = np.asarray(await asyncio.to_thread(embedder.embed, texts), np.float32) if texts else None
        packed = await asyncio.to_thread(embed_packed, embedder, [row.text for row in parts])
        async with shelves.writing(tenant, analysis=ANALYSIS) as writer:
            if vectors is not None:
                await writer.add_vectors([(row.ordinal, row.domain) for row in whole], vectors, model=model)
                await writer.changed()
            await writer.add_sentences([row.ordinal for row in parts], packed, model=model)
        done, after = done + len(rows), rows[-1].ordinal
        if progress is not None:
            progress(done)


async def _registered(embedder: Embedder, shelves: IngestShelves, tenant: str) -> int:
    async with shelves.reading(tenant) as reader:
        known = await reader.model(embedder.model, embedder.dimensions)
    return known if known is not None else await shelves.register(embedder.model, embedder.dimensions)
