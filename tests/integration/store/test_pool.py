"""Connections survive whatever happens to those who borrow them."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from vital_engine.errors import ConfigError, StoreError
from vital_engine.store import Store, open_store
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN, OWNER, SERVICE


async def test_a_block_that_fails_is_rolled_back(store: Store) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with store.transaction("t") as conn:
            await conn.execute("insert into experts (tenant, id, profile) values ('t', 'e', '{}')")
            raise ValueError("mine")
    async with store.transaction("t") as conn:
        assert await (await conn.execute("select * from experts")).fetchall() == []


async def test_a_swallowed_error_is_not_a_commit(store: Store) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK then, without an error: the write would be lost in silence."""
    with pytest.raises(StoreError, match="nothing of it was kept"):
        async with store.transaction("t") as conn:
            await conn.execute("insert into experts (tenant, id, profile) values ('t', 'e', '{}')")
            try:
                await conn.execute("select 1/0")
            except psycopg.Error:
                pass


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("insert into people values ('Mrs Miller'), ('Mrs Miller')", "UniqueViolation (23505)"),
        ("insert into people values ('Mrs Miller' || repeat('r', 20))", "CheckViolation (23514)"),
        ("select 'Mrs Miller'::integer", "InvalidTextRepresentation (22P02)"),
    ],
)
async def test_errors_are_typed_and_quote_nobody(store: Store, statement: str, code: str) -> None:
    async with store.owner() as conn:
        await conn.execute("create table people (name text primary key check (length(name) < 20))")
    with pytest.raises(StoreError) as caught:
        async with store.owner() as conn:
            await conn.execute(statement.encode())
    assert code in str(caught.value) and "Miller" not in str(caught.value)


async def test_a_transaction_that_is_left_idle_is_ended(store: Store) -> None:
    with pytest.raises(StoreError, match="25P03"):
        async with store.transaction("t", within=0.3) as conn:
            await asyncio.sleep(0.6)
            await conn.execute("select 1")
    await store.ping()


async def test_each_wait_has_its_limit(database_server: EmbeddedServer, database: str) -> None:
    async with open_store(
        url=database_server.url(database=database),
        owner_url=database_server.url(role=OWNER, database=database),
        pool_size=1,
        wait=0.1,
        statement_seconds=0.1,
    ) as store:
        for sleep in ("select pg_sleep(30)", "select pg_advisory_xact_lock(1)"):
            with psycopg.connect(database_server.url(role=ADMIN, database=database)) as other:
                other.execute("select pg_advisory_xact_lock(1)")
                began = time.monotonic()
                with pytest.raises(StoreError) as caught:
                    async with store.transaction("t") as conn:
                        await conn.execute(sleep.encode())
                assert caught.value.retryable and time.monotonic() - began < 20
        async with store.transaction("t", within=60.0) as conn:
            await conn.execute("select pg_sleep(.2)")
            with pytest.raises(StoreError, match="PoolTimeout") as caught:
                async with store.transaction("t"):
                    pass
            assert caught.value.retryable


async def test_many_random_cancels_leave_the_pool_whole(store: Store, database_server: EmbeddedServer) -> None:
    """400 transactions, most of them cancelled anywhere within them; then every connection is there and clean."""
    chance = random.Random(7)

    async def work(n: int) -> None:
        async with store.transaction(f"t{n % 3}") as conn:
            await conn.execute("insert into experts (tenant, id, profile) values (vital_tenant(), %s, '{}')", [str(n)])
            await conn.execute("select pg_sleep(.001)")
            own = await (await conn.execute("select distinct tenant from experts")).fetchall()
            assert own == [(f"t{n % 3}",)]

    for _ in range(20):
        tasks = [asyncio.create_task(work(chance.randrange(10**9))) for _ in range(20)]
        for task in tasks:
            await asyncio.sleep(chance.random() * 0.002)
            for _ in range(chance.randrange(4)):  # also again, while the first cancel is still rolling back
                task.cancel()
                await asyncio.sleep(chance.choice([0, 0, 0.0002]))
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends), ends
    everybody = asyncio.Barrier(4)

    async def clean() -> None:
        async with store.transaction("t0") as conn:
            await asyncio.wait_for(everybody.wait(), 60)  # all four of the pool, at once
            state = "select current_setting('vital.tenant'), current_user"
            assert await (await conn.execute(state.encode())).fetchone() == ("t0", "vital_app")

    await asyncio.gather(*(clean() for _ in range(4)))


async def test_cancelling_stops_the_statement_in_the_server(store: Store, database_server: EmbeddedServer) -> None:
    async def slow() -> None:
        async with store.transaction("t") as conn:
            await conn.execute("select pg_sleep(120)")

    task = asyncio.create_task(slow())
    await asyncio.sleep(0.1)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 60
    with psycopg.connect(database_server.url(role=ADMIN)) as admin:
        count = admin.execute(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(120)' and state = 'active'"
        )
        assert count.fetchone() == (0,)


async def test_connections_that_died_in_the_pool_are_not_the_callers_problem(
    store: Store, database_server: EmbeddedServer, database: str
) -> None:
    for _ in range(3):
        with psycopg.connect(database_server.url(role=ADMIN), autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s and datname = %s",
                [SERVICE, database],
            )
        async with store.transaction("t") as conn:
            await conn.execute("select 1")


async def test_a_connection_that_dies_under_way_is_a_retryable_error(
    store: Store, database_server: EmbeddedServer
) -> None:
    with pytest.raises(StoreError) as caught:
        async with store.transaction("t") as conn:
            pid = conn.info.backend_pid
            with psycopg.connect(database_server.url(role=ADMIN), autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s, 5000)", [pid])
            await conn.execute("select 1")
    assert caught.value.retryable
    await store.ping()


async def test_a_server_that_dies_comes_back(server_folder: Path) -> None:
    """Killed in mid-transaction: a typed error; the next transaction finds it running, with all that was committed."""
    async with open_store(data_dir=server_folder, pool_size=3) as store:
        async with store.transaction("t") as conn:
            await conn.execute("insert into experts (tenant, id, profile) values ('t', 'e', '{}')")
        with pytest.raises(StoreError) as caught:
            async with store.transaction("t") as conn:
                await conn.execute("select 1")
                await asyncio.to_thread(kill_server, server_folder)
                await conn.execute("select 2")
        assert caught.value.retryable
        async with store.transaction("t") as conn:
            assert await (await conn.execute("select id from experts")).fetchall() == [("e",)]


def kill_server(folder: Path) -> None:
    process = psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))
    process.kill()
    psutil.wait_procs([process], timeout=60)


async def test_a_store_needs_a_place(tmp_path: Path) -> None:
    wrongs: list[dict[str, Any]] = [{}, {"data_dir": tmp_path, "pool_size": 0}]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            async with open_store(**wrong):
                pass


async def test_a_database_that_does_not_answer_is_a_typed_error() -> None:
    with pytest.raises(StoreError) as caught:
        async with open_store(url="postgresql://nobody@127.0.0.1:1/nothing", start_seconds=2.0):
            pass
    assert caught.value.retryable
