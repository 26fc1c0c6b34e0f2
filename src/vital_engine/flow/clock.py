"""Virtual time: an asyncio loop whose clock jumps to the next timer instead of waiting for it.

Exact to a nanosecond, and a turn of two seconds takes under a millisecond. Work in threads takes real time: while
a thread is out, the clock follows the real one, so that a timer may fire beside it. When nothing is ready, no timer
is set and no thread is out, nothing can ever happen again: that is reported as a deadlock and not slept through.
Real sockets need real time; do not use them here. The engine reads only ``loop.time()``, and so runs here unchanged.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Nothing is ready, no timer is set, and no thread is out."""


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
            raise Deadlock("every task waits for something that nobody will do")
        self.loop.jump()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Its clock starts at 0."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._now = 0.0
        self.threads_out = 0
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._now

    def jump(self) -> None:
        """To the next timer. Rounded to the nanosecond: a sum of delays is as exact as the delays."""
        self._now = max(self._now, round(self._scheduled[0].when(), 9))  # type: ignore[attr-defined]

    def advance(self, seconds: float) -> None:
        self._now = round(self._now + seconds, 9)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self.threads_out += 1
        future.add_done_callback(self._thread_back)
        return future

    def _thread_back(self, _: asyncio.Future[Any]) -> None:
        self.threads_out -= 1


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* on the virtual clock and give its result.

    :raises Deadlock: it waits for something that nobody will do.
    """
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        finally:
            _sweep(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _sweep(loop: VirtualLoop) -> None:
    """Cancel what is left; what is deaf to that is dropped in silence, as a process that ends would."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.call_later(1e-6, loop.stop)
        loop.run_forever()
    for task in left:
        if not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        elif not task.cancelled():
            task.exception()
    loop.run_until_complete(loop.shutdown_asyncgens())
