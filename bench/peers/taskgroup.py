"""Dataflow in plain ``asyncio.TaskGroup``: a task per step, which waits for the tasks of what it needs."""

from __future__ import annotations

import asyncio

from .shapes import SEED, TEN, UNEVEN, Needs, Turn, Values, body


def seed() -> Turn:
    return _built(SEED)


def uneven() -> Turn:
    return _built(UNEVEN)


def ten() -> Turn:
    return _built(TEN)


def _built(needs: Needs) -> Turn:
    work = body(needs)

    async def after(step: str, before: list[asyncio.Task[str]]) -> str:
        return await work(step, *[await task for task in before])

    async def turn() -> Values:
        tasks: dict[str, asyncio.Task[str]] = {}
        async with asyncio.TaskGroup() as group:
            for step, of in needs.items():
                tasks[step] = group.create_task(after(step, [tasks[one] for one in of]))
        return {step: task.result() for step, task in tasks.items()}

    return turn
