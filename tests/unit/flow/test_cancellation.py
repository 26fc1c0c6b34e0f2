"""Cancelling the caller cancels every step, in bounded time, at whatever moment, and is never swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from vital_engine.flow import (
    SEQUENTIAL,
    Failed,
    Flow,
    FlowEnded,
    Policy,
    StepEnded,
    abandoned,
    step,
)

from .things import A, B, C, Watcher, deaf, hang, virtual

unwound: list[str] = []


async def hangs() -> A:
    try:
        await hang()
    finally:
        unwound.append("hangs")
    return A()


async def takes_a_second() -> B:
    try:
        await asyncio.sleep(1)
    finally:
        unwound.append("takes_a_second")
    return B()


async def afterwards(b: B) -> C:
    return C()


FLOW = Flow("f", step(hangs), step(takes_a_second), step(afterwards).fallback(C("none")))


def after(passes: int, act: Callable[[], Any]) -> None:
    """*act* after that many passes of the loop."""
    if passes:
        asyncio.get_running_loop().call_soon(after, passes - 1, act)
    else:
        act()


@virtual
async def test_every_step_is_cancelled_with_the_caller_and_each_has_its_outcome() -> None:
    unwound.clear()
    watcher = Watcher()
    task = asyncio.ensure_future(FLOW.run(observers=[watcher]))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(unwound) == ["hangs", "takes_a_second"] and task.cancelling() == 1
    reasons = {event.step: event.outcome.reason for event in watcher.of(StepEnded)}
    assert reasons == {"hangs": "cancelled", "takes_a_second": "cancelled", "afterwards": "skipped"}
    assert watcher.of(FlowEnded) == [FlowEnded("f", True, 0.5)]


@virtual
async def test_what_has_no_seat_yet_is_cancelled_too() -> None:
    watcher = Watcher()
    task = asyncio.ensure_future(FLOW.under(SEQUENTIAL).run(observers=[watcher]))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})
    assert {event.step: event.outcome.reason for event in watcher.of(StepEnded)} == {
        "hangs": "cancelled",
        "takes_a_second": "cancelled",
        "afterwards": "skipped",
    }


@pytest.mark.parametrize("passes", range(11))
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_at_any_tick_it_ends_cancelled_or_complete_and_leaves_nothing(passes: int, at: float, times: int) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        watcher = Watcher()
        flow = Flow("f", step(takes_a_second), step(afterwards))
        task = loop.create_task(flow.run(observers=[watcher]))
        for again in range(times):
            loop.call_at(at, after, passes + again, task.cancel)
        await asyncio.wait({task})
        assert task.cancelled() or task.result()[C] == C()
        assert at == 1.0 or task.cancelled()
        assert loop.time() <= 1.0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        if watcher.events:  # it had begun
            assert len(watcher.of(StepEnded)) == 2 and len(watcher.of(FlowEnded)) == 1

    virtual(scenario)()


@virtual
async def test_a_second_cancellation_neither_hurries_nor_stops_the_unwinding() -> None:
    async def slow_to_go() -> A:
        try:
            await hang()
        finally:
            await asyncio.sleep(0.3)
        return A()

    loop = asyncio.get_running_loop()
    task = loop.create_task(Flow("f", step(slow_to_go).under(Policy(grace=0.5))).run())
    for at in (1.0, 1.1, 1.2):
        loop.call_at(at, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert loop.time() == 1.3 and task.cancelling() == 3


@virtual
async def test_deaf_steps_hold_a_cancelled_caller_no_longer_than_their_grace() -> None:
    async def is_deaf() -> A:
        await deaf()
        return A()

    loop, before = asyncio.get_running_loop(), len(abandoned)
    task = loop.create_task(Flow("f", step(is_deaf).under(Policy(grace=0.25))).run())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled() and loop.time() == 1.25 and len(abandoned) == before + 1


@virtual
async def test_it_works_under_a_timeout_and_in_a_task_group_of_the_caller() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await FLOW.run()
    me = asyncio.current_task()
    assert me is not None and me.cancelling() == 0 and loop.time() == 0.5

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            turn = group.create_task(FLOW.run())
            await asyncio.sleep(0.5)
            raise ValueError("a sibling of the run")
    assert turn.cancelled() and caught.group_contains(ValueError) and me.cancelling() == 0

    async with asyncio.timeout(5):
        run = await Flow("f", step(takes_a_second)).run()
    assert run[B]


@virtual
async def test_a_cancelled_error_of_a_steps_own_is_an_outcome_of_that_step() -> None:
    async def gives_up() -> A:
        raise asyncio.CancelledError("of its own")

    run = await Flow("f", step(gives_up), step(takes_a_second)).run()
    assert isinstance(run.outcomes[A], Failed) and run.degraded == {"gives_up": "cancelled"} and run[B]
    me = asyncio.current_task()
    assert me is not None and me.cancelling() == 0


@pytest.mark.parametrize("passes", range(4))
def test_a_task_of_a_step_that_a_stranger_cancels_is_an_outcome_too(passes: int) -> None:
    """Also before its first step, when none of its code can notice."""

    async def scenario() -> None:
        def cancel_it() -> None:
            for task in asyncio.all_tasks():
                if task.get_name() == "hangs":
                    task.cancel()

        after(passes, cancel_it)
        run = await Flow("f", step(hangs), step(takes_a_second)).run(within=5.0)
        assert run.degraded["hangs"] == ("timeout" if passes == 0 else "cancelled")
        assert passes == 0 or run.seconds == 1.0

    virtual(scenario)()


def test_a_loop_that_is_closed_around_a_run_says_nothing_and_ends() -> None:
    async def scenario() -> None:
        asyncio.ensure_future(FLOW.run())  # noqa: RUF006
        await asyncio.sleep(0.5)

    virtual(scenario)()
    asyncio.run(scenario())
