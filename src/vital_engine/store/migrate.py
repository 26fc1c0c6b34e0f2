"""Brings a database to the schema of this version, and refuses one in which a tenant could reach another's rows.

Numbered SQL files, each applied once, in order: ``migrations/NNNN_name.sql`` runs in a transaction of its own as the
owner, under an advisory lock, so that any number of processes may start at once. The table ``vital_migrations`` has a
checksum of each applied file: a file that is edited afterwards is refused. To write one:

- add, never rename or drop, so that the version before still runs on the new schema;
- end a table with a ``tenant`` column with ``select vital_isolate('table', 'select, insert')``: row-level security,
  enabled and forced, and those rights for the application's role (:func:`check_isolation` looks);
- forced row-level security binds the owner too: a statement over all tenants needs ``alter table ... no force row level
  security`` before it, and ``force`` after it, in the same file.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from vital_engine.errors import SetupError, StoreError

from .failures import typed_errors

__all__ = [
    "ADMIN",
    "APPLICATION",
    "DATABASE",
    "OWNER",
    "SERVICE",
    "Migration",
    "address",
    "check_isolation",
    "migrate",
    "shipped",
    "unprotected_tables",
]

log = logging.getLogger(__name__)

# -- the fixed names in the database, and addresses made of them
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


# -- the schema

LOCK = int.from_bytes(b"vitalmig", "big")
"""Number of the advisory lock: any 64 bits that no other program uses in the database."""

RECORD = """
create table if not exists vital_migrations (number int primary key, name text not null, checksum text not null,
    applied_at timestamptz not null default now());
grant select on vital_migrations to public
"""
# Everybody may read it: a service that may not migrate must see whether it needs to.

FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, its text and the SHA-256 of that in hex."""

    number: int
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.sql).hexdigest()


