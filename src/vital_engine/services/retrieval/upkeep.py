"""Keeping the lexical index in few pieces: which segments to merge, and when to take the dead out.

Neither changes what a search finds. Merging is tiered, as in Lucene: a passage is rewritten about as often as the
index has grown eightfold, and a segment that has reached :data:`LARGEST` never again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.nouns.stored import Catalogue, LexicalSegment

from .analysis import ANALYSIS
from .lexical import LENGTH, POSTING, alive

__all__ = ["FEWEST", "UpkeepReader", "UpkeepWriter", "keep_up", "to_merge"]

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
    async def catalogue(self, domains: Sequence[str] = ()) -> Catalogue: ...


class UpkeepWriter(UpkeepReader, Protocol):
    async def lexical(
        self, segments: Sequence[int], *, lengths: Sequence[int], postings: Mapping[int, Sequence[str]]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None: ...
    async def merge(self, segments: Sequence[int]) -> int: ...
    async def add_segment(
        self, domain: str, first: int, last: int, passages: int, lengths: bytes, postings: Iterable[tuple[str, bytes]]
    ) -> int: ...
    def every_posting(self, segment: int) -> AsyncIterator[list[tuple[str, bytes]]]: ...
    async def drop(self, segments: Sequence[int]) -> None: ...
    async def bury(self, dead: bytes) -> None: ...


class UpkeepShelves(Protocol):
    def reading(self, tenant: str) -> AbstractAsyncContextManager[UpkeepReader]: ...
    def writing(self, tenant: str, *, analysis: str) -> AbstractAsyncContextManager[UpkeepWriter]: ...


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
