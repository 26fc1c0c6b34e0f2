"""The database fixtures: one server for the session, one migrated template, a fresh database for each test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from vital_engine.store import Store, migrate, open_store
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN, OWNER

# A test's data need not survive a power cut, and nothing may happen behind a test's back.
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """An empty folder for a server of the test's own.

    Not ``tmp_path``: each pytest that starts closes the folder above those to all but its user, and a server that
    root starts runs as another.
    """
    with TemporaryDirectory(prefix="vital-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def database_server() -> Iterator[EmbeddedServer]:
    """A running server; its ``url(role=..., database=...)`` leads to its databases."""
    with TemporaryDirectory(prefix="vital-") as name:
        server = EmbeddedServer(Path(name), settings=FAST)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def database_template(database_server: EmbeddedServer) -> str:
    """The name of a migrated database, from which others are cloned."""
    asyncio.run(migrate(database_server.url(role=OWNER)))
    return "vital"


_number = itertools.count(1)


@pytest.fixture
def database(database_server: EmbeddedServer, database_template: str) -> Iterator[str]:
    """The name of a fresh, migrated database."""
    name = f"test_{next(_number)}"
    with psycopg.connect(database_server.url(role=ADMIN, database="postgres"), autocommit=True) as admin:
        # Copying files takes 13 ms without fsync, the default (through the log) 110 ms.
        copy = f"create database {name} template {database_template} strategy file_copy owner {OWNER}"
        admin.execute(copy.encode())
    yield name
    with psycopg.connect(database_server.url(role=ADMIN, database="postgres"), autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
async def store(database_server: EmbeddedServer, database: str) -> AsyncIterator[Store]:
    """A store on a fresh database, with a pool of four connections."""
    async with open_store(
        url=database_server.url(database=database),
        owner_url=database_server.url(role=OWNER, database=database),
        pool_size=4,
    ) as opened:
        yield opened
