"""Changing the library inside one transaction, one writer of a tenant at a time.

Rows come as arrays, one statement for many: PostgreSQL refuses COPY into a table with row-level security.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from vital_engine.errors import StoreError
from vital_engine.nouns.stored import StoredDocument, StoredPassage

from .knowledge_reading import Reader, literal
from .plain import json_text, storable

__all__ = ["Postings", "Writer"]

MOST_ORDINALS = 2**32
POSTINGS_AT_ONCE = 4_000


class Postings(Protocol):
    """A lexical segment to be, whose ordinals are not known yet."""

    def lengths_at(self, first: int) -> bytes: ...
    def postings_at(self, first: int) -> Iterable[tuple[str, bytes]]: ...


class Writer(Reader):
    """A reader that may change things. The tenant's row of the index is locked until the transaction ends."""

    async def lock(self, analysis: str) -> None:
        """Wait until no other transaction changes this tenant's library.

        :raises StoreError: the lexical index was made by another analysis of text.
        """
        await self._connection.execute(
            "insert into knowledge_index (tenant, analysis) values (%s, %s) on conflict do nothing",
            (self.tenant, analysis),
        )
        rows = await self._rows("select analysis from knowledge_index where tenant = %s for update", self.tenant)
        if rows[0][0] != analysis:
            raise StoreError(
                f"the index was made by {rows[0][0]!r}, not {analysis!r}: ingest the documents anew", service="store"
            )

    async def changed(self) -> int:
        """Count the index's version up; returns the new one."""
        rows = await self._rows(
            "update knowledge_index set version = version + 1 where tenant = %s returning version", self.tenant
        )
        version: int = rows[0][0]
        return version

    async def add(
        self,
        documents: Sequence[StoredDocument],
        passages: Sequence[StoredPassage],
        postings: Postings,
        *,
        domain: str,
        vectors: NDArray[np.float32] | None = None,
        sentences: Sequence[bytes] | None = None,
        model: int | None = None,
    ) -> None:
        """New documents of one *domain* with their passages and one segment; of *model*, the passages' vectors and,
        packed, those of their *sentences*."""
        await self._add_documents(documents, passages, domain)
        if not passages:
            return
        first = await self._reserve(len(passages))
        await self._connection.execute(
            "insert into passages (tenant, domain, ordinal, document, number, starts_at, ends_at, page, text, tokens)"
            " select %s, %s, * from unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::int[], %s::int[],"
            " %s::text[], %s::int[])",
            (
                self.tenant,
                domain,
                list(range(first, first + len(passages))),
                [p.document for p in passages],
                [p.number for p in passages],
                [p.start for p in passages],
                [p.end for p in passages],
                [p.page for p in passages],
                [storable(p.text) for p in passages],
                [p.tokens for p in passages],
            ),
        )
        if vectors is not None and model is not None:
            scopes = [(ordinal, domain) for ordinal in range(first, first + len(passages))]
            await self.add_vectors(scopes, vectors, model=model)
        if sentences is not None and model is not None:
            await self.add_sentences(range(first, first + len(passages)), sentences, model=model)
        await self.add_segment(
            domain,
            first,
            first + len(passages) - 1,
            len(passages),
            postings.lengths_at(first),
            postings.postings_at(first),
        )

    async def _add_documents(
        self, documents: Sequence[StoredDocument], passages: Sequence[StoredPassage], domain: str
    ) -> None:
        sizes: dict[str, int] = {}
        for passage in passages:
            sizes[passage.document] = sizes.get(passage.document, 0) + 1
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into documents (tenant, id, title, source, domain, media_type, content_hash, text, pages,"
                " metadata, passages) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        *(self.tenant, d.id, storable(d.title), storable(d.source), domain, d.media_type),
                        *(
                            d.content_hash,
                            storable(d.text),
                            [list(page) for page in d.pages],
                            json_text(d.metadata),
                            sizes.get(d.id, 0),
                        ),
                    )
                    for d in documents
                ],
            )

    async def _reserve(self, count: int) -> int:
        rows = await self._rows(
            "update knowledge_index set next_ordinal = next_ordinal + %s"
            " where tenant = %s and next_ordinal + %s <= %s returning next_ordinal - %s",
            *(count, self.tenant, count, MOST_ORDINALS, count),
        )
        if not rows:
            raise StoreError("this tenant has used up its passage numbers", service="store")
        first: int = rows[0][0]
        return first

    async def add_vectors(self, scopes: Sequence[tuple[int, str]], vectors: NDArray[np.float32], *, model: int) -> None:
        """The vectors of passages, each given by its ordinal and domain; one that is there already stays."""
        await self._connection.execute(
            "insert into vectors (tenant, model, ordinal, domain, embedding)"
            " select p.tenant, %s, p.ordinal, new.domain, new.embedding::halfvec"
            " from unnest(%s::bigint[], %s::text[], %s::text[]) as new (ordinal, domain, embedding)"
            " join passages p on p.tenant = %s and p.ordinal = new.ordinal"  # not those deleted meanwhile
            " on conflict do nothing",
            (
                model,
                [ordinal for ordinal, _ in scopes],
                [domain for _, domain in scopes],
                [literal(vector) for vector in vectors.tolist()],
                self.tenant,
            ),
        )

    async def add_sentences(self, ordinals: Sequence[int], packed: Sequence[bytes], *, model: int) -> None:
        """The vectors of the sentences of passages; those that are there already stay."""
        await self._connection.execute(
            "insert into sentence_vectors (tenant, ordinal, model, vectors)"
            " select p.tenant, p.ordinal, %s, new.vectors from unnest(%s::bigint[], %s::bytea[]) as new (ordinal, vectors)"
            " join passages p on p.tenant = %s and p.ordinal = new.ordinal"  # not those deleted meanwhile
            " on conflict do nothing",
            (model, list(ordinals), list(packed), self.tenant),
        )

    async def add_segment(
        self, domain: str, first: int, last: int, passages: int, lengths: bytes, postings: Iterable[tuple[str, bytes]]
    ) -> int:
        """A lexical segment; returns its number."""
        rows = await self._rows(
            "insert into lexical_segments (tenant, domain, first, last, passages, lengths)"
            " values (%s, %s, %s, %s, %s, %s) returning id",
            *(self.tenant, domain, first, last, passages, lengths),
        )
        number: int = rows[0][0]
        for rows_at_once in batched(postings, POSTINGS_AT_ONCE):
            await self._connection.execute(
                "insert into lexical_postings (tenant, segment, term, postings)"
                " select %s, %s, * from unnest(%s::text[], %s::bytea[])",
                (self.tenant, number, [term for term, _ in rows_at_once], [packed for _, packed in rows_at_once]),
            )
        return number

    async def remove(self, documents: Sequence[str]) -> int:
        """Take documents out, with their passages and vectors; returns how many there were."""
        rows = await self._rows(
            "select ordinal from passages where tenant = %s and document = any(%s)", self.tenant, list(documents)
        )
        gone = await self._rows(
            "delete from documents where tenant = %s and id = any(%s) returning id", self.tenant, list(documents)
        )
        if rows:
            catalogue = await self.catalogue()
            dead = np.union1d(np.frombuffer(catalogue.dead, "<u4"), np.array([row[0] for row in rows], "<u4"))
            await self.bury(dead.astype("<u4").tobytes())
        return len(gone)

    async def bury(self, dead: bytes) -> None:
        """Set the list of the dead: uint32 ordinals, ascending."""
        await self._connection.execute("update knowledge_index set dead = %s where tenant = %s", (dead, self.tenant))

    async def merge(self, segments: Sequence[int]) -> int:
        """Neighbouring segments of one domain as one; what a search finds does not change. Returns its number."""
        rows = await self._rows(
            "insert into lexical_segments (tenant, domain, first, last, passages, lengths)"
            " select tenant, domain, min(first), max(last), sum(passages), string_agg(lengths, ''::bytea order by first)"
            " from lexical_segments where tenant = %s and id = any(%s) group by tenant, domain returning id",
            *(self.tenant, list(segments)),
        )
        if len(rows) != 1:
            raise StoreError(f"segments of {len(rows)} domains cannot be merged", service="store")
        await self._connection.execute(
            "insert into lexical_postings (tenant, segment, term, postings)"
            " select p.tenant, %s, p.term, string_agg(p.postings, ''::bytea order by s.first)"
            " from lexical_postings p join lexical_segments s on s.tenant = p.tenant and s.id = p.segment"
            " where p.tenant = %s and p.segment = any(%s) group by p.tenant, p.term",
            (rows[0][0], self.tenant, list(segments)),
        )
        await self.drop(segments)
        number: int = rows[0][0]
        return number

    async def drop(self, segments: Sequence[int]) -> None:
        """Forget segments that another has taken the place of."""
        for table, key in (("lexical_postings", "segment"), ("lexical_segments", "id")):
            query = sql.SQL("delete from {} where tenant = %s and {} = any(%s)").format(
                sql.Identifier(table), sql.Identifier(key)
            )
            await self._connection.execute(query, (self.tenant, list(segments)))

    async def every_posting(self, segment: int) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All terms of a segment with their postings, some at a time."""
        after = ""
        while True:
            rows = await self._rows(
                "select term, postings from lexical_postings where tenant = %s and segment = %s and term > %s"
                " order by term limit %s",
                *(self.tenant, segment, after, POSTINGS_AT_ONCE),
            )
            if not rows:
                return
            yield [(term, packed) for term, packed in rows]
            after = rows[-1][0]


def batched(items: Iterable[tuple[str, bytes]], size: int) -> Iterator[list[tuple[str, bytes]]]:
    """Lists of at most *size* items."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
