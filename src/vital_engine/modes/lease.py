"""Holding on to something that others may take over when we are dead: a heartbeat beside the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from vital_engine.errors import Conflict, StoreError
from vital_engine.flow import run_in_background

BEATS: int = 3
"""Renewals in the time of one lease, so that one that fails costs nothing."""


@contextlib.asynccontextmanager
async def leased(hold: Callable[[], Awaitable[bool]], *, seconds: float, name: str) -> AsyncIterator[None]:
    """Within the block *hold* is called every third of *seconds*; once it gives False, the block is cancelled.

    A renewal that fails is tried again at the next beat; when a whole lease has passed without one, it is as if it
    were lost, since another may have it.

    :raises Conflict: the lease was lost.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    lost = False

    async def beat() -> None:
        nonlocal lost
        renewed = loop.time()
        while not lost:
            await asyncio.sleep(seconds / BEATS)
            try:
                if await hold():
                    renewed = loop.time()
                    continue
                lost = True
            except StoreError:
                lost = loop.time() - renewed >= seconds
        if task is not None:
            task.cancel()

    beating = run_in_background(beat(), name=f"hold {name}")
    try:
        yield
    except asyncio.CancelledError:
        if lost and task is not None and not task.uncancel():
            raise Conflict(f"{name} was taken over by another") from None
        raise
    finally:
        beating.cancel()
