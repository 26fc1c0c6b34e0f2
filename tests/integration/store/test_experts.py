"""A tenant's own experts."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from vital_engine.errors import NotFound, Refused, StoreError
from vital_engine.nouns import Expert, Scope
from vital_engine.store import Experts, Store

CLINIC = Scope("clinic", "anna")
HEART = Expert(
    "heart", "Cardiology", "The heart.", "Be brief.", model="m", tools=("calculator",), domains=("guidelines", "trials")
)


@pytest.fixture
def experts(store: Store) -> Experts:
    return Experts(store)


async def test_an_expert_comes_back_as_it_was_added(experts: Experts) -> None:
    await experts.add(HEART, CLINIC)
    assert await experts.get("heart", CLINIC) == HEART
    plain = Expert("a", "A", "", "", modes=(2,))
    await experts.add(plain, CLINIC)
    assert await experts.list(CLINIC) == (plain, HEART)


async def test_an_id_is_taken_once_unless_it_is_replaced(experts: Experts) -> None:
    await experts.add(HEART, CLINIC)
    other = Expert("heart", "Other", "", "")
    with pytest.raises(Refused):
        await experts.add(other, CLINIC)
    assert await experts.get("heart", CLINIC) == HEART
    await experts.add(other, CLINIC, replace=True)
    assert await experts.get("heart", CLINIC) == other


async def test_experts_are_their_tenants(experts: Experts) -> None:
    rival = Scope("rival", "anna")
    await experts.add(HEART, CLINIC)
    assert await experts.list(rival) == ()
    for call in (experts.get, experts.remove):
        with pytest.raises(NotFound):
            await call("heart", rival)
    await experts.add(HEART, rival)
    await experts.remove("heart", CLINIC)
    assert await experts.list(CLINIC) == ()
    assert await experts.list(rival) == (HEART,)


@pytest.mark.parametrize("profile", [{"id": "x"}, {"id": "x", "name": 3, "description": "", "instructions": ""}])
async def test_a_profile_that_is_none_is_an_error(store: Store, experts: Experts, profile: dict[str, object]) -> None:
    async with store.transaction("clinic") as conn:
        await conn.execute("insert into experts (tenant, id, profile) values ('clinic', 'x', %s)", [Jsonb(profile)])
    with pytest.raises(StoreError, match="another version"):
        await experts.get("x", CLINIC)


async def test_a_profile_of_a_later_version_is_not_read_as_if_it_were_ours(store: Store, experts: Experts) -> None:
    await experts.add(HEART, CLINIC)
    async with store.transaction("clinic") as conn:
        await conn.execute("""update experts set profile = profile || '{"must_never": ["prescribe"]}'""")
    with pytest.raises(StoreError, match="must_never"):
        await experts.get("heart", CLINIC)
