"""BM25 over immutable segments: packed, read and scored; searched in the store; and kept in few pieces.

A segment is what one batch of an ingest adds, as in Lucene: the passages' ordinals and lengths, and for each
term its postings. Records of fixed size, ascending by ordinal, so that two neighbouring segments merge by
putting their bytes one after the other, which the database does by itself. Ordinals are given once per tenant
and never again, so a deletion is an ordinal in a list of the dead until a compaction takes it out.

Scores are Lucene's BM25 (Robertson and Zaragoza 2009; variant "lucene" of Kamphuis et al. 2020, the default of
``bm25s``), with statistics of the live passages in scope only: another tenant, another domain or a deleted
passage changes nothing. The best are found without scoring every posting (MaxScore, Turtle and Flood 1995): once
the sum of what the remaining, commoner terms could add is less than the score of the last rank wanted, they are
looked up for the passages that still can win, and for no other. The result is exact. All this is pure; the store
keeps the bytes.

Searching (:class:`LexicalIndex`): a segment never changes, so what was read of it stays right for as long as it is
named in the catalogue; the catalogue, read anew by every search, is the only thing that can be out of date, and it is
one row per segment. So replicas share nothing but the database. A cold query reads the postings of its terms, a warm
one nothing.

Upkeep (:func:`keep_up`): which segments to merge, and when to take the dead out. Neither changes what a search finds.
Merging is tiered, as in Lucene: a passage is rewritten about as often as the index has grown eightfold, and a segment
that has reached :data:`LARGEST` never again.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import RetrievalError
from vital_engine.nouns.stored import Catalogue, LexicalSegment
from vital_engine.services.caching.cache import LRUCache
from vital_engine.text.words import ANALYSIS

__all__ = [
    "FEWEST",
    "LENGTH",
    "POSTING",
    "Found",
    "LexicalIndex",
    "LexicalRanking",
    "LexicalReader",
    "Packed",
    "Postings",
    "Segment",
    "UpkeepReader",
    "UpkeepWriter",
    "alive",
    "examine",
    "keep_up",
    "pack",
    "rank",
    "slots_of_dead",
    "to_merge",
    "unpack",
    "unpack_lengths",
]

K1 = 1.5
B = 0.75
"""Term saturation and length normalisation: the usual values, those of ``bm25s``."""

POSTING = np.dtype([("ordinal", "<u4"), ("frequency", "u1")])
LENGTH = np.dtype([("ordinal", "<u4"), ("length", "<u4")])
MOST_FREQUENT = 255
"""Frequencies saturate here: a term is worth 0.99 of its limit by then, and a passage of usual size holds fewer."""


@dataclass(frozen=True, slots=True)
class Postings:
    """Where a term stands in a segment: *slots* (places in the segment, ascending) and *frequencies* there."""

    slots: NDArray[np.int32]
    frequencies: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment made ready for one query: passages by slot, those that are dead, and the query's terms."""

    ordinals: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    postings: Mapping[str, Postings]
    dead: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class LexicalRanking:
    """Ordinals, best first, with their scores; equal scores in the order of ordinals."""

    ordinals: NDArray[np.int64]
    scores: NDArray[np.float32]

    def as_dict(self) -> dict[int, float]:
        """Scores by ordinal, best first."""
        return dict(zip(self.ordinals.tolist(), self.scores.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Packed:
    """A segment to be: its *terms*, sorted; *records* of all of them, one after the other; where each begins."""

    terms: tuple[str, ...]
    records: NDArray[np.void]
    begins: NDArray[np.intp]
    lengths: NDArray[np.uint32]

    def lengths_at(self, first: int) -> bytes:
        """The length of each passage in terms, with its ordinal, if the ordinals begin with *first*."""
        packed = np.empty(len(self.lengths), LENGTH)
        packed["ordinal"] = np.arange(first, first + len(self.lengths))
        packed["length"] = self.lengths
        return packed.tobytes()

    def postings_at(self, first: int) -> Iterator[tuple[str, bytes]]:
        """Each term with its postings, if the ordinals begin with *first*."""
        records = self.records.copy()
        records["ordinal"] += np.uint32(first)
        for term, begin, end in zip(self.terms, self.begins[:-1], self.begins[1:], strict=True):
            yield term, records[begin:end].tobytes()


Part = tuple[Segment, int, NDArray[np.int32]]
"""Some slots of a segment, and the place of the first of them in the whole that they are part of."""


def pack(passages: Sequence[Sequence[str]]) -> Packed:
    """The postings of *passages*, each a list of terms, with the ordinals 0, 1, 2 ... until their first is known."""
    places: dict[str, list[tuple[int, int]]] = {}
    for ordinal, terms in enumerate(passages):
        for term, frequency in Counter(terms).items():
            places.setdefault(term, []).append((ordinal, min(frequency, MOST_FREQUENT)))
    sizes = [len(places[term]) for term in sorted(places)]
    return Packed(
        terms=tuple(sorted(places)),
        records=np.array([place for term in sorted(places) for place in places[term]], POSTING),
        begins=np.cumsum([0, *sizes]),
        lengths=np.array([len(terms) for terms in passages], np.uint32),
    )


def unpack_lengths(packed: bytes) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Ordinals and lengths by slot."""
    records = np.frombuffer(packed, LENGTH)
    return records["ordinal"].copy(), records["length"].copy()


def unpack(packed: bytes, ordinals: NDArray[np.uint32]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Slots and frequencies of a term in a segment whose passages are *ordinals*, by slot."""
    records = np.frombuffer(packed, POSTING)
    return (_slots(records["ordinal"], ordinals), records["frequency"].copy())


def alive(packed: bytes, dead: NDArray[np.uint32], kind: np.dtype[np.void]) -> bytes:
    """The records of *packed* (POSTING or LENGTH) without those of the *dead* ordinals."""
    records = np.frombuffer(packed, kind)
    return records[~np.isin(records["ordinal"], dead)].tobytes()


def _slots(wanted: NDArray[np.uint32], ordinals: NDArray[np.uint32]) -> NDArray[np.int32]:
    if len(ordinals) and int(ordinals[-1]) - int(ordinals[0]) + 1 == len(ordinals):
        slots: NDArray[np.int32] = (wanted - ordinals[0]).astype(np.int32)
    else:
        slots = np.searchsorted(ordinals, wanted).astype(np.int32)
    return slots


def slots_of_dead(dead: NDArray[np.uint32], ordinals: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Those of the *dead* (ascending) that stand in a segment, as slots."""
    if not len(ordinals):
        return np.empty(0, np.intp)
    near = dead[np.searchsorted(dead, ordinals[0]) : np.searchsorted(dead, ordinals[-1], "right")]
    slots = np.searchsorted(ordinals, near)
    found: NDArray[np.intp] = slots[ordinals[slots] == near]
    return found


def rank(query: Sequence[str], segments: Sequence[Segment], depth: int) -> LexicalRanking:
    """The *depth* best passages for the terms of *query*; only those that hold at least one of them."""
    field = _Field(segments)
    weights = {term: count * field.idf(term) for term, count in Counter(query).items()}
    terms = sorted((t for t in weights if weights[t] > 0.0), key=lambda t: (-weights[t], t))
    left = sum(weights[term] for term in terms)
    pool: NDArray[np.intp] | None = None
    parts: list[Part] = []
    for term in terms:
        left -= weights[term]
        if pool is None:
            field.add(term, weights[term])
            pool = field.contenders(depth, left)
            parts = field.parts(pool) if pool is not None else []
        else:
            for places, gains in field.look_up(parts, term, weights[term]):
                field.scores[pool[places]] += gains
    return field.best(depth)


def examine(
    query: Sequence[str], segments: Sequence[Segment], ordinals: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The BM25 score of each of these passages, whatever its rank, and its coverage of the query: the idf of the
    terms that stand in it, over the idf of all that stand anywhere."""
    field = _Field(segments)
    wanted = np.asarray(ordinals, np.uint32)
    slots = np.full(len(wanted), -1, np.intp)
    for base, segment in zip(field.bases, field.segments, strict=False):
        near = np.minimum(np.searchsorted(segment.ordinals, wanted), len(segment.ordinals) - 1)
        here = segment.ordinals[near] == wanted
        slots[here] = base + near[here]
    order = np.argsort(slots)
    order = order[slots[order] >= 0]
    scores, held = np.zeros(len(wanted), np.float32), np.zeros(len(wanted), np.float32)
    parts, whole = field.parts(slots[order]), 0.0
    for term, count in Counter(query).items():
        idf = field.idf(term)
        whole += idf
        for places, gains in field.look_up(parts, term, count * idf):
            scores[order[places]] += gains
            held[order[places]] += np.float32(idf)
    return scores, held / np.float32(whole or 1.0)


class _Field:
    """All slots of all segments side by side, and their scores so far."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = [segment for segment in segments if len(segment.ordinals)]
        self.bases = np.cumsum([0] + [len(segment.ordinals) for segment in self.segments])
        self.scores = np.zeros(int(self.bases[-1]), np.float32)
        for base, segment in zip(self.bases, self.segments, strict=False):
            self.scores[base + segment.dead] = -np.inf  # whatever is added to it
        self.masks = [_mask(segment) for segment in self.segments]
        self.passages = sum(len(s.ordinals) - len(s.dead) for s in self.segments)
        tokens = sum(int(s.lengths.sum()) - int(s.lengths[s.dead].sum()) for s in self.segments)
        self.average = tokens / self.passages if self.passages else 0.0

    def idf(self, term: str) -> float:
        """Lucene's inverse document frequency; 0 for a term that no live passage holds."""
        holders = 0
        for segment, mask in zip(self.segments, self.masks, strict=True):
            found = segment.postings.get(term)
            if found is not None:
                holders += len(found.slots) - (int(mask[found.slots].sum()) if mask is not None else 0)
        return math.log(1 + (self.passages - holders + 0.5) / (holders + 0.5)) if holders else 0.0

    def add(self, term: str, weight: float) -> None:
        for segment, base in zip(self.segments, self.bases, strict=False):
            found = segment.postings.get(term)
            if found is not None:
                gains = self._gains(found.frequencies, segment.lengths[found.slots], weight)
                self.scores[base : base + len(segment.ordinals)][found.slots] += gains

    def parts(self, pool: NDArray[np.intp]) -> list[Part]:
        """The *pool* (slots of all segments, ascending) by segment."""
        cuts = np.searchsorted(pool, self.bases).tolist()
        return [
            (segment, first, (pool[first:last] - base).astype(np.int32))
            for segment, base, first, last in zip(self.segments, self.bases, cuts, cuts[1:], strict=False)
            if first < last
        ]

    def look_up(
        self, parts: Sequence[Part], term: str, weight: float
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Which of a pool hold *term*, as places in it, and what each gains by it."""
        for segment, first, wanted in parts:
            found = segment.postings.get(term)
            if found is None:
                continue
            near = np.searchsorted(found.slots, wanted)
            near[near == len(found.slots)] = 0
            hits = np.flatnonzero(found.slots[near] == wanted)
            if len(hits):
                yield first + hits, self._gains(found.frequencies[near[hits]], segment.lengths[wanted[hits]], weight)

    def _gains(self, frequencies: NDArray[np.uint8], lengths: NDArray[np.uint32], weight: float) -> NDArray[np.float32]:
        often, norms = frequencies.astype(np.float32), lengths.astype(np.float32)
        norms *= np.float32(K1 * B / self.average)
        norms += np.float32(K1 * (1 - B))
        norms += often
        often *= np.float32(weight)
        often /= norms
        return often

    def contenders(self, depth: int, left: float) -> NDArray[np.intp] | None:
        """The slots that can still be among the best, once no untouched one can; None while any could."""
        touched = np.flatnonzero(self.scores > 0.0)
        if len(touched) <= depth:
            return None
        held = self.scores[touched]
        bar = np.partition(held, len(held) - depth)[len(held) - depth]
        # Sums of float32 in another order differ in the last digits: the margin keeps the result exact.
        return touched[held + left * 1.0001 >= bar * 0.9999] if left * 1.001 < bar else None

    def best(self, depth: int) -> LexicalRanking:
        found = np.flatnonzero(self.scores > 0.0)
        scores = self.scores[found]
        if len(found) > depth:
            bar = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            found, scores = found[scores >= bar], scores[scores >= bar]
        numbers = np.searchsorted(self.bases, found, "right") - 1
        ordinals = np.empty(len(found), np.int64)
        for number, segment in enumerate(self.segments):
            here = numbers == number
            ordinals[here] = segment.ordinals[found[here] - self.bases[number]]
        order = np.lexsort((ordinals, -scores))[:depth]
        return LexicalRanking(ordinals[order], scores[order])


def _mask(segment: Segment) -> NDArray[np.bool_] | None:
    if not len(segment.dead):
        return None
    mask = np.zeros(len(segment.ordinals), np.bool_)
    mask[segment.dead] = True
    return mask


CACHE_BYTES = 256 * 2**20
ENTRY_BYTES = 200
"""What an entry costs beside its arrays."""

MOST_TERMS = 256
"""Distinct terms of a query that count, in its order: a pasted document is cut, a question never is."""

ATTEMPTS = 5


class LexicalReader(Protocol):
    """What the index needs of the store, in one transaction of one tenant."""

    tenant: str

    async def catalogue(self, domains: Sequence[str] = ()) -> Catalogue:
        """The segments of *domains* (empty: all), the version of the index, and the deleted ordinals."""

    async def lexical(
        self, segments: Sequence[int], *, lengths: Sequence[int], postings: Mapping[int, Sequence[str]]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None:
        """Packed lengths by segment, and packed postings by (segment, term).

        :returns: None if one of *segments* no longer exists.
        """


Key = tuple[str, int, str]
"""Tenant, segment and term; the term "" for the lengths."""

Pair = tuple[NDArray[Any], NDArray[Any]]
"""Ordinals and lengths of a segment, or slots and frequencies of a term in it."""

NOWHERE: Pair = (np.empty(0, np.int32), np.empty(0, np.uint8))


@dataclass(frozen=True, slots=True)
class Found:
    """A ranking, the catalogue as of which it holds, and what it was made of."""

    catalogue: Catalogue
    ranking: LexicalRanking = LexicalRanking(np.empty(0, np.int64), np.empty(0, np.float32))
    query: Sequence[str] = ()
    segments: Sequence[Segment] = ()

    async def examine(self, ordinals: Sequence[int]) -> tuple[list[float], list[float]]:
        """BM25 score and coverage of any passages, see :func:`examine`."""
        scores, coverage = await asyncio.to_thread(examine, self.query, self.segments, ordinals)
        return scores.tolist(), coverage.tolist()


class LexicalIndex:
    """BM25 search over the segments in the store, for all tenants of one process. Used from one event loop.

    :param cache_bytes: how much of the decoded index may be kept in memory.
    """

    def __init__(self, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._held: LRUCache[Key, Pair] = LRUCache(entries=cache_bytes, weigh=_size)

    @property
    def cached_bytes(self) -> int:
        """Memory of the decoded index, in bytes."""
        return self._held.weight

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
            keys = [(reader.tenant, segment.id, term) for segment in catalogue.segments for term in ("", *kept)]
            # What the cache holds now is kept hold of: another search may drop it from there while the rest is read.
            held = {key: pair for key in keys if (pair := self._held.get(key)) is not None}
            fetched = await _fetch(reader, [key for key in keys if key not in held])
            if fetched is not None:
                ranking, segments, decoded = await asyncio.to_thread(
                    _rank, reader.tenant, query, kept, catalogue, held, fetched, depth
                )
                for key, pair in decoded.items():
                    self._held.put(key, pair)
                return Found(catalogue, ranking, query, segments)
        raise RetrievalError("the lexical index changed during every attempt", service="store", retryable=True)


async def _fetch(
    reader: LexicalReader, keys: Sequence[Key]
) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None:
    lengths: list[int] = []
    postings: dict[int, list[str]] = {}
    for _, segment, term in keys:
        if term:
            postings.setdefault(segment, []).append(term)
        else:
            lengths.append(segment)
    if not lengths and not postings:
        return {}, {}
    return await reader.lexical(sorted({*lengths, *postings}), lengths=lengths, postings=postings)


def _rank(
    tenant: str,
    query: Sequence[str],
    terms: Sequence[str],
    catalogue: Catalogue,
    held: Mapping[Key, Pair],
    fetched: tuple[Mapping[int, bytes], Mapping[tuple[int, str], bytes]],
    depth: int,
) -> tuple[LexicalRanking, list[Segment], dict[Key, Pair]]:
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


FEWEST = 8
"""Segments that are merged at once, at least."""

SMALL = 256
"""Passages up to which segments count as equally small."""

DOMINANT = 3
"""A run of segments is merged if its largest is no more than this part of it: a large one is not rewritten to
take in a few small ones. In simulation each passage is rewritten 3.5 to 4.7 times on the way to 1.8 million, and
there are never more than 29 segments."""

LARGEST = 2**18
"""Passages of a segment that is merged no more: a merge takes some seconds then."""

DEAD_SHARE = 0.2
DEAD_FEW = 1_000
"""The dead are taken out when they are more than these: a share of all passages, and a number."""


class UpkeepReader(Protocol):
    """What upkeep reads of the store, in one transaction of one tenant."""

    async def catalogue(self, domains: Sequence[str] = ()) -> Catalogue:
        """See :meth:`LexicalReader.catalogue`."""


class UpkeepWriter(UpkeepReader, Protocol):
    """What upkeep writes to the store, in one transaction of one tenant."""

    async def lexical(
        self, segments: Sequence[int], *, lengths: Sequence[int], postings: Mapping[int, Sequence[str]]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None:
        """See :meth:`LexicalReader.lexical`."""

    async def merge(self, segments: Sequence[int]) -> int:
        """Join neighbouring *segments* into one, and return its id."""

    async def add_segment(
        self, domain: str, first: int, last: int, passages: int, lengths: bytes, postings: Iterable[tuple[str, bytes]]
    ) -> int:
        """Store a segment of the ordinals *first* to *last*, with packed lengths and postings; returns its id."""

    def every_posting(self, segment: int) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All (term, packed postings) of a segment, in batches."""

    async def drop(self, segments: Sequence[int]) -> None:
        """Delete *segments*."""

    async def bury(self, dead: bytes) -> None:
        """Store the list of deleted ordinals: ascending, little-endian uint32."""


class UpkeepShelves(Protocol):
    """The store as upkeep needs it: ``vital_engine.store.Knowledge`` implements it."""

    def reading(self, tenant: str) -> AbstractAsyncContextManager[UpkeepReader]:
        """A read transaction of *tenant*."""

    def writing(self, tenant: str, *, analysis: str) -> AbstractAsyncContextManager[UpkeepWriter]:
        """A write transaction of *tenant*, under the lock of its library."""


def to_merge(segments: Sequence[LexicalSegment]) -> list[int]:
    """Which segments (of one domain, in the order of ordinals) to merge next: the smallest run of neighbours, at
    least :data:`FEWEST`, of which none dominates. None if there is no such run."""
    sizes = [max(segment.passages, SMALL) for segment in segments]
    best: tuple[int, int, int] | None = None
    for first in range(len(sizes) - FEWEST + 1):
        for behind in range(first + FEWEST, len(sizes) + 1):
            total = sum(sizes[first:behind])
            if total > LARGEST:
                break
            if max(sizes[first:behind]) * DOMINANT <= total:
                best = min(best or (total, first, behind), (total, first, behind))
                break
    return [segment.id for segment in segments[best[1] : best[2]]] if best else []


async def keep_up(shelves: UpkeepShelves, tenant: str) -> None:
    """Merge and compact as far as it is due. Readers are not kept waiting, other writers are.

    :raises StoreError: the database failed; the index is as it was.
    """
    async with shelves.reading(tenant) as reader:
        catalogue = await reader.catalogue()
    if not _due(catalogue) and not _many_dead(catalogue):
        return
    async with shelves.writing(tenant, analysis=ANALYSIS) as writer:
        # Read again under the lock: another process may have done it meanwhile.
        if _many_dead(await writer.catalogue()):
            await compact(writer)
        while due := _due(await writer.catalogue()):
            await writer.merge(due[0])


def _due(catalogue: Catalogue) -> list[list[int]]:
    domains = groupby(catalogue.segments, key=lambda segment: segment.domain)
    return [segments for _, of in domains if (segments := to_merge(list(of)))]


def _many_dead(catalogue: Catalogue) -> bool:
    dead, passages = len(catalogue.dead) // 4, sum(segment.passages for segment in catalogue.segments)
    return dead > max(DEAD_FEW, DEAD_SHARE * passages)


async def compact(writer: UpkeepWriter) -> None:
    """Rewrite each segment that holds deleted passages without them."""
    catalogue = await writer.catalogue()
    dead = np.frombuffer(catalogue.dead, "<u4")
    for segment in catalogue.segments:
        found = await writer.lexical([segment.id], lengths=[segment.id], postings={})
        lengths = alive(found[0][segment.id], dead, LENGTH) if found else b""
        left = len(lengths) // LENGTH.itemsize
        if left == segment.passages:
            continue
        kept: list[tuple[str, bytes]] = []
        async for rows in writer.every_posting(segment.id):
            kept += await asyncio.to_thread(_living, rows, dead)
        await writer.drop([segment.id])
        if left:
            await writer.add_segment(segment.domain, segment.first, segment.last, left, lengths, kept)
    await writer.bury(b"")


def _living(rows: Sequence[tuple[str, bytes]], dead: NDArray[np.uint32]) -> list[tuple[str, bytes]]:
    return [(term, left) for term, packed in rows if (left := alive(packed, dead, POSTING))]
