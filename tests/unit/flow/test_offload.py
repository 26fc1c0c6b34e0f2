"""Calling somebody else's code: in the loop if it is async, in a thread if it may block, and with limits that hold."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable
from typing import Any

import pytest

from vital_engine.errors import ConfigError, StepAbandoned
from vital_engine.flow import (
    Done,
    Failed,
    abandoned,
    background_tasks,
    bounded,
    call,
    gather_outcomes,
    run_in_background,
    shutdown,
)

from .things import deaf, hang, virtual

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def where() -> str:
    return threading.current_thread().name


class Port:
    async def in_the_loop(self, x: int = 0) -> tuple[str, int]:
        return where(), x

    def in_a_thread(self, x: int = 0) -> tuple[str, int]:
        return where(), x

    @classmethod
    async def of_the_class(cls) -> tuple[str, int]:
        return where(), 0

    @staticmethod
    def static() -> tuple[str, int]:
        return where(), 0


class AsyncCallable:
    __hash__ = None  # type: ignore[assignment]

    async def __call__(self, x: int = 0) -> tuple[str, int]:
        return where(), x


class PlainCallable:
    def __call__(self, x: int = 0) -> tuple[str, int]:
        return where(), x


async def test_async_code_runs_in_the_loop() -> None:
    here = where()
    port = Port()
    for method in (port.in_the_loop, Port.of_the_class, AsyncCallable()):
        assert (await call(method))[0] == here
    assert await call(functools.partial(port.in_the_loop, x=3)) == (here, 3)
    assert await call(functools.partial(functools.partial(AsyncCallable(), 3))) == (here, 3)
    assert await call(functools.partial(port.in_the_loop), x=4) == (here, 4)


async def test_plain_code_runs_in_a_thread() -> None:
    port: Any = Port()
    plain: list[Any] = [port.in_a_thread, port.static, PlainCallable(), functools.partial(port.in_a_thread, 3)]
    for method in plain:
        assert (await call(method))[0].startswith("vital-step")
    assert (await call(port.in_a_thread, x=7))[1] == 7


async def test_a_plain_function_may_give_something_to_await() -> None:
    def gives() -> Awaitable[tuple[str, int]]:
        return Port().in_the_loop(5)

    assert await call(gives) == (where(), 5)


async def test_a_thread_has_the_context_of_its_caller() -> None:
    var.set("caller")
    plain: Any = var.get
    assert await call(plain) == "caller"


async def test_errors_come_out_of_a_thread_as_they_are_and_stop_iteration_does_not_hang() -> None:
    def fails(error: BaseException) -> Any:
        raise error

    with pytest.raises(ValueError, match="plain"):
        await call(fails, ValueError("plain"))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await bounded(call(fails, StopIteration()), within=5.0)


async def test_a_cancelled_caller_does_not_wait_for_its_thread() -> None:
    release = threading.Event()
    waiting: Any = release.wait
    task = asyncio.ensure_future(call(waiting, 10))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not release.is_set()
    release.set()


# -- bounded
async def answer(after: float = 0.0) -> int:
    await asyncio.sleep(after)
    return 42


async def fails() -> int:
    raise ValueError("inside")


@virtual
async def test_within_its_limit_work_is_what_it_is() -> None:
    assert await bounded(answer(0.9), within=1.0) == 42
    with pytest.raises(ValueError, match="inside"):
        await bounded(fails(), within=1.0)


@virtual
async def test_work_that_hangs_is_cancelled_at_its_limit() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError, match="longer than 1 s"):
        await bounded(hang(), within=1.0)
    assert loop.time() == 1.0


@virtual
async def test_work_that_ends_as_it_is_cancelled_is_late_all_the_same() -> None:
    async def late() -> int:
        try:
            await hang()
        except asyncio.CancelledError:
            pass
        return 1

    async def breaks() -> int:
        try:
            await hang()
        finally:
            raise ValueError("while it unwound")

    for work in (late(), breaks()):
        with pytest.raises(TimeoutError):
            await bounded(work, within=1.0)


@virtual
async def test_work_that_is_deaf_is_left_behind_and_counted_until_it_ends() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(StepAbandoned, match=r"still running 1\.25 s later"):
        await bounded(deaf(5.0), within=1.0, grace=0.25)
    assert loop.time() == 1.25 and len(abandoned) == 1
    await asyncio.sleep(10)
    assert not abandoned


@pytest.mark.parametrize("at", [0.5, 1.0, 1.1])
def test_a_cancelled_caller_goes_on_at_once(at: float) -> None:
    @virtual
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(bounded(deaf(5.0), within=1.0, grace=0.25))
        await asyncio.sleep(at)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() and loop.time() == at and len(abandoned) == 1

    scenario()
    assert not abandoned


@virtual
async def test_a_cancelled_error_of_the_works_own_comes_out() -> None:
    async def gives_up() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await bounded(gives_up(), within=1.0)
    me = asyncio.current_task()
    assert me is not None and me.cancelling() == 0


@virtual
async def test_an_abandoned_task_that_fails_is_not_complained_of() -> None:
    async def deaf_then_fails() -> None:
        await deaf(2.0)
        raise ValueError("too late to matter")

    with pytest.raises(StepAbandoned):
        await bounded(deaf_then_fails(), within=1.0)
    await asyncio.sleep(5)
    assert not abandoned


# -- together
@virtual
async def test_calls_run_at_once_and_each_has_its_outcome() -> None:
    async def base() -> int:
        raise BaseException("not even an Exception")

    async def gives_up() -> int:
        raise asyncio.CancelledError

    works = [lambda: answer(0.5), fails, hang_int, deaf_int, base, gives_up]
    outcomes = await gather_outcomes(works, within=[1.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    assert [o.reason if isinstance(o, Failed) else o.value for o in outcomes] == [
        42,
        "error",
        "timeout",
        "abandoned",
        "error",
        "cancelled",
    ]
    assert outcomes[0] == Done(42, 0.5, 0.0, 0.5) and outcomes[3].seconds == 2.05
    assert await gather_outcomes([], within=1.0) == []


async def hang_int() -> int:
    await hang()
    return 0


async def deaf_int() -> int:
    await deaf(20)
    return 0


@virtual
async def test_no_more_than_the_width_run_and_waiting_does_not_count() -> None:
    outcomes = await gather_outcomes([lambda: answer(1.0)] * 5, width=2, within=1.5)
    assert [(o.began, o.ended) for o in outcomes] == [(0, 1), (0, 1), (1, 2), (1, 2), (2, 3)]
    assert all(isinstance(o, Done) for o in outcomes)


@virtual
async def test_cancelled_together_they_all_go() -> None:
    unwound = []

    async def work() -> int:
        try:
            await hang()
        finally:
            unwound.append(1)
        return 0

    task = asyncio.ensure_future(gather_outcomes([work] * 5, width=3, within=9.0))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert len(unwound) == 3 and asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_no_outcome(error: type[BaseException]) -> None:
    async def ends() -> int:
        raise error

    async def main() -> None:
        await gather_outcomes([ends], within=1.0)

    with pytest.raises(error):
        virtual(main)()


async def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="'width'"):
        await gather_outcomes([answer], width=0, within=1.0)
    with pytest.raises(ConfigError, match="1 calls were given 2 limits"):
        await gather_outcomes([answer], within=[1.0, 2.0])


# -- supervise
def mine(tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Those of this loop: a loop that other tests closed may have left some of its own behind."""
    return {task for task in tasks if task.get_loop() is asyncio.get_running_loop()}


