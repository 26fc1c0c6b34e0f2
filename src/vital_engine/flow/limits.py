"""Calling foreign code without letting it block the loop, and limits that hold: in time, in number, in who waits for whom.

``asyncio.wait_for``, ``asyncio.timeout`` and ``TaskGroup`` wait for a task that swallows its cancellation; measured
with a limit of 100 ms they came back after 2.6 s, the first two without an error. :func:`bounded` does not wait.

- :func:`call`: an async method in the loop, a plain one in a thread.
- :func:`bounded`: one call with a limit; :func:`gather_outcomes`: several at once, each with an outcome of its own.
- :func:`run_in_background`, :func:`shutdown`: work that outlives its caller.
- :class:`ConcurrencyLimit`: which steps of a run may run now, where not all may.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from vital_engine.errors import ConfigError, StepAbandoned

from .outcome import Done, Failed, reason_of
from .policy import Shape

T = TypeVar("T")

#: Tasks that ignored their cancellation and still run. Held here so that they are neither lost nor forgotten.
abandoned: set[asyncio.Task[Any]] = set()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    # Not the loop's default pool: one that is full of slow services would also hold up every name lookup.
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="vital-step")


def _is_async(method: Any) -> bool:
    code = getattr(method, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_COROUTINE:  # what nearly all are, told without more calls
        return True
    while isinstance(method, functools.partial):
        method = method.func
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(getattr(type(method), "__call__", None))  # noqa: B004


async def call(method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
    """Call a port: an ``async def`` in the loop, a plain ``def`` in a thread, because it may block.

    If the caller is cancelled, this returns immediately; a thread cannot be stopped and its result is dropped.

    :param method: of a service.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :returns: what the method returns.
    """
    if _is_async(method):
        return await method(*args, **kwargs)
    work = functools.partial(copy_context().run, _fenced, method, args, kwargs)
    result = await asyncio.get_running_loop().run_in_executor(_threads(), work)
    if inspect.isawaitable(result):  # a plain function that gives a coroutine: it has not begun to work yet
        return await result  # type: ignore[no-any-return]
    return result  # type: ignore[no-any-return]


def _fenced(method: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        return method(*args, **kwargs)
    except StopIteration as error:  # a future refuses to carry it (cpython#112182), and its reader would wait for ever
        raise RuntimeError("a plain function raised StopIteration") from error


def abandon(task: asyncio.Task[Any]) -> None:
    """Leave *task* behind: it is counted until it ends, and its end is not looked at."""
    abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not report it as never retrieved


async def bounded(work: Coroutine[Any, Any, T], *, within: float, grace: float = 0.05) -> T:
    """Await *work* for at most *within* + *grace* seconds, also if it swallows cancellation.

    :param work: any coroutine.
    :param within: seconds after which it is cancelled.
    :param grace: seconds that it may take to unwind.
    :returns: its result.
    :raises TimeoutError: it took longer, and ended when it was cancelled.
    :raises StepAbandoned: it took longer, and still runs; it is counted in :data:`abandoned`.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=within)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=grace)
    except asyncio.CancelledError:
        task.cancel()
        abandon(task)
        raise
    if not task.done():
        abandon(task)
        raise StepAbandoned(f"still running {within + grace:g} s later, deaf to its cancellation")
    if not task.cancelled():
        task.exception()
    raise TimeoutError(f"took longer than {within:g} s")


