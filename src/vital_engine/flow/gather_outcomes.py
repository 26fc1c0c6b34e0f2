"""Calls whose number is known only at run time: all at once, each with an outcome of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from vital_engine.errors import ConfigError

from .offload import bounded
from .outcome import Done, Failed, reason_of

T = TypeVar("T")


async def gather_outcomes(
    works: Sequence[Callable[[], Awaitable[T]]], *, width: int = 8, within: float | Sequence[float]
) -> list[Done[T] | Failed]:
    """Run *works* at most *width* at once, each for at most *within* seconds; one that fails costs only itself.

    :param within: one limit for all, or one for each. The time in the queue does not count.
    :raises ConfigError: there is no seat, or not one limit for each.
    :returns: an outcome for each, in their order; deaf work is abandoned, see :func:`bounded`.
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
