"""Ports fulfilled by another one of their kind, and by what that gave before: searches, suggestions, embeddings.

* Evidence, for the same query, of the same tenant and domains, in the same version of the index. The version is asked
  for with every search, so that a document which was taken in or deleted, here or by another process, is seen by the
  next question. That costs one small read; what it saves is the search.
* Tool calls that were read out of the same question before, for the same expert, while the tools were the same.
* Vectors of questions: one question is embedded once, though the roster, the search and the tools each ask for it.
* Vectors of texts that rarely change, on disk: a new process need not embed its experts and tools again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.nouns import Brief, Evidence, Question, Scope, ToolCall, ToolSuggestions
from vital_engine.nouns.provenance import marked
from vital_engine.ports import Embedder

from .cache import Cache, Count, LRUCache, uncounted

__all__ = [
    "CachedEmbedder",
    "CachedRetriever",
    "CachedToolSuggester",
    "Defined",
    "KeptVectors",
    "MenuKey",
    "RetrievalKey",
    "Versioned",
]

RetrievalKey = tuple[str, tuple[str, ...], str, int, str]
"""Tenant, domains, query, k, version of the index. Who the user is decides nothing in a search."""


class Versioned(Protocol):
    """A retriever over an index that counts its changes: :class:`~vital_engine.services.retrieval.library.Library`."""

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        """See :meth:`vital_engine.ports.Retriever.search`."""

    async def version(self, *, scope: Scope) -> str:
        """Of the index that the scope's tenant searches now: another after each change that a search could show."""
        ...


class CachedRetriever:
    """Fulfils :class:`vital_engine.ports.Retriever` by another one. What it found before is marked as ``cached``."""

    def __init__(self, retriever: Versioned, cache: Cache[RetrievalKey, Evidence]) -> None:
        self._retriever, self._cache = retriever, cache

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        """As the retriever beneath; raises what that raises. Evidence with notes, or of a failure, is not kept."""
        version = await self._retriever.version(scope=scope)
        key = (scope.tenant, tuple(sorted(set(scope.domains))), query, k, version)
        found, outcome = await self._cache.get(
            key, lambda: self._retriever.search(query, k=k, scope=scope), keep=lambda e: not (e.failed or e.notes)
        )
        return found if outcome == "miss" else replace(found, cached=True)


MenuKey = tuple[str, str, tuple[str, ...], str, str]
"""Tenant, expert, the expert's tools, text of the question, definitions of the tools that exist."""


class Defined(Protocol):
    """A suggester whose tools are known by their definitions: :class:`~vital_engine.services.tools.Toolbox`."""

    @property
    def definitions(self) -> str:
        """A hash of all tools, as they may be proposed now."""
        ...

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """See :meth:`vital_engine.ports.ToolSuggester.suggest`."""

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        """The same call, proposed in *question*'s turn: with an id of its own."""
        ...


class CachedToolSuggester:
    """Fulfils :class:`vital_engine.ports.ToolSuggester` by another one. What it knew before is marked as ``cached``.

    A call's id is that of the turn which it is proposed in, known or not: what a person approved is never approved again
    by being known.
    """

    def __init__(self, tool_suggester: Defined, cache: Cache[MenuKey, ToolSuggestions]) -> None:
        self._suggester, self._cache = tool_suggester, cache

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """As the suggester beneath; raises what that raises. A menu of a failure is not kept."""
        expert = brief.expert
        key = (question.tenant, expert.id, expert.tools, question.text, self._suggester.definitions)

        async def suggest() -> ToolSuggestions:
            # Marked before they are kept: what they were read from is not known later.
            return marked(await self._suggester.suggest(question, brief), question)

        suggestions, outcome = await self._cache.get(key, suggest, keep=lambda suggestions: not suggestions.failed)
        if outcome == "miss":
            return suggestions
        again = tuple(self._suggester.renewed(tool_call, question) for tool_call in suggestions.tool_calls)
        return replace(suggestions, tool_calls=again, cached=True, calls=())  # they were paid for once


Row = NDArray[np.float32]


class CachedEmbedder:
    """Fulfils :class:`vital_engine.ports.Embedder` by another one, and keeps what that gave for a single text.

    A single text is a question; several at once are documents, profiles or sentences, and are passed on. Safe between
    threads: who asks for a text that another thread is embedding waits for that one.

    :param entries: vectors kept, of about 1.5 KB each for 384 dimensions, beside their texts.
    """

    def __init__(self, embedder: Embedder, *, entries: int, count: Count = uncounted) -> None:
        self._embedder, self._count = embedder, count
        self.model, self.dimensions = embedder.model, embedder.dimensions
        self._kept: LRUCache[tuple[str, str], Row] = LRUCache(entries=entries)
        self._flights: dict[tuple[str, str], Future[Row]] = {}
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Row:
        """Unit vectors ``[n, dimensions]``, float32; those of a single text are read-only. Blocks."""
        if len(texts) != 1:
            return np.asarray(self._embedder.embed(texts), np.float32)
        key = (self.model, texts[0])
        with self._lock:
            known, flight = self._kept.get(key), self._flights.get(key)
            mine = known is None and flight is None
            if mine:
                flight = self._flights[key] = Future()
        if known is not None:
            self._count("hit")
            return known
        assert flight is not None
        if not mine:
            self._count("shared")
            return flight.result()
        self._count("miss")
        return self._made(key, texts, flight)

    def _made(self, key: tuple[str, str], texts: Sequence[str], flight: Future[Row]) -> Row:
        try:
            row = np.array(self._embedder.embed(texts), np.float32)
        except BaseException as error:
            with self._lock:
                del self._flights[key]
            flight.set_exception(error)
            raise
        row.flags.writeable = False  # it is everybody's
        with self._lock:
            self._kept.put(key, row)
            del self._flights[key]
        flight.set_result(row)
        return row


MOST = 64
"""Files kept; beyond that the one that was used least recently goes."""

log = logging.getLogger("vital_engine.retrieval")


class KeptVectors:
    """Fulfils :class:`~vital_engine.ports.Embedder` by another one, and keeps what it gave for a list of texts.

    A single text is a question: it is passed on, and nothing of it is kept. A file holds vectors alone, under a hash of
    the model and the texts. What cannot be read or written is embedded again: a full disk costs time and no answer.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder, self._folder = embedder, folder
        self.model, self.dimensions = embedder.model, embedder.dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors ``[n, dimensions]``, as the embedder gives them. Blocks."""
        if len(texts) < 2:
            return np.asarray(self._embedder.embed(texts), np.float32)
        path = self._folder / f"{self._key(texts)}.npy"
        try:
            vectors = np.load(path, allow_pickle=False)
            if vectors.shape == (len(texts), self.dimensions) and vectors.dtype == np.float32:
                os.utime(path)
                return np.asarray(vectors, np.float32)
        except (OSError, ValueError, EOFError):
            pass
        vectors = np.asarray(self._embedder.embed(texts), np.float32)
        self._keep(path, vectors)
        return vectors

    def _key(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(self.model.encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    def _keep(self, path: Path, vectors: NDArray[np.float32]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
                np.save(file, vectors, allow_pickle=False)
            Path(file.name).replace(path)
            kept = sorted(self._folder.glob("*.npy"), key=lambda p: p.stat().st_mtime, reverse=True)
            for old in kept[MOST:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("vectors are not kept: %s", error.strerror)
