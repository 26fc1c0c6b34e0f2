"""Another tenant's rows do not exist: tried in SQL, with the role that the service has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors, sql

from vital_engine.errors import Refused, SetupError
from vital_engine.store import Store, open_store
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN, APPLICATION, OWNER, SERVICE, unprotected_tables

SET_UP = """
insert into conversations (tenant, user_id, id, title) values ('{t}', 'u', 'c', 'secret');
insert into turns (tenant, run_id, user_id, conversation, mode, question, status)
    values ('{t}', 'r', 'u', 'c', 2, 'secret', 'running');
insert into ledger (tenant, call_id, run_id, user_id, position, purpose, model, provider, price, status)
    values ('{t}', 'call', 'r', 'u', 0, 'reply', 'm', 'p', '', 'done');
insert into citations (tenant, run_id, position, marker, verdict, sentence, passage, document, title, start_char,
    end_char, quote, source, notes) values ('{t}', 'r', 0, 1, 'verified', 0, 'p', 'd', '', 0, 1, 'q', '', '{{}}');
insert into facts (tenant, user_id, text, source_run) values ('{t}', 'u', 'secret', 'r');
insert into experts (tenant, id, profile) values ('{t}', 'e', '{{}}');
insert into turn_vectors (tenant, run_id, user_id, conversation, ordinal, model, embedding)
    select tenant, run_id, user_id, conversation, ordinal, 'm', '[1]' from turns;
