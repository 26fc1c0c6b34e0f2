"""Speculation under load: turns arrive as they please (open loop), and one model server with eight slots answers them.

A guess that turns out wrong has held a slot for nothing, so that what helps one turn can hurt all: it must never be slower
on than off, at any load. Who waits for a slot waits in line; the server has no priorities. Reading ahead takes no slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vital_engine.flow import run_virtual
from vital_engine.nouns import ToolSuggestions

from .draws import Draws, Odds, draw
from .figures import Figure, of_summary
from .guesses import Sometimes
from .measure import Ran, run_turns
from .services import simulated
from .stage import Found, Stage
from .summary import summarise
from .variants import SEGMENTS, SPECULATED, Variant
from .workloads import HALF, SIGMA

SLOTS = 8
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
"""Turns that arrive, in shares of what the server's slots could answer."""
ACCEPTANCES = (0.3, 0.6)
_FOUND = Found(suggestions=ToolSuggestions())


def sweep(turns: int, seed: int, loads: Sequence[float] = LOADS) -> Iterator[Figure]:
    """Speculation off and on, at each load and acceptance."""
    for acceptance in ACCEPTANCES:
        for load in loads:
            for variant in (SEGMENTS, SPECULATED):
                ran = run_virtual(_run(variant, Draws(seed), turns, load, acceptance))
                name = f"load {load}, {acceptance:.0%} right"
                yield from of_summary(summarise(name, variant.name, variant.label, ran))


async def _run(variant: Variant, draws: Draws, turns: int, load: float, acceptance: float) -> Ran:
    median = replace(HALF, missing=("tools",))
    drawn = [draw(median, Odds(SIGMA), draws, number) for number in range(turns)]
    # What an answer holds a slot for, if all but the passages was read ahead.
    held = [d.durations[0].segments["evidence"] + d.durations[0].speech for d in drawn]
    rate = load * SLOTS / (sum(held) / len(held))
    foresight = Sometimes(draws, acceptance) if variant is SPECULATED else None
    services = simulated(capacity=SLOTS, foresight=foresight)
    return await run_turns(
        variant.turn(services),
        lambda number: Stage(drawn[number], found=_FOUND),
        range(turns),
        arrivals=lambda number: draws.wait(number, rate),
    )
