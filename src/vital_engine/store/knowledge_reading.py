"""Reading the library inside one transaction: documents, the lexical index, the nearest vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from vital_engine.errors import StoreError
from vital_engine.nouns import Passage
from vital_engine.nouns.stored import Catalogue, DocumentEntry, LexicalSegment, StoredDocument, Unembedded

from .pool import Connection

__all__ = ["Reader", "literal"]

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

    async def counts(self, *, model: int | None) -> dict[str, Any]:
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
        return dict(zip(("documents", "passages", "vectors", "segments", "version"), rows[0], strict=True))


def literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it; half precision holds three to four digits."""
    return "[" + ",".join(f"{value:.5g}" for value in vector) + "]"