# -- several calls at once
async def gather_outcomes(
    works: Sequence[Callable[[], Awaitable[T]]], *, width: int = 8, within: float | Sequence[float]
) -> list[Done[T] | Failed]:
    """Run *works* at most *width* at once, each for at most *within* seconds; a failure costs only its own work.

    :param works: functions that make the coroutines.
    :param width: the largest number that runs at once.
    :param within: one limit for all, or one for each, in seconds. The time in the queue does not count.
    :returns: an outcome for each, in their order; deaf work is abandoned, see :func:`bounded`.
    :raises ConfigError: *width* is less than 1, or there is not one limit for each.
    """
    if width < 1:
        raise ConfigError(f"'width' must leave room for at least one call, not {width!r}")
    loop = asyncio.get_running_loop()
    limits = _limits(within, len(works))
    outcomes: list[Done[T] | Failed | None] = [None] * len(works)
    seats = asyncio.Semaphore(width)
    started = loop.time()

    async def one(i: int) -> None:
        async with seats:
            began = loop.time() - started

            async def work() -> T:
                return await works[i]()

            try:
                value = await bounded(work(), within=limits[i])
            except BaseException as error:
                if tasks[i].cancelling():  # it is we who are cancelled, not the work
                    raise
                outcomes[i] = _failed(error, began)
            else:
                ended = loop.time() - started
                outcomes[i] = Done(value, round(ended - began, 9), round(began, 9), round(ended, 9))

    def _failed(error: BaseException, began: float) -> Failed:
        ended = loop.time() - started
        return Failed(error, reason_of(error), round(ended - began, 9), round(began, 9), round(ended, 9))

    tasks = [loop.create_task(one(i)) for i in range(len(works))]
    try:
        if tasks:
            await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        raise
    return [outcome for outcome in outcomes if outcome is not None]


def _limits(within: float | Sequence[float], count: int) -> list[float]:
    limits = [within] * count if isinstance(within, int | float) else list(within)
    if len(limits) != count:
        raise ConfigError(f"{count} calls were given {len(limits)} limits")
    return limits


# -- background tasks
background_tasks: set[asyncio.Task[Any]] = set()


def run_in_background(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start *work* as a task of its own. To get its result, await the task (shielded); an error waits there too."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    background_tasks.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    background_tasks.discard(task)
    if not task.cancelled():
        task.exception()


async def shutdown(*, within: float, grace: float = 1.0) -> int:
    """Let what runs in this loop end for *within* seconds, then cancel it, then leave it behind.

    :returns: how many had to be cancelled.
    """
    late = await _ended_within(within)
    for task in late:
        task.cancel()
    if late:
        for task in await _ended_within(grace):
            task.cancel()
            abandon(task)
    return len(late)


async def _ended_within(seconds: float) -> set[asyncio.Task[Any]]:
    """What still runs in this loop after *seconds*, also of what was begun meanwhile: a turn that is cancelled ends by
    beginning another task, its last words."""
    loop, current = asyncio.get_running_loop(), asyncio.current_task()
    until = loop.time() + seconds
    while mine := {task for task in background_tasks if task.get_loop() is loop and task is not current}:
        left = until - loop.time()
        if left <= 0:
            return mine
        await asyncio.wait(mine, timeout=left)
    return set()


# -- which steps may run now
class ConcurrencyLimit:
    """Which steps of a run may run now, in all and by lane: indices that wait, lowest first, and how many run."""

    __slots__ = ("_lanes", "_running", "_shape", "_waiting", "after")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._waiting: list[tuple[int, str]] = []
        self._running = 0
        self._lanes: dict[str, int] = {}
        #: Which step runs in the place of which.
        self.after: dict[int, int] = {}

    def queue(self, i: int, lane: str) -> None:
        """Step *i* waits for a place in *lane*."""
        heapq.heappush(self._waiting, (i, lane))

    def withdraw(self, i: int, lane: str) -> None:
        """It ended before it was admitted."""
        if (i, lane) in self._waiting:
            self._waiting.remove((i, lane))
            heapq.heapify(self._waiting)

    def release(self, _: int, lane: str) -> None:
        """A step of *lane* has ended."""
        self._running -= 1
        self._lanes[lane] -= 1

    def admit(self, freed_by: int | None = None) -> list[int]:
        """Those that may run now, in the order in which the steps stand."""
        taken, held = [], []
        while self._waiting and self._running < self._shape.width:
            i, lane = heapq.heappop(self._waiting)
            if lane in self._shape.lanes and self._lanes.get(lane, 0) >= self._shape.lanes[lane]:
                held.append((i, lane))
                continue
            self._running += 1
            self._lanes[lane] = self._lanes.get(lane, 0) + 1
            taken.append(i)
            if freed_by is not None:
                self.after[i] = freed_by
        for waiting in held:
            heapq.heappush(self._waiting, waiting)
        return taken