"""
TABLES = ("conversations", "turns", "ledger", "citations", "facts", "experts", "turn_vectors")


@pytest.fixture
async def store(store: Store) -> Store:
    """Two tenants, with the same identifiers for everything."""
    for tenant in ("theirs", "ours"):
        async with store.transaction(tenant) as conn:
            await conn.execute(SET_UP.format(t=tenant).encode())
    return store


@pytest.fixture
def admin(database_server: EmbeddedServer, database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_server.url(role=ADMIN, database=database), autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize("table", TABLES)
async def test_only_the_tenants_own_rows_can_be_read(store: Store, table: str) -> None:
    async with store.transaction("ours") as conn:
        rows = await (await conn.execute(sql.SQL("select tenant from {}").format(sql.Identifier(table)))).fetchall()
    assert rows == [("ours",)]


@pytest.mark.parametrize("table", TABLES)
async def test_rows_of_another_tenant_cannot_be_changed_or_deleted(
    store: Store, admin: psycopg.Connection, table: str
) -> None:
    before = admin.execute(sql.SQL("select * from {} where tenant = 'theirs'").format(sql.Identifier(table))).fetchall()
    for statement in ("update {} set tenant = tenant", "delete from {}"):
        query = sql.SQL(statement + " where tenant = 'theirs'").format(sql.Identifier(table))
        async with store.transaction("ours") as conn:
            with contextlib.suppress(errors.InsufficientPrivilege):  # not granted at all
                async with conn.transaction():
                    assert (await conn.execute(query)).rowcount == 0
    after = admin.execute(sql.SQL("select * from {} where tenant = 'theirs'").format(sql.Identifier(table))).fetchall()
    assert after == before and len(before) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "insert into experts (tenant, id, profile) values ('theirs', 'new', '{}')",
        "update experts set tenant = 'theirs', id = 'moved'",
        "insert into facts (tenant, user_id, text, source_run) values ('theirs', 'u', 'planted', 'r')",
    ],
)
async def test_rows_cannot_be_given_to_another_tenant(store: Store, statement: str) -> None:
    with pytest.raises(Exception, match="row-level security") as caught:
        async with store.transaction("ours") as conn:
            await conn.execute(statement.encode())
    assert isinstance(caught.value.__cause__, errors.InsufficientPrivilege)


async def test_a_key_of_one_tenant_never_collides_with_anothers(store: Store) -> None:
    """A refused insert would tell that the other tenant has such an id."""
    async with store.transaction("third") as conn:
        await conn.execute(b"insert into experts (tenant, id, profile) values ('third', 'e', '{}')")


@pytest.mark.parametrize("unset", ["reset vital.tenant", "set local vital.tenant = ''"])
async def test_without_a_tenant_there_is_nothing(store: Store, unset: str) -> None:
    async with store.transaction("ours") as conn:
        await conn.execute(unset.encode())
        for table in TABLES:
            query = sql.SQL("select count(*) from {}").format(sql.Identifier(table))
            assert await (await conn.execute(query)).fetchone() == (0,), table
        with pytest.raises(errors.InsufficientPrivilege):
            async with conn.transaction():
                await conn.execute(b"insert into experts (tenant, id, profile) values ('', 'x', '{}')")


@pytest.mark.parametrize("tenant", ["", "a\0b", "\ud800"])
async def test_no_transaction_without_a_tenant(store: Store, tenant: str) -> None:
    with pytest.raises(Refused):
        async with store.transaction(tenant):
            pass


async def test_the_next_borrower_inherits_nothing(database_server: EmbeddedServer, database: str) -> None:
    """One connection in the pool: what the first leaves behind, the second finds."""
    async with open_store(
        url=database_server.url(database=database),
        owner_url=database_server.url(role=OWNER, database=database),
        pool_size=1,
    ) as store:
        async with store.transaction("ours") as conn:
            await conn.execute(b"insert into experts (tenant, id, profile) values ('ours', 'e', '{}')")
        for leave in ("commit", "rollback"):
            async with store.transaction("ours") as conn:
                await getattr(conn, leave)()
                state = "select current_user, coalesce(current_setting('vital.tenant', true), '')"
                assert await (await conn.execute(state.encode())).fetchone() == (SERVICE, "")
                await conn.rollback()
                with pytest.raises(errors.InsufficientPrivilege):
                    async with conn.transaction():
                        await conn.execute(b"select * from experts")
        async with store._pool.connection() as conn:  # as a query outside of any transaction of ours would find it
            with pytest.raises(errors.InsufficientPrivilege):
                await conn.execute(b"select * from experts")


@pytest.mark.parametrize(
    "attempt",
    [
        "set role vital_owner",
        "set local role postgres",
        "set session authorization vital_owner",
        "reset session authorization",
        "reset role",
        "set role none",
        "set local row_security = off",
        "alter table experts disable row level security",
        "alter table experts no force row level security",
        "drop policy tenant on experts",
        "alter role vital_app bypassrls",
        "grant vital_owner to vital_app",
        "create policy mine on experts using (true)",
        "copy experts to '/tmp/stolen'",
        "select pg_read_file('postgresql.conf')",
    ],
)
async def test_no_way_around(store: Store, attempt: str) -> None:
    """Whatever a statement of the application tries first, it reads no row of another tenant afterwards."""
    async with store.transaction("ours") as conn:
        with contextlib.suppress(errors.InsufficientPrivilege, errors.InvalidParameterValue):
            async with conn.transaction():
                await conn.execute(attempt.encode())
                seen = await (await conn.execute(b"select tenant from experts")).fetchall()
                assert seen == [("ours",)]


def test_every_table_with_a_tenant_has_forced_row_level_security(admin: psycopg.Connection) -> None:
    """Also those of migrations to come."""
    tables = admin.execute(
        "select c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner) from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant' where c.relkind in ('r', 'p')"
    ).fetchall()
    assert {name for name, *_ in tables} >= set(TABLES)
    for name, enabled, forced, owner in tables:
        assert enabled and forced and owner == OWNER, name
        policies = admin.execute(
            "select cmd, qual, with_check from pg_policies where tablename = %s", [name]
        ).fetchall()
        assert policies, name
        for command, seen, written in policies:
            assert command == "ALL" and "tenant" in seen and "tenant" in (written or seen), name


def test_what_the_application_may_reach_has_a_tenant(admin: psycopg.Connection) -> None:
    """A table without a tenant column is everybody's: such tables are named here, and hold nobody's data."""
    shared = admin.execute(
        "select relname from pg_class c where relkind in ('r', 'p', 'v', 'm') and relnamespace = 'public'::regnamespace"
        " and has_table_privilege(%s, c.oid, 'select, insert, update, delete')"
        " and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant')",
        [APPLICATION],
    ).fetchall()
    assert {name for (name,) in shared} <= {"embedding_models", "vital_migrations"}


@pytest.mark.parametrize(
    "mistake",
    [
        "create table leaky (tenant text, secret text)",
        "alter table experts no force row level security",
        "alter table experts disable row level security",
        "drop policy tenant on experts; drop policy tenant_only on experts",
        "create policy wide on experts using (true)",
        "create policy wide on experts for select using (true)",
        "create policy wide on experts for insert with check (true)",
    ],
)
async def test_a_database_that_would_mix_tenants_is_refused(
    database_server: EmbeddedServer, database: str, mistake: str
) -> None:
    owner = database_server.url(role=OWNER, database=database)
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute(mistake.encode())
    with pytest.raises(SetupError, match=r"leaky|experts"):
        async with open_store(url=database_server.url(database=database), owner_url=owner):
            pass


async def test_a_stray_permissive_policy_opens_nothing(store: Store, admin: psycopg.Connection) -> None:
    admin.execute(b"create policy wide on experts using (true)")
    async with store.transaction("ours") as conn:
        assert await (await conn.execute(b"select tenant from experts")).fetchall() == [("ours",)]


async def test_a_login_that_bypasses_row_level_security_is_refused(
    database_server: EmbeddedServer, database: str
) -> None:
    superuser = database_server.url(role=ADMIN, database=database)
    with pytest.raises(SetupError, match="bypasses row-level security"):
        async with open_store(url=superuser):
            pass


async def test_an_application_role_that_could_become_the_owner_is_refused(
    database_server: EmbeddedServer, database: str, admin: psycopg.Connection
) -> None:
    admin.execute(b"grant vital_owner to vital_app")
    try:
        with pytest.raises(SetupError, match="vital_owner"):
            async with open_store(
                url=database_server.url(database=database), owner_url=database_server.url(role=OWNER, database=database)
            ):
                pass
    finally:
        admin.execute(b"revoke vital_owner from vital_app")


async def test_one_login_for_all_is_bound_by_its_tenant_too(
    database_server: EmbeddedServer, database: str, admin: psycopg.Connection
) -> None:
    owner = database_server.url(role=OWNER, database=database)
    with pytest.raises(SetupError, match="grant vital_app to vital_owner"):
        async with open_store(url=owner):
            pass
    admin.execute(b"grant vital_app to vital_owner")
    try:
        async with open_store(url=owner) as store:
            for tenant in ("theirs", "ours"):
                async with store.transaction(tenant) as conn:
                    await conn.execute(SET_UP.format(t=tenant).encode())
            async with store.transaction("ours") as conn:
                for role in ("set role vital_app", "reset role"):
                    await conn.execute(role.encode())
                    assert await (await conn.execute(b"select tenant from experts")).fetchall() == [("ours",)]
    finally:
        admin.execute(b"revoke vital_app from vital_owner")


async def test_the_owner_reads_nothing_either(store: Store) -> None:
    async with store.owner() as conn:
        assert await (await conn.execute(b"select * from experts")).fetchall() == []


async def test_unprotected_tables_names_them(store: Store) -> None:
    async with store.owner() as conn:
        assert await unprotected_tables(conn) == ()
        await conn.execute(b"create table leaky (tenant text)")
        assert await unprotected_tables(conn) == ("leaky",)
