import pytest


@pytest.mark.parametrize("i", range(10))
async def test_x(store, i):
    async with store.transaction("a") as c:
        await c.execute("insert into experts(tenant,id,profile) values ('a','1','{}')")
    async with store.transaction("b") as c:
        assert not await (await c.execute("select * from experts")).fetchall()
