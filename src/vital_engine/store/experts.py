"""Experts: the profiles that a tenant has added to those that come with the engine.

It stands alone because each table family has one place for its SQL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pydantic import TypeAdapter

from vital_engine.errors import NotFound, Refused, StoreError
from vital_engine.nouns import Expert, Scope
from vital_engine.nouns.codec import JSON

from .plain import json_text, storable
from .pool import Store

__all__ = ["Experts"]

PROFILE = TypeAdapter(Expert)

ADD = """
insert into experts as e (tenant, id, profile) values (%(tenant)s, %(id)s, %(profile)s)
on conflict (tenant, id) do update set profile = excluded.profile, updated_at = now() where %(replace)s
returning 1
"""


class Experts:
    """A tenant's own experts; all of its users share them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, scope: Scope) -> tuple[Expert, ...]:
        """All of the tenant's experts, by id."""
        async with self._store.transaction(scope.tenant) as conn:
            rows = await (await conn.execute("select profile from experts order by id")).fetchall()
        return tuple(_expert(row[0]) for row in rows)

    async def get(self, expert: str, scope: Scope) -> Expert:
        """One of the tenant's own experts.

        :param expert: its id.
        :param scope: the tenant.
        :raises NotFound: the tenant has no such expert.
        """
        async with self._store.transaction(scope.tenant) as conn:
            row = await (await conn.execute("select profile from experts where id = %s", [storable(expert)])).fetchone()
        if row is None:
            raise NotFound(f"no expert {expert}")
        return _expert(row[0])

    async def add(self, expert: Expert, scope: Scope, *, replace: bool = False) -> None:
        """Store an expert.

        :param expert: the profile.
        :param scope: the tenant.
        :param replace: whether it may replace an expert of the same id.
        :raises Refused: the id is taken.
        """
        given = {
            "tenant": scope.tenant,
            "id": storable(expert.id),
            "profile": json_text(dataclasses.asdict(expert)),
            "replace": replace,
        }
        async with self._store.transaction(scope.tenant) as conn:
            if await (await conn.execute(ADD, given)).fetchone() is None:
                raise Refused(f"there is an expert {expert.id} already")

    async def remove(self, expert: str, scope: Scope) -> None:
        """Delete one of the tenant's own experts.

        :param expert: its id.
        :param scope: the tenant.
        :raises NotFound: the tenant has no such expert.
        """
        async with self._store.transaction(scope.tenant) as conn:
            if (await conn.execute("delete from experts where id = %s", [storable(expert)])).rowcount == 0:
                raise NotFound(f"no expert {expert}")


def _expert(profile: Mapping[str, JSON]) -> Expert:
    unknown = profile.keys() - {field.name for field in dataclasses.fields(Expert)}
    try:
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return PROFILE.validate_python(profile)
    except ValueError as error:  # pydantic's ValidationError is one
        raise StoreError(f"an expert's profile was written by another version: {error}", service="store") from error
