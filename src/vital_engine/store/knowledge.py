"""The library's tables: documents, passages, vectors and the lexical index, for one tenant at a time.

:class:`Reader` asks, :class:`Writer` changes, each inside one transaction; one writer of a tenant at a time. Rows come
as arrays, one statement for many: PostgreSQL refuses COPY into a table with row-level security.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from vital_engine.errors import StoreError
from vital_engine.nouns import Passage
from vital_engine.nouns.stored import (
    Catalogue,
    Counts,
    DocumentEntry,
    LexicalSegment,
    StoredDocument,
    StoredPassage,
    Unembedded,
)

from .plain import json_text, storable
from .pool import Connection, Store

__all__ = ["Knowledge", "Postings", "Reader", "Writer", "literal"]

MOST_TUPLES = 400_000
"""The most index entries that one search may pass over to find enough of its own: about 0.3 s, never reached by
chance, since small scopes are searched without the index."""


BREADTH = 3
"""Candidates that the index looks at for each that is wanted (ef_search): more finds more of the truly nearest."""

# Materialized: the planner may not take the index, which would make this approximate.
EXACTLY = sql.SQL("""
with every as materialized (
    select ordinal, embedding <=> %s::halfvec({size}) as distance from vectors
    where model = {number} and tenant = %s and (cardinality(%s::text[]) = 0 or domain = any(%s::text[])))