def shipped(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The migrations, by number.

    :param folder: default: this package's.
    :raises SetupError: two files have one number.
    """
    place = folder or files(__package__).joinpath("migrations")
    found = sorted((f.name, f) for f in place.iterdir() if FILE.fullmatch(f.name))
    migrations = tuple(Migration(int(name[:4]), name, file.read_bytes()) for name, file in found)
    for one, next_one in pairwise(migrations):
        if one.number == next_one.number:
            raise SetupError(f"two migrations have the number {one.number}: {one.name} and {next_one.name}")
    return migrations


async def migrate(url: str, migrations: Sequence[Migration] | None = None, *, within: float = 120.0) -> tuple[str, ...]:
    """Apply to a database what it lacks.

    :param url: of the database, as the tables' owner.
    :param migrations: default: those of this package.
    :param within: seconds to wait for another process that is migrating, and for each statement.
    :returns: names of what was applied, in order.
    :raises StoreError: the database cannot be reached or changed, or holds another version of an applied file.
    """
    wanted = shipped() if migrations is None else tuple(migrations)
    with typed_errors():
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=int(within)) as conn:
            if not _missing(wanted, await _applied(conn)):
                return ()
            limit = f"{int(within * 1000)}ms"
            await conn.execute("select set_config(n, %s, false) from unnest(%s::text[]) n", [limit, ["lock_timeout"]])
            await conn.execute("select pg_advisory_lock(%s)", [LOCK])
            # The first process has applied all by now; the others find nothing missing.
            missing = _missing(wanted, await _applied(conn))
            for migration in missing:
                await _apply(conn, migration)
            return tuple(m.name for m in missing)


async def _applied(conn: psycopg.AsyncConnection) -> dict[int, tuple[str, str]]:
    there = await (await conn.execute("select to_regclass('vital_migrations') is not null")).fetchone()
    if there is None or not there[0]:
        return {}
    rows = await (await conn.execute("select number, name, checksum from vital_migrations")).fetchall()
    return {number: (name, checksum) for number, name, checksum in rows}


def _missing(wanted: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    for migration in wanted:
        _, checksum = applied.get(migration.number, ("", migration.checksum))
        if checksum != migration.checksum:
            raise StoreError(f"{migration.name} differs from what was applied to this database", service="store")
    newer = sorted(applied.keys() - {m.number for m in wanted})
    if newer:
        log.warning("the database is ahead of this version by the migrations %s", [applied[n][0] for n in newer])
    return [m for m in wanted if m.number not in applied]


async def _apply(conn: psycopg.AsyncConnection, migration: Migration) -> None:
    try:
        async with conn.transaction():
            await conn.execute(RECORD)
            await conn.execute(migration.sql)
            await conn.execute(
                "insert into vital_migrations (number, name, checksum) values (%s, %s, %s)",
                [migration.number, migration.name, migration.checksum],
            )
    except psycopg.errors.InsufficientPrivilege as error:
        reason = f"{migration.name} is missing in the database, and this login may not apply it ({OWNER} may)"
        raise StoreError(f"{reason}: {error.diag.message_primary}", service="store") from error
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error)
        raise StoreError(f"{migration.name} failed ({error.sqlstate}): {said}", service="store") from error
    log.info("applied %s", migration.name)


LOGIN = """
select rolname, rolsuper or rolbypassrls, pg_has_role(rolname, %(app)s, 'SET')
from pg_roles where rolname = session_user
"""

# A role may also become, or inherit from, every role that it is a member of.
ROLES_THAT_BYPASS = """
select r.rolname from pg_roles r
where pg_has_role(%(app)s, r.oid, 'MEMBER')
  and (r.rolsuper or r.rolbypassrls or exists (
      select 1 from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant'
      where c.relkind in ('r', 'p') and c.relowner = r.oid))
"""

# relkind r: a table, p: a partitioned one. Permissive policies are joined by OR, so each of them must name the tenant.
UNPROTECTED = r"""
select c.oid::regclass::text from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant' and not a.attisdropped
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'
  and not (c.relrowsecurity and c.relforcerowsecurity
           and exists (select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*')
           and not exists (
               select from pg_policy p, pg_get_expr(p.polqual, c.oid) seen, pg_get_expr(p.polwithcheck, c.oid) written
               where p.polrelid = c.oid and p.polpermissive
                 and (p.polcmd <> 'a' and coalesce(seen, '') not like '%vital%tenant%'
                      or p.polcmd not in ('r', 'd') and coalesce(written, seen, '') not like '%vital%tenant%')))
order by 1
"""


async def check_isolation(conn: psycopg.AsyncConnection[Any]) -> None:
    """Check that the role of *conn* cannot reach the rows of another tenant.

    :param conn: a connection of the application's role.
    :raises SetupError: it can; the message says what to do.
    """
    app = {"app": APPLICATION}
    if not await (await conn.execute("select 1 from pg_roles where rolname = %(app)s", app)).fetchone():
        raise SetupError(f"the role {APPLICATION} does not exist: run store/roles.sql as a superuser")
    login = await (await conn.execute(LOGIN, app)).fetchone()
    if login is None or login[1]:
        raise SetupError(
            f"the login {login and login[0]} bypasses row-level security: log in as vital_service (store/roles.sql)"
        )
    if not login[2]:
        raise SetupError(f"the login {login[0]} may not become {APPLICATION}: grant {APPLICATION} to {login[0]}")
    if bypass := await (await conn.execute(ROLES_THAT_BYPASS, app)).fetchall():
        raise SetupError(f"{APPLICATION} can bypass row-level security through {', '.join(r[0] for r in bypass)}")
    if open_tables := await unprotected_tables(conn):
        raise SetupError(f"these tables hold tenants' rows without forced row-level security: {', '.join(open_tables)}")


async def unprotected_tables(conn: psycopg.AsyncConnection[Any]) -> tuple[str, ...]:
    """Tables with a ``tenant`` column without row-level security, enabled and forced, by policies that name the tenant."""
    return tuple(row[0] for row in await (await conn.execute(UNPROTECTED)).fetchall())
