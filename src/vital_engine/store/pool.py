"""Connections and transactions: every statement runs for one tenant, under a role that cannot reach another's rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import psycopg_pool
from psycopg.pq import TransactionStatus

from vital_engine.errors import ConfigError, Refused, StoreError

from .embedded import EmbeddedServer
from .failures import typed_errors
from .migrate import APPLICATION, OWNER, SERVICE, check_isolation, migrate
from .plain import storable

__all__ = ["Connection", "Store", "open_store"]

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]
"""A psycopg 3 connection whose rows are tuples."""

# All of it ends with the transaction: nothing is ever set on the session, which the next borrower would inherit.
ENTER = f"""
select set_config('role', '{APPLICATION}', true), set_config('vital.tenant', %(tenant)s, true),
       set_config('statement_timeout', %(limit)s, true),
       set_config('idle_in_transaction_session_timeout', %(limit)s, true)
"""


class Store:
    """The database, as the rest of the engine uses it. Made by :func:`open_store`.

    :param seconds: what one statement, with its waits for locks, or one pause between two may take.
    """

    def __init__(
        self,
        pool: psycopg_pool.AsyncConnectionPool[Connection],
        *,
        owner_url: str,
        seconds: float,
        server: EmbeddedServer | None = None,
    ) -> None:
        self._pool = pool
        self._owner_url = owner_url
        self._seconds = seconds
        self._server = server
        self._lost = False

    @contextlib.asynccontextmanager
    async def transaction(self, tenant: str, *, within: float | None = None) -> AsyncIterator[Connection]:
        """One transaction in which only *tenant*'s rows exist; committed at the end, rolled back by any error.

        :param within: seconds for each statement, and for each pause between two, in place of the store's own limit.
        :raises Refused: *tenant* is empty.
        :raises StoreError: the database failed; ``retryable`` says whether the whole block may be run again.
        """
        if not tenant or storable(tenant) != tenant:
            raise Refused("a transaction needs a tenant")
        async with self._transaction(tenant, self._seconds if within is None else within) as conn:
            yield conn

    @contextlib.asynccontextmanager
    async def _transaction(self, tenant: str, seconds: float) -> AsyncIterator[Connection]:
        with typed_errors():
            conn = await self._enter(tenant, seconds)
            try:
                async with conn:
                    yield conn
                    if conn.info.transaction_status is TransactionStatus.INERROR:
                        # PostgreSQL would answer the commit with a rollback, and psycopg would not say so.
                        raise StoreError("the transaction had failed: nothing of it was kept", service="store")
            finally:
                self._lost = self._lost or conn.closed
                # Should a cancel strike while it is handed back, it would be lost to the pool for ever.
                await asyncio.shield(self._pool.putconn(conn))

    async def _enter(self, tenant: str, seconds: float) -> Connection:
        """A connection inside a transaction. A server that was restarted leaves the pool full of dead ones: each is
        dropped and the next one tried, which is safe as nothing has been done yet."""
        settings = {"tenant": tenant, "limit": f"{max(1, int(seconds * 1000))}ms"}
        for last in (*[False] * self._pool.max_size, True):
            if self._lost:
                await self._revive()
            try:
                conn = await self._pool.getconn()
            except psycopg_pool.PoolTimeout:
                self._lost = True
                raise
            entered = False
            try:
                await conn.execute(ENTER, settings)
                entered = True
                return conn
            except psycopg.OperationalError:
                self._lost = conn.closed
                if last or not conn.closed:
                    raise
            finally:
                if not entered:
                    await asyncio.shield(self._pool.putconn(conn))
        raise AssertionError("unreachable")

    async def _revive(self) -> None:
        """After a lost connection: starts the embedded server again if it has died. One of us does it for all."""
        self._lost = False
        if self._server is not None:
            try:
                await asyncio.to_thread(self._server.start)
            except StoreError:
                self._lost = True
                raise

    @contextlib.asynccontextmanager
    async def owner(self) -> AsyncIterator[Connection]:
        """A connection of its own as the tables' owner, in autocommit, for migrations and administration.

        Forced row-level security binds it too: it sees no tenant's rows.
        """
        with typed_errors():
            connected = await psycopg.AsyncConnection.connect(self._owner_url, autocommit=True, connect_timeout=10)
            async with connected as conn:
                yield conn

    async def ping(self, *, within: float = 5.0) -> None:
        """Make one transaction.

        :param within: seconds that it may take.
        :raises StoreError: the database does not answer in time.
        """
        async with self._transaction("", within):  # of no tenant: it sees no rows
            pass


@contextlib.asynccontextmanager
async def open_store(
    *,
    url: str | None = None,
    data_dir: Path | None = None,
    owner_url: str | None = None,
    pool_size: int = 8,
    wait: float = 5.0,
    statement_seconds: float = 30.0,
    start_seconds: float = 60.0,
) -> AsyncIterator[Store]:
    """The store, migrated and checked, until the block ends.

    :param url: where the service logs in (as ``vital_service``, see ``roles.sql``); None: the embedded server, whose
        files are in *data_dir*.
    :param owner_url: where migrations log in (as ``vital_owner``); None: *url*, which must then be allowed to.
    :param pool_size: connections at most.
    :param wait: seconds to wait for a free one.
    :param statement_seconds: what one statement may take.
    :param start_seconds: what starting, migrating and the first connection may take, each.
    :raises ConfigError: neither *url* nor *data_dir*, or a pool without connections.
    :raises SetupError: the roles or tables would let one tenant reach another's rows.
    :raises StoreError: the database cannot be started, reached or migrated.
    """
    if pool_size < 1:
        raise ConfigError("pool_size must be at least 1")
    if url is None and data_dir is None:
        raise ConfigError("either a database url or a data folder is needed")
    async with contextlib.AsyncExitStack() as stack:
        server = None
        if url is None and data_dir is not None:
            server = EmbeddedServer(data_dir, within=start_seconds)
            stack.push_async_callback(_in_thread, server.stop)
            await asyncio.to_thread(server.start)
            url, owner_url = server.url(role=SERVICE), server.url(role=OWNER)
        service_url = url or ""
        owner_url = owner_url or service_url
        await migrate(owner_url, within=start_seconds)
        pool: psycopg_pool.AsyncConnectionPool[Connection] = psycopg_pool.AsyncConnectionPool(
            service_url,
            kwargs={"connect_timeout": 10, "application_name": "vital-engine"},
            min_size=1,
            max_size=pool_size,
            timeout=wait,
            max_waiting=64 * pool_size,
            # Give up soon: the pool tries again for the next who asks, and not after minutes of growing pauses.
            reconnect_timeout=1.0,
            open=False,
        )
        with typed_errors():
            stack.push_async_callback(pool.close)
            await pool.open(wait=True, timeout=start_seconds)
            async with pool.connection() as conn:
                await check_isolation(conn)
        yield Store(pool, owner_url=owner_url, seconds=statement_seconds, server=server)


async def _in_thread(stop: Any) -> None:
    await asyncio.shield(asyncio.to_thread(stop))
