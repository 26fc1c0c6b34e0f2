"""What an embedded server needs of a Unix system: locks, an account that is not root, a socket's place."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vital_engine.errors import StoreError

__all__ = ["Account", "FileLock", "account_for_postgres", "let_through", "socket_folder"]

log = logging.getLogger(__name__)

SOCKET_PATH_LIMIT = 103
"""Bytes that the path of a Unix socket may have (macOS; Linux allows 107)."""


class FileLock:
    """A ``flock`` on a file, which is made if need be. The kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        os.close(self._descriptor)

    def share(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Whether nobody else holds the lock; if so it is ours alone now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextlib.contextmanager
    def exclusive(self, within: float) -> Iterator[None]:
        """Holds the lock alone. Raises StoreError if others hold it for more than *within* seconds."""
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
    """None to run the server as ourselves; as root, the owner of *cluster*, or an account for servers.

    Looks for ``postgres`` and ``vital-postgres`` and makes the latter if neither is there. Raises StoreError if it
    cannot.
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
