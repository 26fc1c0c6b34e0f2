"""The library: search by words and by meaning at once, over documents that are kept in the store.

A search asks both indexes for their best *depth* passages, the lexical one (BM25) while the query is being
embedded, fuses the two rankings by reciprocal rank, and compares the first of them again by a small linear model.
Without an embedder, or without vectors of its model, it is lexical alone, and its Evidence says so.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vital_engine.errors import ConfigError, InvalidQuestion, NotFound, ServiceError
from vital_engine.nouns import Evidence, Passage, Scope
from vital_engine.nouns.stored import Catalogue, Counts, DocumentEntry, StoredDocument
from vital_engine.ports import Embedder
from vital_engine.text.words import ANALYSIS, terms

from . import rerank
from .lexical import CACHE_BYTES, Found, LexicalIndex, LexicalReader, UpkeepWriter, keep_up
from .rerank import fuse
from .sentence_vectors import SentenceVectors

__all__ = ["Library", "Ranking"]

ATTEMPTS = 5
"""Searches that are made anew, each, because a document was changed between ranking and reading it."""

LONGEST_QUERY = 20_000
"""Characters of a query that are read; far more than any embedder does."""


Ranked = tuple[int, float, dict[str, float]]
"""A passage's ordinal, its score, and what that was made of."""


class LibraryStatus(Counts):
    """The same, and the name of the present model; None: it searches by words only."""

    model: str | None


class LibraryReader(LexicalReader, Protocol):
    """What the library reads of the store, in one transaction of one tenant."""

    async def model(self, name: str, dimensions: int) -> int | None:
        """The number of the embedding model *name*; None: it is not registered."""

    async def version(self) -> int:
        """The version of the index."""

    async def nearest(
        self, vector: Sequence[float], *, model: int, domains: Sequence[str] = (), limit: int, exact: bool
    ) -> list[tuple[int, float]]:
        """The passages nearest to *vector*: (ordinal, cosine), best first.

        :param exact: compare with every vector in scope, instead of using the approximate index.
        """

    async def cosines(self, vector: Sequence[float], *, model: int, ordinals: Sequence[int]) -> dict[int, float]:
        """Ordinal -> cosine with *vector*, of those of *ordinals* that have a vector."""

    async def passages(
        self, ordinals: Sequence[int], *, model: int | None = None
    ) -> dict[int, tuple[Passage, bytes | None]]:
        """Ordinal -> passage and its packed sentence vectors, of those that still exist."""

    async def document(self, document: str) -> StoredDocument | None:
        """The document of that id; None if there is none."""

    async def documents(
        self, *, domains: Sequence[str] = (), after: str = "", limit: int = 100
    ) -> tuple[DocumentEntry, ...]:
        """A page of the list of documents, ordered by id, from the one behind *after*."""

    async def counts(self, *, model: int | None) -> Counts:
        """Numbers of documents, passages, vectors and segments, and the version."""


class LibraryWriter(LibraryReader, UpkeepWriter, Protocol):
    """What the library writes to the store, in one transaction of one tenant."""

    async def remove(self, documents: Sequence[str]) -> int:
        """Delete *documents*.

        :returns: how many there were.
        """

    async def changed(self) -> int:
        """Increase the version of the index, and return it."""


class Shelves(Protocol):
    """The store as the library needs it: ``vital_engine.store.Knowledge`` implements it."""

    def reading(self, tenant: str) -> AbstractAsyncContextManager[LibraryReader]:
        """A read transaction of *tenant*."""

    def writing(self, tenant: str, *, analysis: str) -> AbstractAsyncContextManager[LibraryWriter]:
        """A write transaction of *tenant*, under the lock of its library."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How passages are ranked.

    :param depth: passages that each index contributes.
    :param exact_below: up to so many passages in scope are compared with the query one by one, which is exact and
        no slower than the approximate index; that one takes over where the scope is larger.
    :param lexical: the weight of the ranking by words; more suits regulatory text.
    :param dense: the weight of the ranking by meaning; more suits questions in lay words.
    :param compared: so many of the first (or all that are wanted, if more) are put in order by the linear model
        (:mod:`.rerank`), which knows no weights; 0: all stay in the order of fusion.
    """

    depth: int = 100
    exact_below: int = 10_000
    lexical: float = 1.0
    dense: float = 1.0
    compared: int = 30

    def __post_init__(self) -> None:
        if self.depth < 1 or min(self.exact_below, self.lexical, self.dense, self.compared) < 0:
            raise ConfigError(f"a ranking needs a positive depth and no negative figure: {self}")


