"""Refuses a database in which one tenant could reach another's rows."""

from __future__ import annotations

from typing import Any

import psycopg

from vital_engine.errors import SetupError

from .address import APPLICATION

__all__ = ["check_isolation", "unprotected_tables"]

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
    """Raises SetupError, saying what to do, unless tenants are kept apart for whoever logs in as *conn* does."""
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
