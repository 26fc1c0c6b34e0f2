"""One computation for all who ask for it at the same time; what it made is kept, within bounds; what failed is not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from vital_engine.errors import ConfigError
from vital_engine.flow import run_in_background, run_virtual
from vital_engine.services.caching import Cache, LRUCache


class Source:
    """Makes the number of its call, after a second; ``fail``: raises instead."""

    def __init__(self) -> None:
        self.begun = self.stopped = 0
        self.fail: Exception | None = None

    async def make(self) -> int:
        self.begun += 1
        try:
            await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.fail is not None:
            raise self.fail
        return self.begun


def cache(counted: list[str] | None = None, *, entries: int = 8, seconds: float | None = None) -> Cache[str, int]:
    count = (counted if counted is not None else []).append
    return Cache("test", entries=entries, seconds=seconds, start=run_in_background, count=count)


def task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def test_who_asks_at_the_same_time_shares_one_computation_and_the_next_finds_it_kept() -> None:
    counted: list[str] = []
    kept, source = cache(counted), Source()

    async def turn() -> Any:
        together = await asyncio.gather(*(kept.get("a", source.make) for _ in range(3)))
        return [*together, await kept.get("a", source.make)]

    assert run_virtual(turn()) == [(1, "miss"), (1, "shared"), (1, "shared"), (1, "hit")]
    assert source.begun == 1
    assert sorted(counted) == ["hit", "miss", "shared", "shared"]


def test_other_keys_do_not_wait_for_each_other() -> None:
    kept, source = cache(), Source()

    async def turn() -> float:
        await asyncio.gather(kept.get("a", source.make), kept.get("b", source.make))
        return asyncio.get_running_loop().time()

    began = run_virtual(turn())
    assert source.begun == 2
    assert began == 1.0


def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    kept, source = cache(), Source()
    source.fail = OSError("down")

    async def turn() -> Any:
        failed = await asyncio.gather(*(kept.get("a", source.make) for _ in range(2)), return_exceptions=True)
        source.fail = None
        return failed, await kept.get("a", source.make)

    failed, after = run_virtual(turn())
    assert failed[0] is failed[1]
    assert isinstance(failed[0], OSError)
    assert after == (2, "miss")


def test_the_one_who_began_may_go_without_stopping_the_others() -> None:
    kept, source = cache(), Source()

    async def turn() -> Any:
        first, second = task(kept.get("a", source.make)), task(kept.get("a", source.make))
        await asyncio.sleep(0.5)
        first.cancel()
        return await second, first.cancelled(), asyncio.get_running_loop().time()

    assert run_virtual(turn()) == ((1, "shared"), True, 1.0)
    assert source.stopped == 0


def test_when_nobody_is_left_the_computation_stops_and_the_next_one_begins_anew() -> None:
    kept, source = cache(), Source()

    async def turn() -> Any:
        asking = [task(kept.get("a", source.make)) for _ in range(2)]
        await asyncio.sleep(0.5)
        for each in asking:
            each.cancel()
        await asyncio.sleep(0)
        return await kept.get("a", source.make), asyncio.get_running_loop().time()

    assert run_virtual(turn()) == ((2, "miss"), 1.5)
    assert source.stopped == 1


def test_who_comes_while_a_dropped_computation_dies_does_not_run_beside_it() -> None:
    running, most = 0, 0

    async def slow_to_die() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(1.0)
        finally:
            await asyncio.sleep(2.0)
            running -= 1
        return "made"

    kept: Cache[str, str] = Cache("test", entries=1, start=run_in_background)

    async def turn() -> Any:
        first = task(kept.get("a", slow_to_die))
        await asyncio.sleep(0.5)
        first.cancel()
        await asyncio.sleep(0.5)
        return await asyncio.gather(*(kept.get("a", slow_to_die) for _ in range(2)))

    assert run_virtual(turn()) == [("made", "miss"), ("made", "shared")]
    assert most == 1


def test_what_may_not_be_kept_is_given_and_made_again() -> None:
    kept, source = cache(), Source()

    async def turn() -> Any:
        return [await kept.get("a", source.make, keep=lambda value: value > 1) for _ in range(3)]

    assert run_virtual(turn()) == [(1, "miss"), (2, "miss"), (2, "hit")]


def test_what_was_used_least_recently_goes_first() -> None:
    kept: LRUCache[str, int] = LRUCache(entries=2)
    for key in "ab":
        kept.put(key, 1)
    assert kept.get("a") == 1
    kept.put("c", 1)
    assert [key in kept for key in "abc"] == [True, False, True]
    assert len(kept) == 2


def test_values_that_weigh_are_kept_while_they_fit_together() -> None:
    kept: LRUCache[str, bytes] = LRUCache(entries=10, weigh=len)
    for key, size in (("a", 4), ("b", 4), ("a", 6), ("c", 5)):
        kept.put(key, bytes(size))
    assert ([key in kept for key in "abc"], kept.weight) == ([False, False, True], 5)
    kept.put("too much", bytes(11))
    assert (len(kept), kept.weight, kept.pop("c")) == (0, 0, None)


def test_nothing_is_kept_for_longer_than_it_may() -> None:
    kept, source = cache(seconds=10.0), Source()

    async def turn() -> Any:
        found = [await kept.get("a", source.make)]
        await asyncio.sleep(9.9)
        found.append(await kept.get("a", source.make))
        await asyncio.sleep(0.1)
        return [*found, await kept.get("a", source.make)]

    assert run_virtual(turn()) == [(1, "miss"), (1, "hit"), (2, "miss")]


@pytest.mark.parametrize("wrong", [{"entries": 0}, {"entries": 1, "seconds": 0.0}])
def test_no_room_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"at least 1|above 0"):
        cache(**wrong)