class Library:
    """Fulfils :class:`vital_engine.ports.Retriever`. One for all tenants of a process, used from one event loop.

    :param cache_bytes: memory for the decoded lexical index.
    :param sentences: is primed with what was kept at ingest of the passages that a search returns.
    :raises ConfigError: *sentences* are of another model than *embedder*.
    """

    def __init__(
        self,
        shelves: Shelves,
        embedder: Embedder | None = None,
        *,
        ranking: Ranking | None = None,
        cache_bytes: int = CACHE_BYTES,
        sentences: SentenceVectors | None = None,
    ) -> None:
        if sentences is not None and (embedder is None or sentences.model != embedder.model):
            raise ConfigError(f"sentences of {sentences.model} beside passages of {embedder and embedder.model}")
        self._shelves = shelves
        self._embedder = embedder
        self._ranking = ranking or Ranking()
        self._lexical = LexicalIndex(cache_bytes=cache_bytes)
        self._sentences = sentences
        self._model: int | None = None

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        """The *k* best passages for *query* in the scope's tenant and domains (none named: all).

        ``Passage.score`` falls along the passages and compares them within this search only: the linear model's,
        0 to 1, or, where it was not asked, that of fusion. ``scores`` hold what it was made of: "bm25" and "dense"
        (cosine), "bm25_rank" and "dense_rank" (from 1, only where that index had the passage among its best),
        "fused", and of the model "coverage" of the query (0 to 1) and "relevance" (log-odds).

        :raises InvalidQuestion: *k* is less than 1.
        :raises StoreError: the database failed.
        """
        if k < 1:
            raise InvalidQuestion(f"k must be at least 1, not {k}")
        query = query[:LONGEST_QUERY]
        # A future, not a task: the model's thread works while this coroutine reads the lexical index.
        vector = (
            asyncio.get_running_loop().run_in_executor(None, self._embedder.embed, [query])
            if self._embedder is not None and query.strip()
            else None
        )
        try:
            async with self._shelves.reading(scope.tenant) as reader:
                for _ in range(ATTEMPTS):
                    words = await self._lexical.search(
                        reader, terms(query), domains=scope.domains, depth=self._ranking.depth
                    )
                    near, note = await self._nearest(reader, vector, words.catalogue, scope)
                    ranked = self._fused(words, near)
                    if near and vector is not None and self._ranking.compared:
                        ranked = await self._compared(
                            reader, ranked[: max(k, self._ranking.compared)], words, vector.result()[0]
                        )
                    found, whole = await self._passages(reader, ranked[:k])
                    if whole:
                        break
        finally:
            if vector is not None and not vector.cancel() and not vector.cancelled():
                vector.exception()  # looked at: what it says after another error is of no more use
        model = "" if note or self._embedder is None else self._embedder.model
        return Evidence(found, index_version=f"{words.catalogue.version}/{model}", notes=(note,) if note else ())

    async def version(self, *, scope: Scope) -> str:
        """The version of the index that :meth:`search` would search now, as Evidence without notes names it."""
        async with self._shelves.reading(scope.tenant) as reader:
            return f"{await reader.version()}/{self._embedder.model if self._embedder is not None else ''}"

    async def _nearest(
        self, reader: LibraryReader, vector: asyncio.Future[Any] | None, catalogue: Catalogue, scope: Scope
    ) -> tuple[list[tuple[int, float]], str]:
        """What is near in meaning, and a note if there are no vectors to compare."""
        if self._embedder is None:
            return [], "words only: there is no embedding model"
        if vector is None or not catalogue.segments:
            return [], ""
        if self._model is None:
            self._model = await reader.model(self._embedder.model, self._embedder.dimensions)
        if self._model is None:
            return [], f"words only: no document was embedded by {self._embedder.model}"
        try:
            (row,) = await vector
        except ServiceError as error:
            return [], f"words only: the embedding model failed ({error.code})"
        size = sum(segment.passages for segment in catalogue.segments)
        near = await reader.nearest(
            row,
            model=self._model,
            domains=scope.domains,
            limit=self._ranking.depth,
            exact=size <= self._ranking.exact_below,
        )
        return near, ""

    def _fused(self, words: Found, near: Sequence[tuple[int, float]]) -> list[Ranked]:
        rankings = {"bm25": words.ranking.as_dict(), "dense": dict(near)}
        weights = {"bm25": self._ranking.lexical, "dense": self._ranking.dense}
        fused = fuse({name: list(ranking) for name, ranking in rankings.items()}, weights=weights)
        scores: dict[int, dict[str, float]] = {}
        for name, ranking in rankings.items():
            for rank, (ordinal, score) in enumerate(ranking.items(), 1):
                scores.setdefault(ordinal, {}).update({name: score, f"{name}_rank": float(rank)})
        return [(ordinal, score, {**scores[ordinal], "fused": score}) for ordinal, score in fused]

    async def _compared(
        self, reader: LibraryReader, ranked: Sequence[Ranked], words: Found, vector: Sequence[float]
    ) -> list[Ranked]:
        """*ranked* in the order of the linear model, by what both indexes say of each."""
        ordinals = [ordinal for ordinal, _, _ in ranked]
        unknown = [ordinal for ordinal, _, scores in ranked if "dense" not in scores]
        cosines: dict[int, float] = {}
        if unknown and self._model is not None:
            cosines = await reader.cosines(vector, model=self._model, ordinals=unknown)
        bm25, coverage = await words.examine(ordinals)
        # A passage without a vector is taken for one that is as far as the farthest known.
        farthest = min([*cosines.values(), *(scores["dense"] for _, _, scores in ranked if "dense" in scores)])
        known: list[dict[str, float]] = []
        rows: list[list[float]] = []
        for (ordinal, _, scores), word, share in zip(ranked, bm25, coverage, strict=True):
            cosine = scores.get("dense", cosines.get(ordinal))
            known.append({**scores, "bm25": word, "coverage": share} | ({} if cosine is None else {"dense": cosine}))
            rows.append([word, farthest if cosine is None else cosine, share])
        relevance = rerank.scores(rows)
        again = [
            (ordinal, 1 / (1 + math.exp(-odds)), {**scores, "relevance": odds})
            for ordinal, scores, odds in zip(ordinals, known, relevance, strict=True)
        ]
        return sorted(again, key=lambda found: -found[1])

    async def _passages(self, reader: LibraryReader, ranked: Sequence[Ranked]) -> tuple[tuple[Passage, ...], bool]:
        """The passages that were ranked, and whether all of them were still there."""
        model = self._model if self._sentences is not None else None
        kept = await reader.passages([ordinal for ordinal, _, _ in ranked], model=model) if ranked else {}
        if self._sentences is not None:
            for passage, packed in kept.values():
                if packed is not None:
                    self._sentences.prime(passage, packed)
        found = tuple(
            replace(kept[ordinal][0], score=score, scores=of) for ordinal, score, of in ranked if ordinal in kept
        )
        return found, len(found) == len(ranked)

    @property
    def cached_bytes(self) -> int:
        """Memory that the decoded lexical index takes at present."""
        return self._lexical.cached_bytes

    async def document(self, document: str, *, scope: Scope) -> StoredDocument:
        """A document with its text.

        :param document: its id.
        :param scope: tenant and domains.
        :raises NotFound: the scope holds no such document.
        """
        async with self._shelves.reading(scope.tenant) as reader:
            return await _document(reader, document, scope)

    async def document_text(self, document: str, *, scope: Scope) -> str:
        """The text of a document, which the offsets of passages and quotes refer to.

        :param document: its id.
        :param scope: tenant and domains.
        :raises NotFound: the scope holds no such document.
        """
        return (await self.document(document, scope=scope)).text

    async def documents(self, *, scope: Scope, after: str = "", limit: int = 100) -> tuple[DocumentEntry, ...]:
        """A page of the list of documents, ordered by id, from the one behind the id *after* on."""
        async with self._shelves.reading(scope.tenant) as reader:
            return await reader.documents(domains=scope.domains, after=after, limit=limit)

    async def delete(self, document: str, *, scope: Scope) -> None:
        """Delete a document from the store and from both indexes.

        :param document: its id.
        :param scope: tenant and domains.
        :raises NotFound: the scope holds no such document.
        """
        async with self._shelves.writing(scope.tenant, analysis=ANALYSIS) as writer:
            await _document(writer, document, scope)
            await writer.remove([document])
            await writer.changed()
        await keep_up(self._shelves, scope.tenant)

    async def status(self, *, scope: Scope) -> LibraryStatus:
        """Documents, passages, vectors of the present model, segments, version; and "model", None without one."""
        async with self._shelves.reading(scope.tenant) as reader:
            embedder, model = self._embedder, None
            if embedder is not None:
                model = await reader.model(embedder.model, embedder.dimensions)
            return LibraryStatus(
                **await reader.counts(model=model), model=embedder.model if embedder is not None else None
            )


async def _document(reader: LibraryReader, document: str, scope: Scope) -> StoredDocument:
    found = await reader.document(document)
    if found is None or (scope.domains and found.domain not in scope.domains):
        raise NotFound(f"there is no document {document!r}")
    return found
