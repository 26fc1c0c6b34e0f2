"""A data folder as commit a9d048c left it: one server and, but for a few tests, one database for all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from store_fixtures import FAST
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN, DATABASE, OWNER
from written_before import FOLDER, Shop, store_sql


@pytest.fixture(scope="session")
def written_server() -> Iterator[tuple[Path, EmbeddedServer]]:
    """The data folder, and its server with the database ``written``."""
    with TemporaryDirectory(prefix="vital-") as name:  # not tmp_path: see store_fixtures
        home = Path(name) / "home"
        server = EmbeddedServer(home / "database", settings=FAST)
        server.start()
        try:
            _statement(server, f"drop database {DATABASE}")  # empty yet
            _statement(server, f"create database written owner {OWNER}")
            with psycopg.connect(server.url(role=ADMIN, database="written"), autocommit=True) as conn:
                conn.execute(store_sql().encode())
            shutil.copytree(FOLDER / "vectors", home / "vectors")
            yield home, server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def home(written_server: tuple[Path, EmbeddedServer]) -> Path:
    """The data folder. Its tests share it: each decides turns of its own."""
    folder, server = written_server
    _statement(server, _COPY)
    return folder


@pytest.fixture
def untouched(home: Path, written_server: tuple[Path, EmbeddedServer]) -> Iterator[Path]:
    """The data folder with nothing done in it, for tests of all that it holds."""
    _, server = written_server
    _statement(server, f"alter database {DATABASE} rename to parked")
    _statement(server, _COPY)
    yield home
    _statement(server, f"drop database {DATABASE} with (force)")
    _statement(server, f"alter database parked rename to {DATABASE}")


_COPY = f"create database {DATABASE} template written strategy file_copy owner {OWNER}"


def _statement(server: EmbeddedServer, query: str) -> None:
    with psycopg.connect(server.url(role=ADMIN, database="postgres"), autocommit=True) as admin:
        admin.execute(query.encode())


@pytest.fixture
def shop() -> Shop:
    return Shop()
