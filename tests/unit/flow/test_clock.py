"""Virtual time is exact, in order, the same every time, and never hangs."""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import AsyncIterator

import pytest

from vital_engine.flow import Deadlock, VirtualLoop, abandoned, bounded, run_virtual
from vital_engine.flow.limits import abandon

from .things import deaf, hang


def test_a_hundred_thousand_sleeps_sum_up_exactly() -> None:
    async def main() -> float:
        for _ in range(100_000):
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run_virtual(main()) == 10_000.0
    assert time.perf_counter() - began < 30.0


@pytest.mark.parametrize("delays", [[0.1, 0.2, 0.3], [2.8, 2.15], [1e-9] * 1000, [86_400.0, 1e-6]])
def test_sums_of_delays_are_as_exact_as_the_delays(delays: list[float]) -> None:
    async def main() -> float:
        for delay in delays:
            await asyncio.sleep(delay)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == round(sum(delays), 9)


def test_timers_of_one_moment_fire_in_the_order_in_which_they_were_set() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        fired: list[int] = []
        at = random.Random(7)
        moments = [at.choice([1.0, 2.0, 0.5 + 0.5, 3 * 0.1]) for _ in range(500)]
        for i, moment in enumerate(moments):
            loop.call_at(moment, fired.append, i)
        await asyncio.sleep(3)
        assert fired == sorted(range(500), key=lambda i: (round(moments[i], 9), i))
        return fired

    assert run_virtual(main()) == run_virtual(main())


def test_who_sleeps_until_a_moment_gets_there() -> None:
    """Though what is left of it may be less than a nanosecond."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        until = 0.1 + 0.2
        turns = 0
        while loop.time() < until:
            await asyncio.sleep(until - loop.time())
            turns += 1
        assert turns <= 2 and abs(loop.time() - until) < 2e-9

    run_virtual(main())


def test_a_cancelled_timer_is_jumped_over_and_timers_are_not_ordered_with_strangers() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(5, print)
        timer.cancel()
        with pytest.raises(TypeError):
            assert timer < 3
        await asyncio.sleep(7)
        return loop.time()

    assert run_virtual(main()) == 7.0


def test_what_is_left_at_the_end_is_cancelled_in_the_order_in_which_it_was_begun() -> None:
    """Not in that of a set: the same run twice is the same to its very end."""
    gone: list[int] = []

    async def left(number: int) -> None:
        try:
            await hang()
        finally:
            gone.append(number)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        kept.extend(loop.create_task(left(number)) for number in range(50))
        await asyncio.sleep(1)
        for task in kept[::7]:
            task.cancel()
        await asyncio.sleep(1)
        del kept[::7], gone[:]
        kept.extend(loop.create_task(left(number)) for number in range(50, 60))
        await asyncio.sleep(1)

    kept: list[asyncio.Task[None]] = []
    run_virtual(main())
    assert gone == [number for number in range(60) if number % 7 or number >= 50]


def test_a_deadlock_is_told_and_not_slept_through() -> None:
    with pytest.raises(Deadlock, match="cannot happen"):
        run_virtual(hang())


def test_threads_take_real_time_beside_virtual_timers() -> None:
    async def main() -> tuple[list[str], float]:
        loop = asyncio.get_running_loop()
        seen: list[str] = []
        loop.call_later(0.05, seen.append, "timer")
        loop.call_later(50.0, seen.append, "far off")
        await asyncio.to_thread(time.sleep, 0.2)
        seen.append("thread")
        assert 0.15 < loop.time() < 40.0
        return seen, loop.time()

    began = time.perf_counter()
    seen, _ = run_virtual(main())
    assert seen == ["timer", "thread"] and time.perf_counter() - began < 40.0


def test_a_thread_without_any_timer_is_waited_for() -> None:
    async def main() -> float:
        await asyncio.to_thread(time.sleep, 0.05)
        return asyncio.get_running_loop().time()

    assert 0.03 < run_virtual(main()) < 60.0


def test_a_limit_fires_while_a_thread_blocks() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await bounded(asyncio.to_thread(time.sleep, 0.5), within=0.1)
        return asyncio.get_running_loop().time()

    assert 0.1 <= run_virtual(main()) < 0.4


def test_what_is_deaf_does_not_hold_the_end() -> None:
    async def spins() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                continue

    async def refuses_to_be_closed() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(1)
            except BaseException:
                continue

    async def waits_for_nothing() -> None:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue

    async def breaks_as_it_goes() -> None:
        try:
            await hang()
        finally:
            raise ValueError("on the way out")

    async def main() -> str:
        works = (deaf(), spins(), refuses_to_be_closed(), waits_for_nothing(), breaks_as_it_goes(), hang())
        tasks = [asyncio.ensure_future(work) for work in works]
        abandon(tasks[0])
        await asyncio.sleep(0)
        return "done"

    assert run_virtual(main()) == "done" and not abandoned


def test_what_is_left_may_clean_up_for_a_while() -> None:
    seen: list[str] = []

    async def cleans_up() -> None:
        try:
            await hang()
        finally:
            await asyncio.sleep(0.5)
            seen.append("cleaned")

    async def main() -> None:
        asyncio.ensure_future(cleans_up())  # noqa: RUF006
        await asyncio.sleep(1)

    run_virtual(main())
    assert seen == ["cleaned"]


def test_open_generators_are_closed() -> None:
    seen: list[str] = []

    async def inner() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0.1)
            seen.append("inner")

    async def outer() -> AsyncIterator[int]:
        generator = inner()
        try:
            async for item in generator:
                yield item
        finally:
            seen.append("outer")

    kept = []

    async def main() -> None:
        generator = outer()
        kept.append(generator)
        assert await anext(generator) == 1

    run_virtual(main())
    assert sorted(seen) == ["inner", "outer"]


def test_an_error_and_a_cancellation_come_out_as_they_are() -> None:
    async def fails() -> None:
        raise ValueError("out")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="out"):
        run_virtual(fails())
    with pytest.raises(asyncio.CancelledError):
        run_virtual(cancelled())


async def test_it_is_not_run_inside_another_loop() -> None:
    with pytest.raises(RuntimeError, match="a loop of its own"):
        run_virtual(hang())


def test_the_context_of_the_caller_is_seen() -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    var.set("caller")

    async def main() -> str:
        return var.get()

    assert run_virtual(main()) == "caller"


def test_the_loop_starts_at_nought_and_can_be_moved() -> None:
    loop = VirtualLoop()
    assert loop.time() == 0.0
    loop.advance(0.1)
    loop.advance(0.2)
    assert loop.time() == 0.3 and loop.jump_if_idle() is False
    loop.call_soon(print)
    assert loop.jump_if_idle() is True and loop.time() == 0.3
    loop.close()