select ordinal, 1 - distance from every order by distance, ordinal limit %s
""")

BY_INDEX = sql.SQL("""
select ordinal, 1 - (embedding::halfvec({size}) <=> %s::halfvec({size})) from vectors
where model = {number} and tenant = %s and (cardinality(%s::text[]) = 0 or domain = any(%s::text[]))
order by embedding::halfvec({size}) <=> %s::halfvec({size}) limit %s
""")


class Reader:
    """Questions to the library as *tenant*. Everything is bound to the tenant twice: here and by row-level security."""

    def __init__(self, connection: Connection, tenant: str) -> None:
        self._connection = connection
        self.tenant = tenant

    async def _rows(self, query: str | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(query, values, binary=True)
        return await cursor.fetchall()

    async def catalogue(self, domains: Sequence[str] = ()) -> Catalogue:
        """The index's version and its segments in *domains* (none: in all), as of one moment."""
        rows = await self._rows(
            "select i.version, i.dead, s.id, s.domain, s.first, s.last, s.passages"
            " from knowledge_index i left join lexical_segments s on s.tenant = i.tenant"
            " and (cardinality(%s::text[]) = 0 or s.domain = any(%s::text[]))"
            " where i.tenant = %s order by s.domain, s.first",
            list(domains),
            list(domains),
            self.tenant,
        )
        if not rows:
            return Catalogue(version=0)
        found = tuple(LexicalSegment(*row[2:]) for row in rows if row[2] is not None)
        return Catalogue(version=rows[0][0], segments=found, dead=rows[0][1])

    async def version(self) -> int:
        """The index's version alone: what :meth:`catalogue` would say, for less."""
        rows = await self._rows("select version from knowledge_index where tenant = %s", self.tenant)
        return int(rows[0][0]) if rows else 0

    async def lexical(
        self, segments: Sequence[int], *, lengths: Sequence[int], postings: Mapping[int, Sequence[str]]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None:
        """The *lengths* of segments, and the *postings* of terms of segments (of those that stand in it).

        None if one of all the *segments* is no more: it was merged meanwhile, the catalogue has to be read again.
        """
        pairs = [(segment, term) for segment, terms in postings.items() for term in terms]
        rows = await self._rows(
            "select id, null::text, case when id = any(%s) then lengths end"
            " from lexical_segments where tenant = %s and id = any(%s)"
            " union all"
            " select p.segment, p.term, p.postings from unnest(%s::bigint[], %s::text[]) as wanted (segment, term)"
            " join lexical_postings p on p.tenant = %s and p.segment = wanted.segment and p.term = wanted.term",
            *(list(lengths), self.tenant, list(segments)),
            *([segment for segment, _ in pairs], [term for _, term in pairs], self.tenant),
        )
        heads = {segment: packed for segment, term, packed in rows if term is None}
        if len(heads) < len(segments):
            return None
        return {segment: heads[segment] for segment in lengths}, {
            (segment, term): packed for segment, term, packed in rows if term is not None
        }

    async def nearest(
        self,
        vector: Sequence[float],
        *,
        model: int,
        domains: Sequence[str] = (),
        limit: int,
        exact: bool,
    ) -> list[tuple[int, float]]:
        """Ordinals of the nearest passages and their cosines, best first.

        :param exact: compare with every vector in scope; else by the model's HNSW index (Malkov and Yashunin 2018),
            which goes on until it has *limit* in scope (pgvector's iterative scan), so that a filter never
            makes the result short.
        """
        names = {"number": sql.Literal(model), "size": sql.Literal(len(vector))}
        given, scope = literal(vector), (self.tenant, list(domains), list(domains))
        if exact:
            return await self._rows(EXACTLY.format(**names), given, *scope, limit)
        # Without sorting, the index is the only way to the order: the plan does not hang on the statistics.
        await self._connection.execute(
            "select set_config('hnsw.iterative_scan', 'relaxed_order', true),"
            " set_config('hnsw.ef_search', %s, true), set_config('hnsw.max_scan_tuples', %s, true),"
            " set_config('enable_sort', 'off', true), set_config('jit', 'off', true)",
            (str(min(max(BREADTH * limit, 100), 1000)), str(MOST_TUPLES)),
        )
        rows = await self._rows(BY_INDEX.format(**names), given, *scope, given, limit)
        await self._connection.execute("select set_config('enable_sort', 'on', true)")
        return sorted(((row[0], row[1]) for row in rows), key=lambda pair: (-pair[1], pair[0]))

    async def cosines(self, vector: Sequence[float], *, model: int, ordinals: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages that has a vector of *model*."""
        size = sql.SQL("halfvec({})").format(sql.Literal(len(vector)))
        query = sql.SQL(
            "select ordinal, 1 - (embedding <=> %s::{size}) from vectors"
            " where tenant = %s and model = {number} and ordinal = any(%s)"
        ).format(size=size, number=sql.Literal(model))
        return dict(await self._rows(query, literal(vector), self.tenant, list(ordinals)))

    async def passages(
        self, ordinals: Sequence[int], *, model: int | None = None
    ) -> dict[int, tuple[Passage, bytes | None]]:
        """Passages with the title and source of their documents, without scores; each with what is kept of its
        sentences' vectors of *model*, None if nothing is."""
        # No join: with statistics from before a large ingest the planner reads all of the tenant's for a merge.
        rows = await self._rows(
            "select p.ordinal, (select s.vectors from sentence_vectors s"
            " where s.tenant = p.tenant and s.ordinal = p.ordinal and s.model = %s),"
            " p.document, p.number, p.text, d.title, p.starts_at, p.ends_at, p.page, d.source, p.domain"
            " from passages p join documents d on d.tenant = p.tenant and d.id = p.document"
            " where p.tenant = %s and p.ordinal = any(%s)",
            *(model, self.tenant, list(ordinals)),
        )
        return {
            ordinal: (Passage(f"{document}#{number}", text, document, title, start, end, page, source, domain), kept)
            for ordinal, kept, document, number, text, title, start, end, page, source, domain in rows
        }

    async def model(self, name: str, dimensions: int) -> int | None:
        """The number of an embedding model; None if it was never registered.

        :raises StoreError: it was, with other *dimensions*.
        """
        rows = await self._rows("select id, dimensions from embedding_models where name = %s", name)
        if not rows:
            return None
        number, known = rows[0]
        if known != dimensions:
            raise StoreError(f"{name!r} has {dimensions} dimensions, and {known} in the library", service="store")
        return int(number)

    async def hashes(self, documents: Sequence[str]) -> dict[str, str]:
        """The content hash of each of these documents that is here."""
        rows = await self._rows(
            "select id, content_hash from documents where tenant = %s and id = any(%s)", self.tenant, list(documents)
        )
        return dict(rows)

    async def document(self, document: str) -> StoredDocument | None:
        """A document with its text."""
        rows = await self._rows(
            "select id, text, title, source, domain, media_type, content_hash, pages, metadata, created_at"
            " from documents where tenant = %s and id = %s",
            self.tenant,
            document,
        )
        for key, text, title, source, domain, media_type, content_hash, pages, metadata, created_at in rows:
            place = (title, source, domain, media_type, content_hash)
            return StoredDocument(key, text, *place, tuple(map(tuple, pages)), metadata, created_at)
        return None

    async def documents(
        self, *, domains: Sequence[str] = (), after: str = "", limit: int = 100
    ) -> tuple[DocumentEntry, ...]:
        """A page of the list of documents, by id, from the one behind *after* on."""
        rows = await self._rows(
            "select id, title, source, domain, media_type, content_hash, length(text), passages, created_at"
            " from documents where tenant = %s and id > %s"
            " and (cardinality(%s::text[]) = 0 or domain = any(%s::text[])) order by id limit %s",
            self.tenant,
            after,
            list(domains),
            list(domains),
            limit,
        )
        return tuple(DocumentEntry(*row) for row in rows)

    async def unembedded(self, *, model: int, sentences: bool, after: int, limit: int) -> list[Unembedded]:
        """Passages without a vector of *model*, and with *sentences* also those without vectors of their sentences,
        from behind the ordinal *after* on."""
        rows = await self._rows(
            "select p.ordinal, p.domain, d.title, p.text, v.ordinal is not null, s.ordinal is not null"
            " from passages p join documents d on d.tenant = p.tenant and d.id = p.document"
            " left join vectors v on v.tenant = p.tenant and v.ordinal = p.ordinal and v.model = %s"
            " left join sentence_vectors s on s.tenant = p.tenant and s.ordinal = p.ordinal and s.model = %s"
            " where p.tenant = %s and p.ordinal > %s and (v.ordinal is null or (%s and s.ordinal is null))"
            " order by p.ordinal limit %s",
            *(model, model, self.tenant, after, sentences, limit),
        )
        return [Unembedded(*row) for row in rows]

    async def counts(self, *, model: int | None) -> Counts:
        """How much there is: documents, passages, vectors of *model*, segments, and the index's version."""
        rows = await self._rows(
            "select (select count(*) from documents where tenant = %s), (select count(*) from passages where tenant = %s),"
            " (select count(*) from vectors where tenant = %s and model = %s),"
            " (select count(*) from lexical_segments where tenant = %s),"
            " coalesce((select version from knowledge_index where tenant = %s), 0)",
            *[self.tenant] * 3,
            model,
            *[self.tenant] * 2,
        )
        documents, passages, vectors, segments, version = rows[0]
        return Counts(documents=documents, passages=passages, vectors=vectors, segments=segments, version=version)


def literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it; half precision holds three to four digits."""
    return "[" + ",".join(f"{value:.5g}" for value in vector) + "]"


MOST_ORDINALS = 2**32
POSTINGS_AT_ONCE = 4_000


class Postings(Protocol):
    """A lexical segment to be, whose ordinals are not known yet."""

    def lengths_at(self, first: int) -> bytes:
        """Packed lengths of the passages, for ordinals that begin with *first*."""

    def postings_at(self, first: int) -> Iterable[tuple[str, bytes]]:
        """(term, packed postings), for ordinals that begin with *first*."""


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


class Knowledge:
    """The library's tables.

    :param store: the database.
    :param sentence_vectors: whether an ingest also stores sentence vectors. Those that are stored are read.
    """

    def __init__(self, store: Store, *, sentence_vectors: bool = True) -> None:
        self._store = store
        self.sentence_vectors = sentence_vectors

    @contextlib.asynccontextmanager
    async def reading(self, tenant: str) -> AsyncIterator[Reader]:
        """A transaction that reads *tenant*'s library.

        :param tenant: the tenant.
        :raises StoreError: the database failed.
        """
        async with self._store.transaction(tenant) as connection:
            yield Reader(connection, tenant)

    @contextlib.asynccontextmanager
    async def writing(self, tenant: str, *, analysis: str, within: float = 300.0) -> AsyncIterator[Writer]:
        """A transaction that changes *tenant*'s library, alone in doing so; all of it happens, or nothing.

        :param analysis: the name of the text analysis whose terms are written.
        :param within: seconds for each statement, the wait for another writer included.
        :raises StoreError: the database fails, or the index was made by another analysis.
        """
        async with self._store.transaction(tenant, within=within) as connection:
            writer = Writer(connection, tenant)
            await writer.lock(analysis)
            yield writer

    async def register(self, model: str, dimensions: int) -> int:
        """Give an embedding model a number, and an index for its vectors; returns the number it has from then on.

        Done as the tables' owner, once for each model: afterwards :meth:`Reader.model` knows it.

        :raises StoreError: the database failed, or the owner cannot be reached from here.
        """
        async with self._store.owner() as connection, connection.transaction():
            # Two that come at once must not both make the index.
            await connection.execute("lock table embedding_models in share row exclusive mode")
            cursor = await connection.execute("select id from embedding_models where name = %s", (model,))
            row = await cursor.fetchone()
            if row is None:
                cursor = await connection.execute(
                    "insert into embedding_models (name, dimensions) values (%s, %s) returning id", (model, dimensions)
                )
                row = await cursor.fetchone()
            number = int(row[0]) if row else 0
            await connection.execute(
                sql.SQL(
                    "create index if not exists {} on vectors using hnsw ((embedding::halfvec({})) halfvec_cosine_ops)"
                    " where model = {}"
                ).format(sql.Identifier(f"vectors_of_model_{number}"), sql.Literal(dimensions), sql.Literal(number))
            )
            return number
