"""How many calls of one tool run at once, and for how long: its seats.

The hard limit of a step, one that also holds against a call that swallows its cancellation, is kept where
steps are run. Here a call that does listen is ended by a timer of its own, so that its error names the tool.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """*work*, cancelled after *seconds*. A cancellation from outside stays one.

    :param seconds: of the loop's clock.
    :param work: anything that can be awaited.
    :raises TimeoutError: it took longer.
    """
    task = asyncio.current_task()
    if task is None:  # pragma: no cover  # a coroutine that is awaited always has its task
        return await work
    before, fired = task.cancelling(), False

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, fire)
    try:
        return await work
    except asyncio.CancelledError:
        # Ours only if there is no other request: uncancel() says how many are still open.
        if fired and task.uncancel() <= before:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


class Seats:
    """At most *count* calls at once; who comes later waits. One per tool, for one event loop."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def run(self, function: Callable[..., Any], arguments: dict[str, Any], *, is_async: bool) -> Any:
        """*function* called with *arguments* on a free seat; a plain function runs in a thread.

        What a plain function gives to be awaited (it wraps one that is not plain) is awaited here, on a seat again.
        """
        await self._free.acquire()
        if is_async:
            try:
                return await function(**arguments)
            finally:
                self._free.release()
        result = await self._in_thread(functools.partial(function, **arguments))
        if not inspect.isawaitable(result):
            return result
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            if inspect.iscoroutine(result):
                result.close()
            raise
        try:
            return await result
        finally:
            self._free.release()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """A thread cannot be cancelled: its seat is taken until it ends, even if its caller no longer waits."""
        loop, gate, context = asyncio.get_running_loop(), threading.Lock(), contextvars.copy_context()
        started = given_up = False

        def release() -> None:
            try:
                loop.call_soon_threadsafe(self._free.release)
            except RuntimeError:  # the loop has been closed: no caller is left to take the seat
                return

        def in_thread() -> T:
            nonlocal started
            with gate:
                if given_up:
                    raise asyncio.CancelledError
                started = True
            try:
                return context.run(work)
            finally:
                release()

        try:
            return await loop.run_in_executor(None, in_thread)
        except asyncio.CancelledError:
            with gate:
                given_up = True
                if not started:
                    self._free.release()
            raise
