"""Searching the lexical index that the store keeps: what to fetch, what to remember, whom to ask again.

A segment never changes, so what was read of it stays right for as long as it is named in the catalogue; the
catalogue, read anew by every search, is the only thing that can be out of date, and it is one row per segment.
So replicas share nothing but the database. A cold query reads the postings of its terms, a warm one nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import RetrievalError
from vital_engine.nouns.stored import Catalogue

from .lexical import Postings, Ranking, Segment, examine, rank, slots_of_dead, unpack, unpack_lengths

__all__ = ["Found", "LexicalIndex", "LexicalReader"]

CACHE_BYTES = 256 * 2**20
ENTRY_BYTES = 200
"""What an entry costs beside its arrays."""

MOST_TERMS = 256
"""Distinct terms of a query that count, in its order: a pasted document is cut, a question never is."""

ATTEMPTS = 5


class LexicalReader(Protocol):
    """What the index needs of the store, in one transaction of one tenant."""

    tenant: str

    async def catalogue(self, domains: Sequence[str] = ()) -> Catalogue: ...

    async def lexical(
        self, segments: Sequence[int], *, lengths: Sequence[int], postings: Mapping[int, Sequence[str]]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None: ...


Key = tuple[str, int, str]
"""Tenant, segment and term; the term "" for the lengths."""

Pair = tuple[NDArray[Any], NDArray[Any]]
"""Ordinals and lengths of a segment, or slots and frequencies of a term in it."""

NOWHERE: Pair = (np.empty(0, np.int32), np.empty(0, np.uint8))


@dataclass(frozen=True, slots=True)
class Found:
    """A ranking, the catalogue as of which it holds, and what it was made of."""

    catalogue: Catalogue
    ranking: Ranking = Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
    query: Sequence[str] = ()
    segments: Sequence[Segment] = ()

    async def examine(self, ordinals: Sequence[int]) -> tuple[list[float], list[float]]:
        """BM25 score and coverage of any passages, see :func:`.lexical.examine`."""
        scores, coverage = await asyncio.to_thread(examine, self.query, self.segments, ordinals)
        return scores.tolist(), coverage.tolist()


class LexicalIndex:
    """BM25 search over the segments in the store, for all tenants of one process. Used from one event loop.

    :param cache_bytes: how much of the decoded index may be kept in memory.
    """

    def __init__(self, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._budget = cache_bytes
        self._held: OrderedDict[Key, Pair] = OrderedDict()
        self.cached_bytes = 0

    async def search(self, reader: LexicalReader, terms: Sequence[str], *, domains: Sequence[str], depth: int) -> Found:
        """The *depth* best passages for *terms*.

        :raises RetrievalError: segments were merged faster than they could be read.
        """
        kept = list(dict.fromkeys(terms))[:MOST_TERMS]
        query = [term for term in terms if term in set(kept)] if len(kept) == MOST_TERMS else list(terms)
        for _ in range(ATTEMPTS):
            catalogue = await reader.catalogue(domains)
            if not catalogue.segments or not query:
                return Found(catalogue)
            fetched = await self._fetch(reader, catalogue, kept)
            if fetched is not None:
                # What the cache holds now is kept hold of: it may be dropped from there before it is used.
                held = {key: self._held[key] for key in self._keys(reader.tenant, catalogue, kept) if key in self._held}
                ranking, segments, decoded = await asyncio.to_thread(
                    _rank, reader.tenant, query, kept, catalogue, held, fetched, depth
                )
                self._keep(held, decoded)
                return Found(catalogue, ranking, query, segments)
        raise RetrievalError("the lexical index changed during every attempt", service="store", retryable=True)

    def _keys(self, tenant: str, catalogue: Catalogue, terms: Sequence[str]) -> list[Key]:
        return [(tenant, segment.id, term) for segment in catalogue.segments for term in ("", *terms)]

    async def _fetch(
        self, reader: LexicalReader, catalogue: Catalogue, terms: Sequence[str]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None:
        lengths: list[int] = []
        postings: dict[int, list[str]] = {}
        for _, segment, term in self._keys(reader.tenant, catalogue, terms):
            if (reader.tenant, segment, term) in self._held:
                continue
            if term:
                postings.setdefault(segment, []).append(term)
            else:
                lengths.append(segment)
        if not lengths and not postings:
            return {}, {}
        return await reader.lexical(sorted({*lengths, *postings}), lengths=lengths, postings=postings)

    def _keep(self, used: Mapping[Key, object], decoded: Mapping[Key, Pair]) -> None:
        for key in used:
            if key in self._held:
                self._held.move_to_end(key)
        for key, value in decoded.items():
            if key not in self._held:
                self._held[key] = value
                self.cached_bytes += _size(value)
        while self.cached_bytes > self._budget:
            _, value = self._held.popitem(last=False)
            self.cached_bytes -= _size(value)


def _rank(
    tenant: str,
    query: Sequence[str],
    terms: Sequence[str],
    catalogue: Catalogue,
    held: Mapping[Key, Pair],
    fetched: tuple[Mapping[int, bytes], Mapping[tuple[int, str], bytes]],
    depth: int,
) -> tuple[Ranking, list[Segment], dict[Key, Pair]]:
    """The ranking, the segments, and what was decoded for them. Runs in a thread: it is all computation."""
    lengths, postings = fetched
    decoded: dict[Key, Pair] = {}
    dead = np.frombuffer(catalogue.dead, "<u4")
    segments = []
    for entry in catalogue.segments:
        key = (tenant, entry.id, "")
        ordinals, sizes = decoded[key] = held[key] if key in held else unpack_lengths(lengths[entry.id])
        found: dict[str, Postings] = {}
        for term in terms:
            key = (tenant, entry.id, term)
            packed = postings.get((entry.id, term))
            decoded[key] = held[key] if key in held else unpack(packed, ordinals) if packed else NOWHERE
            if len(decoded[key][0]):
                found[term] = Postings(*decoded[key])
        segments.append(Segment(ordinals, sizes, found, slots_of_dead(dead, ordinals)))
    return rank(query, segments, depth), segments, decoded


def _size(value: Pair) -> int:
    return value[0].nbytes + value[1].nbytes + ENTRY_BYTES
