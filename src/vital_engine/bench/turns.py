"""What the engine costs in a whole turn: a turn of mode 2 over idle services, with what watches and reads it.

Beside the ten empty steps of :mod:`.engine` a whole turn has outcomes, a prompt, an answer, and tokens that go through
it. :func:`at_once` lets many turns sleep through a tenth of the seed profile side by side.
"""

# ruff: noqa: TID251  (plain asyncio is what we are measured beside)

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from vital_engine.flow import Flow, step
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.ports import Services

from .engine import STEPS, Made, Turn, cpu_us
from .engine import Question as Asked
from .idle import PER_SENTENCE, QUESTION, TENTH, idle

FEW, MANY = PER_SENTENCE, 26 * PER_SENTENCE
"""Tokens of the two turns between whose costs the cost of a token lies."""


def executed(tokens: int = FEW) -> Turn:
    """A turn that nobody watches or reads."""
    workflow = Mode2AutomaticWorkflow(idle(tokens), watchers=())
    return lambda: workflow.execute(QUESTION)


def watched(tokens: int = FEW) -> Turn:
    """A turn under the default watchers, the metrics of the process."""
    workflow = Mode2AutomaticWorkflow(idle(tokens))
    return lambda: workflow.execute(QUESTION)


def streamed(tokens: int = FEW) -> Turn:
    """A turn under the default watchers whose events are read as they come."""
    workflow = Mode2AutomaticWorkflow(idle(tokens))

    async def turn() -> object:
        last: object = None
        async for event in workflow.stream(QUESTION):
            last = event
        return last

    return turn


def spoken(tokens: int = FEW) -> Turn:
    """The model alone, heard by nobody: what of a turn is not the engine's."""
    services = idle(tokens)

    async def turn() -> object:
        return [piece async for piece in services.llm.stream(None)]  # type: ignore[arg-type]

    return turn


WAYS: dict[str, Callable[[int], Turn]] = {
    "model alone": spoken,
    "turn": executed,
    "turn, watched": watched,
    "turn, watched and streamed": streamed,
}


def per_token(way: Callable[[int], Turn], turns: int = 200) -> tuple[float, float]:
    """CPU microseconds of a turn of :data:`FEW` tokens, and of each further token."""
    few, many = cpu_us(way(FEW), turns), cpu_us(way(MANY), turns)
    return few, (many - few) / (MANY - FEW)


# -- many at once
def flow_at_once() -> Turn:
    """The ten steps of a turn, each asleep as long as the profile says."""

    def asleep(work: Callable[..., Awaitable[Made]]) -> Any:
        seconds, made = TENTH.get(work.__name__, 0.0), step(work)

        async def slept(**inputs: object) -> Made:
            if seconds:
                await asyncio.sleep(seconds)
            return await work(**inputs)

        return type(made)(slept, made.name, made.needs, made.inlets, made.outlet, made.makes)

    flow = Flow("turn", *(asleep(work) for work in STEPS))
    asked = Asked()
    return lambda: flow.run(asked, within=60.0)


def plain_at_once() -> Turn:
    """The same sleeps in plain ``asyncio.gather``."""

    async def turn() -> object:
        await asyncio.gather(*(asyncio.sleep(TENTH[name]) for name in ("retrieve", "suggest", "recall")))
        await asyncio.sleep(TENTH["reply"])
        return await asyncio.gather(*(asyncio.sleep(TENTH[name]) for name in ("cite", "assess", "tally")))

    return turn


def workflow_at_once(*, watch: bool) -> Turn:
    """A whole turn of mode 2; its model sleeps, and then says one sentence of twenty tokens."""
    services: Services = idle(FEW, TENTH)
    workflow = Mode2AutomaticWorkflow(services, watchers=None if watch else ())
    return lambda: workflow.execute(QUESTION)


async def at_once(turn: Turn, turns: int) -> dict[str, float]:
    """Run *turns* at once: turns per second, and the 50th and 99th percentile of a turn, in milliseconds.

    A turn is counted from when all were asked for: those that are begun late have waited.
    """
    loop = asyncio.get_running_loop()
    for _ in range(20):
        await turn()
    gc.collect()
    began, busy = loop.time(), time.process_time()

    async def one() -> float:
        await turn()
        return loop.time() - began

    taken = sorted(await asyncio.gather(*(one() for _ in range(turns))))
    wall = loop.time() - began
    return {
        "turns_per_s": round(turns / wall),
        "p50_ms": round(taken[turns // 2] * 1e3, 1),
        "p99_ms": round(taken[turns * 99 // 100] * 1e3, 1),
        "cpu_us": round((time.process_time() - busy) / turns * 1e6, 1),
    }


def kilobytes_in_flight(turn: Turn, turns: int) -> float:
    """Memory of a turn while the model is asked: what Python has allocated for *turns* of them, by turn, in KB."""

    async def count() -> float:
        for _ in range(20):
            await turn()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            all_ = asyncio.gather(*(turn() for _ in range(turns)))
            await asyncio.sleep(0.12 + turns / 2000)
            during = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        await all_
        return (during - before) / turns / 1024

    return round(asyncio.run(count()), 1)
