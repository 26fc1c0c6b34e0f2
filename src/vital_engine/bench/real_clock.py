"""The simulator, checked against a real clock: the seed profile in real time, many turns at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from vital_engine.flow import run_in_background, run_virtual
from vital_engine.nouns import Question

from .draws import Draws, Odds, draw
from .figures import Figure
from .measure import quantile
from .services import simulated
from .stage import STAGE, Stage
from .variants import SEGMENTS
from .workloads import HALF

APART_SECONDS = 0.02
"""From one turn to the next: they overlap, as turns do."""


async def seed_turns(turns: int) -> list[float]:
    """Seconds until all was known, of *turns* turns of the seed profile."""
    draws, turn = Draws(0), SEGMENTS.turn(simulated(by_token=True))

    async def one(number: int) -> float:
        STAGE.set(Stage(draw(HALF, Odds(), draws, number)))
        return (await turn(Question("real time", tenant="bench", user="bench"))).total

    tasks = []
    for number in range(turns):
        tasks.append(run_in_background(one(number), name=f"turn {number}"))
        await asyncio.sleep(APART_SECONDS)
    return [await task for task in tasks]


def real_against_virtual(turns: int = 50) -> Iterator[Figure]:
    """How far the real clock is from the virtual one. Takes about three seconds; what else the machine does is in it."""
    virtual = run_virtual(seed_turns(1))[0]
    asyncio.run(seed_turns(1))  # what is imported on first use is not the turn's
    off = sorted(abs(seconds - virtual) for seconds in asyncio.run(seed_turns(turns)))
    yield Figure("real clock", SEGMENTS.name, "virtual", virtual, "s")
    yield Figure("real clock", SEGMENTS.name, "|real - virtual| p50", quantile(off, 0.5), "s")
    yield Figure("real clock", SEGMENTS.name, "|real - virtual| max", off[-1], "s")
