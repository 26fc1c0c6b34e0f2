"""Virtual time: an asyncio loop whose clock jumps to the next timer instead of waiting for it.

Exact to a nanosecond, and a turn of two seconds takes under a millisecond. Work in threads takes real time: while
a thread is out, the clock follows the real one, so that a timer may fire beside it. When nothing is ready, no timer
is set and no thread is out, nothing can ever happen again: that is reported as a deadlock and not slept through.
Only threads of ``run_in_executor`` are known to be out: sockets, subprocesses and signals need a real loop; do not
wait for them here. The engine reads only ``loop.time()``, and so runs here unchanged.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .limits import abandoned

T = TypeVar("T")

#: What could not even be closed.
_undead: list[asyncio.Task[Any]] = []


class Deadlock(RuntimeError):
    """Nothing is ready, no timer is set, and no thread is out."""


class _Timer(asyncio.TimerHandle):
    """Of two at the same moment the one that was set first fires first; asyncio leaves that to its heap."""

    __slots__ = ("order",)
    order: int

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _Timer):
            return (self.when(), self.order) < (other.when(), other.order)
        return NotImplemented


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would sleep, this moves its clock."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.loop.threads_out:
            since = time.monotonic()
            ready = super().select(timeout)
            passed = time.monotonic() - since
            self.loop.advance(passed if timeout is None or ready else timeout)
            return ready
        if timeout is None:
            raise Deadlock("every task waits for something that cannot happen")
        self.loop.jump()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Its clock starts at 0."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._now = 0.0
        self._timers_set = self._tasks_made = 0
        self.threads_out = 0
        self._born: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The virtual time, in seconds."""
        return self._now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """A timer at a whole nanosecond, so that a sum of delays is as exact as the delays.

        Any delay takes at least one: who sleeps for what is left until some moment gets there.
        """
        self._check_closed()  # type: ignore[attr-defined]
        self._timers_set += 1
        at = round(when, 9)
        if at <= self._now < when:
            at = round(self._now + 1e-9, 9)
        timer = _Timer(at, callback, args, self, context)
        timer.order = self._timers_set
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def jump(self) -> None:
        """Move the clock to the next timer."""
        self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]

    def jump_if_idle(self) -> bool:
        """Move on if nothing is ready now. False: nothing can ever happen again."""
        if self._ready:  # type: ignore[attr-defined]
            return True
        if self._scheduled:  # type: ignore[attr-defined]
            self.jump()
            return True
        return False

    def advance(self, seconds: float) -> None:
        """Move the clock.

        :param seconds: by how much.
        """
        self._now = round(self._now + seconds, 9)

    def create_task(self, coro: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:  # type: ignore[override]
        """See asyncio."""
        task: asyncio.Task[T] = super().create_task(coro, **options)
        self._tasks_made += 1
        self._born[task] = self._tasks_made
        return task

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Those that have not ended, in the order in which they were made; asyncio has them in a set."""
        return sorted(asyncio.all_tasks(self), key=lambda task: self._born.get(task, 0))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """See asyncio. While a thread runs, the clock follows the real one."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self.threads_out += 1
        future.add_done_callback(self._thread_back)
        return future

    def _thread_back(self, _: asyncio.Future[Any]) -> None:
        self.threads_out -= 1


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* on the virtual clock.

    What is left when it ends is cancelled, and may take a virtual second to clean up.

    :param coroutine: any coroutine.
    :returns: its result.
    :raises Deadlock: it waits for something that cannot happen.
    """
    if asyncio._get_running_loop() is not None:
        coroutine.close()
        raise RuntimeError("run_virtual() has a loop of its own, and cannot be called inside another")
    loop = VirtualLoop()
    try:
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        finally:
            _sweep(loop)
    finally:
        loop.close()


def _sweep(loop: VirtualLoop) -> None:
    """Cancel what is left; what is deaf to that is dropped in silence, as a process that ends would."""
    left = loop.tasks
    for task in left:
        task.cancel()
    _turn_until_done(loop, left)
    closing = loop.create_task(loop.shutdown_asyncgens())
    _turn_until_done(loop, [closing])
    for task in (*left, closing):
        if task.done():
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not report it as never retrieved
            continue
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        abandoned.discard(task)
        asyncio._set_running_loop(loop)  # what it does on its way out may ask for it
        try:
            task.get_coro().close()
        except RuntimeError:  # deaf to that as well: kept, since Python would complain when it is collected
            _undead.append(task)
        finally:
            asyncio._set_running_loop(None)


def _turn_until_done(
    loop: VirtualLoop, tasks: list[asyncio.Task[Any]], *, within: float = 1.0, turns: int = 10_000
) -> None:
    """Turn the loop by hand: neither a task that sleeps for ever nor one that never sleeps can hold it."""
    until = loop.time() + within
    while turns and loop.time() <= until and not all(task.done() for task in tasks):
        loop.call_soon(loop.stop)
        loop.run_forever()
        turns = turns - 1 if loop.jump_if_idle() else 0
