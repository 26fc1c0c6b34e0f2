"""The library's tables: documents, passages, vectors and the lexical index, for one tenant at a time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from psycopg import sql

from .knowledge_reading import Reader
from .knowledge_writing import Writer
from .pool import Store

__all__ = ["Knowledge", "Reader", "Writer"]


class Knowledge:
    """The door to the library's tables.

    :param sentence_vectors: whether an ingest keeps the vectors of sentences here too. Those that are kept are read.
    """

    def __init__(self, store: Store, *, sentence_vectors: bool = True) -> None:
        self._store = store
        self.sentence_vectors = sentence_vectors

    @contextlib.asynccontextmanager
    async def reading(self, tenant: str) -> AsyncIterator[Reader]:
        """A transaction that reads *tenant*'s library. StoreError if the database fails."""
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
