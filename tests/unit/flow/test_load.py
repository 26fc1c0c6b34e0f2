"""How busy a service is: what is in flight now, and on average over the last while."""

from __future__ import annotations

import asyncio
import math

import pytest

from vital_engine.flow import Load, run_virtual


def test_a_call_takes_a_place_for_as_long_as_it_is_open() -> None:
    async def check() -> None:
        load = Load(2)
        with load.call():
            assert load.free
            with pytest.raises(ValueError, match="broke"), load.call():
                assert not load.free
                raise ValueError("broke")
            assert load.free
        assert load.in_flight == 0

    run_virtual(check())


def test_utilisation_is_an_average_that_forgets() -> None:
    async def check() -> None:
        load = Load(4, seconds=10.0)
        assert load.utilisation == 0.0
        with load.call(), load.call():
            await asyncio.sleep(10.0)
            assert load.utilisation == pytest.approx(0.5 * (1 - math.exp(-1)))
            await asyncio.sleep(1000.0)
            assert load.utilisation == pytest.approx(0.5)
        await asyncio.sleep(10.0)
        assert load.utilisation == pytest.approx(0.5 * math.exp(-1))

    run_virtual(check())


def test_what_says_no_capacity_is_never_busy() -> None:
    async def check() -> None:
        load = Load()
        with load.call():
            await asyncio.sleep(60.0)
            assert load.free and load.utilisation == 0.0

    run_virtual(check())
