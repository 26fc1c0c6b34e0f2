"""The fixed names in the database, and addresses made of them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

__all__ = ["ADMIN", "APPLICATION", "DATABASE", "OWNER", "SERVICE", "address"]

DATABASE = "vital"

ADMIN = "postgres"
"""The embedded server's superuser: makes roles and databases, and nothing else."""

OWNER = "vital_owner"
"""Owns the tables and migrates them. Bound by row-level security all the same (FORCE)."""

SERVICE = "vital_service"
"""What the pool logs in as. May do nothing but become :data:`APPLICATION`, so that ``reset role`` gains nothing."""

APPLICATION = "vital_app"
"""What every transaction runs as: neither superuser nor owner, and unable to bypass row-level security."""


def address(*, role: str, database: str, host: Path) -> str:
    """The URL of *database* on the server whose socket is in the folder *host*, as *role*."""
    return f"postgresql://{role}@/{quote(database, safe='')}?host={quote(str(host), safe='')}"
