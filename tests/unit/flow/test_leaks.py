"""After a thousand runs of every kind nothing is left: no task, no timer, no stream, no run."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import Any

from vital_engine.flow import Flow, Policy, Stream, abandoned, step

from .things import A, B, C, D, deaf, hang, virtual


async def streams(out: Stream[A]) -> A:
    for i in range(3):
        out.push("x" * 100)
        await asyncio.sleep(0.01 * i)
    return A()


async def fails(a: A) -> B:
    raise ValueError("on purpose")


async def hangs(a: Stream[A]) -> C:
    async for _ in a:
        pass
    await hang()
    return C()


async def sometimes_deaf(a: A) -> D:
    await deaf(0.2)
    return D()


FLOW = Flow(
    "f",
    step(streams),
    step(fails).fallback(B("none")),
    step(hangs).under(Policy(within=0.05)),
    step(sometimes_deaf).under(Policy(within=0.05, grace=0.01)),
)


def counted() -> Counter[str]:
    gc.collect()
    kinds = ("_Tape", "Stream", "Run", "Execution", "Task", "TimerHandle", "_Timer", "ConcurrencyLimit")
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in kinds)


@virtual
async def test_a_thousand_runs_leave_nothing_behind() -> None:
    loop: Any = asyncio.get_running_loop()

    async def one(n: int) -> None:
        task = loop.create_task((FLOW.sequential() if n % 3 == 0 else FLOW).run(within=0.1 if n % 2 else None))
        if n % 5 == 0:
            loop.call_later(0.001 * (n % 60), task.cancel)
        await asyncio.wait({task})

    async def many(runs: int) -> Counter[str]:
        for n in range(runs):
            await one(n)
        await asyncio.sleep(1)  # the deaf ones end
        return counted()

    first = await many(30)
    assert asyncio.all_tasks() == {asyncio.current_task()} and not abandoned
    assert await many(1000) == first
    assert asyncio.all_tasks() == {asyncio.current_task()} and not abandoned
    assert not [handle for handle in loop._scheduled if not handle.cancelled()]
