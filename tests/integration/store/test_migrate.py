"""The schema is brought up to date once, whoever comes first."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from vital_engine.errors import SetupError, StoreError
from vital_engine.store import migrate, open_store
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN, OWNER, SERVICE, Migration, shipped


@pytest.fixture
def empty(database_server: EmbeddedServer) -> Iterator[str]:
    """The owner's address of a database without a schema."""
    with psycopg.connect(database_server.url(role=ADMIN, database="postgres"), autocommit=True) as admin:
        admin.execute("create database blank template template0 strategy file_copy owner vital_owner")
        with psycopg.connect(database_server.url(role=ADMIN, database="blank"), autocommit=True) as inside:
            inside.execute("create extension vector")
        yield database_server.url(role=OWNER, database="blank")
        admin.execute("drop database blank with (force)")


def of(*texts: str) -> tuple[Migration, ...]:
    return tuple(Migration(n, f"{n:04}_x.sql", text.encode()) for n, text in enumerate(texts, 1))


def column(url: str, query: bytes) -> list[object]:
    with psycopg.connect(url) as conn:
        return [row[0] for row in conn.execute(query).fetchall()]


async def test_files_are_applied_in_order_once(empty: str) -> None:
    names = tuple(m.name for m in shipped())
    assert names[0] == "0001_turns.sql" and list(names) == sorted(names)
    assert await migrate(empty) == names
    assert await migrate(empty) == ()
    assert column(empty, b"select name from vital_migrations order by number") == list(names)


async def test_four_processes_at_once(empty: str) -> None:
    """Each file is applied by exactly one of them, and all of them end well."""
    code = "import asyncio, sys; from vital_engine.store import migrate; print(*asyncio.run(migrate(sys.argv[1])))"
    command = [sys.executable, "-W", "error", "-c", code, empty]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert sorted(" ".join(out for out, _ in said).split()) == [m.name for m in shipped()]


async def test_many_tasks_at_once(empty: str) -> None:
    slow = of("create table one (x int); select pg_sleep(.05)", "create table two (x int)")
    applied = await asyncio.gather(*(migrate(empty, slow) for _ in range(6)))
    assert sorted(applied, reverse=True) == [("0001_x.sql", "0002_x.sql"), *[()] * 5]


async def test_a_file_that_was_edited_after_it_was_applied_is_refused(empty: str) -> None:
    await migrate(empty, of("create table one (x int)"))
    with pytest.raises(StoreError, match=r"0001_x.sql differs"):
        await migrate(empty, of("create table one (x bigint)", "create table two (x int)"))
    assert column(empty, b"select count(*) from vital_migrations") == [1]


async def test_a_file_that_fails_leaves_nothing_behind_and_those_before_it_stay(empty: str) -> None:
    broken = of("create table one (x int)", "create table two (x int); select 1/0", "create table three (x int)")
    with pytest.raises(StoreError, match=r"0002_x.sql failed \(22012\)"):
        await migrate(empty, broken)
    assert column(empty, b"select relname from pg_class where relname in ('one', 'two', 'three')") == ["one"]
    assert await migrate(empty, of("create table one (x int)", "create table two (x int)")) == ("0002_x.sql",)


async def test_a_file_is_applied_and_recorded_or_neither(empty: str) -> None:
    with pytest.raises(StoreError, match=r"0001_x.sql failed"):
        await migrate(empty, of("create table one (x int); drop table vital_migrations"))
    assert column(empty, b"select relname from pg_class where relname in ('one', 'vital_migrations')") == []


async def test_a_file_that_comes_late_is_applied(empty: str) -> None:
    one, two, three = of("create table one (x int)", "create table two (x int)", "create table three (x int)")
    await migrate(empty, [one, three])
    assert await migrate(empty, [one, two, three]) == ("0002_x.sql",)


async def test_a_database_that_is_ahead_is_used_and_said_to_be(empty: str, caplog: pytest.LogCaptureFixture) -> None:
    """A rolling deployment, or one that is rolled back, runs the version before on the new schema."""
    await migrate(empty, of("create table one (x int)", "create table two (x int)"))
    assert await migrate(empty, of("create table one (x int)")) == ()
    assert "0002_x.sql" in caplog.text


async def test_waiting_for_another_has_a_limit(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", [int.from_bytes(b"vitalmig", "big")])
        with pytest.raises(StoreError, match="LockNotAvailable") as caught:
            await migrate(empty, of("create table one (x int)"), within=1.0)
    assert caught.value.retryable


async def test_a_database_that_is_not_there_is_a_typed_error(database_server: EmbeddedServer) -> None:
    with pytest.raises(StoreError):
        await migrate(database_server.url(role=OWNER, database="nowhere"))


async def test_a_service_that_may_not_migrate_needs_not_to(database_server: EmbeddedServer, empty: str) -> None:
    service = database_server.url(role=SERVICE, database="blank")
    with pytest.raises(StoreError, match=r"0001_turns.sql is missing .*vital_owner may"):
        await migrate(service)
    await migrate(empty)
    assert await migrate(service) == ()
    async with open_store(url=service) as store:
        await store.ping()


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql", "notes.txt"):
        (tmp_path / name).write_text("select 1")
    with pytest.raises(SetupError, match="number 1"):
        shipped(tmp_path)