@virtual
async def test_supervised_work_is_held_until_it_ends_and_can_be_drained() -> None:
    assert await shutdown(within=1.0) == 0
    done, breaks = run_in_background(answer(0.5), name="answer"), run_in_background(fails(), name="fails")
    slow, stubborn = run_in_background(hang(), name="hang"), run_in_background(deaf(100), name="deaf")
    assert mine(background_tasks) == {done, breaks, slow, stubborn} and slow.get_name() == "hang"
    assert await shutdown(within=1.0, grace=0.5) == 2
    assert done.result() == 42 and slow.cancelled() and stubborn in abandoned
    assert asyncio.get_running_loop().time() == 1.5
    with pytest.raises(ValueError, match="inside"):
        await breaks
    await asyncio.sleep(200)
    assert not mine(background_tasks) and not mine(abandoned)
    quick = run_in_background(answer(0.5), name="quick")
    assert await shutdown(within=1.0) == 0 and quick.done()


async def test_drain_waits_for_what_is_begun_meanwhile() -> None:
    said: list[str] = []

    async def last_words() -> None:
        await asyncio.sleep(0.02)
        said.append("kept")

    async def turn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            run_in_background(last_words(), name="last words")

    task = run_in_background(turn(), name="turn")
    await asyncio.sleep(0)
    task.cancel()
    assert await shutdown(within=60.0) == 0
    assert said == ["kept"]
    late = run_in_background(turn(), name="turn")
    await asyncio.sleep(0)
    assert await shutdown(within=0.01) == 1
    assert late.done()
    assert said == ["kept", "kept"]
