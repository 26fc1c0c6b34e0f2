"""Whoever asks gets one value or one error, and no key is ever computed twice at once: whatever is cancelled when."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from vital_engine.flow import run_in_background, run_virtual
from vital_engine.services.caching import Cache


@dataclass(frozen=True)
class Principal:
    key: str
    at: int
    leaves: int | None  # so many ticks after it came


@dataclass(frozen=True)
class Work:
    ticks: int
    fails: bool
    dies: int  # ticks that it needs to end when it is cancelled
    deaf: bool  # makes its value in spite of being cancelled


class Broken(Exception):
    pass


ASKERS = st.builds(Principal, key=st.sampled_from("ab"), at=st.integers(0, 8), leaves=st.none() | st.integers(0, 6))
WORKS = st.builds(Work, ticks=st.integers(0, 5), fails=st.booleans(), dies=st.integers(0, 3), deaf=st.booleans())


@settings(max_examples=300)
@given(
    askers=st.lists(ASKERS, min_size=1, max_size=8),
    works=st.lists(WORKS, min_size=1, max_size=4),
    entries=st.integers(1, 2),
)
def test_each_asker_is_answered_once_and_each_key_is_computed_once_at_a_time(
    askers: list[Principal], works: list[Work], entries: int
) -> None:
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    deserted: Counter[str] = Counter()  # how often the last one who waited for a key went
    stopped: Counter[str] = Counter()
    begun = 0
    made: dict[str, set[int]] = {"a": set(), "b": set()}
    broken: set[int] = set()
    cache: Cache[str, int] = Cache("test", entries=entries, start=run_in_background)

    async def compute(key: str) -> int:
        nonlocal begun
        work, number = works[begun % len(works)], begun
        begun += 1
        running[key] += 1
        assert running[key] == 1
        try:
            await asyncio.sleep(work.ticks)
        except asyncio.CancelledError:
            stopped[key] += 1
            if work.dies:
                await asyncio.sleep(work.dies)
            if not work.deaf:
                raise
        finally:
            running[key] -= 1
        if work.fails:
            broken.add(number)
            raise Broken(number)
        made[key].add(number)
        return number

    async def ask(principal: Principal) -> object:
        await asyncio.sleep(principal.at)
        waiting[principal.key] += 1
        try:
            return (await cache.get(principal.key, lambda: compute(principal.key)))[0]
        except Broken as error:
            return error
        except asyncio.CancelledError:
            # Nobody is cancelled by what another one does, or before the time.
            assert principal.leaves is not None
            assert asyncio.get_running_loop().time() == principal.at + principal.leaves
            deserted[principal.key] += waiting[principal.key] == 1
            raise
        finally:
            waiting[principal.key] -= 1

    async def turn() -> list[object]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(ask(principal)) for principal in askers]
        for task, principal in zip(tasks, askers, strict=True):
            if principal.leaves is not None:
                loop.call_later(principal.at + principal.leaves, task.cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    for principal, got in zip(askers, run_virtual(turn()), strict=True):
        if isinstance(got, asyncio.CancelledError):
            assert principal.leaves is not None
        elif isinstance(got, Broken):
            assert got.args[0] in broken
        else:
            assert got in made[principal.key]
    assert not +running
    assert stopped <= deserted
    assert not cache._flights
    assert len(cache) <= entries
