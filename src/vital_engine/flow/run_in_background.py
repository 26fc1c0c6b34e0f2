"""Work that outlives who began it: a turn whose reader has gone, the last words of a turn that was cancelled.

Each such task is held here, so that it is neither lost nor forgotten, and :func:`shutdown` ends them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from .offload import abandon

T = TypeVar("T")

background_tasks: set[asyncio.Task[Any]] = set()


def run_in_background(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start *work* as a task of its own. Whoever wants its result awaits it (shielded); an error waits there too."""
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
