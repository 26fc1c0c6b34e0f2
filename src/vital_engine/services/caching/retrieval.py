"""Evidence that was found before: for the same query, of the same tenant and domains, in the same version of the index.

The version is asked for with every search, so that a document which was taken in or deleted, here or by another process,
is seen by the next question. That costs one small read; what it saves is the search.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from vital_engine.nouns import Evidence, Scope

from .cache import Cache

__all__ = ["CachedRetriever", "Key", "Versioned"]

Key = tuple[str, tuple[str, ...], str, int, str]
"""Tenant, domains, query, k, version of the index. Who the user is decides nothing in a search."""


class Versioned(Protocol):
    """A retriever over an index that counts its changes: :class:`~vital_engine.services.retrieval.library.Library`."""

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence: ...

    async def version(self, *, scope: Scope) -> str:
        """Of the index that the scope's tenant searches now: another after each change that a search could show."""
        ...


class CachedRetriever:
    """Fulfils :class:`vital_engine.ports.Retriever` by another one. What it found before is marked as ``cached``."""

    def __init__(self, retriever: Versioned, cache: Cache[Key, Evidence]) -> None:
        self._retriever, self._cache = retriever, cache

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        """As the retriever beneath; raises what that raises. Evidence with notes, or of a failure, is not kept."""
        version = await self._retriever.version(scope=scope)
        key = (scope.tenant, tuple(sorted(set(scope.domains))), query, k, version)
        found, outcome = await self._cache.get(
            key, lambda: self._retriever.search(query, k=k, scope=scope), keep=lambda e: not (e.failed or e.notes)
        )
        return found if outcome == "miss" else replace(found, cached=True)
