"""The workloads, as data: what the steps take, what may happen to them, and who is measured on it.

All of it is simulated, in virtual time: exact, and the same on every machine. What is assumed is said in ``assumes``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vital_engine.flow import run_in_background, run_virtual
from vital_engine.nouns import Question

from .draws import Draws, Odds, Outage, draw
from .durations import INPUTS, REVIEWS, Durations
from .measure import Ran, Summary, quantile, run_turns, summarise
from .services import MENU, READING_MENU, STAGE, Found, Stage, simulated
from .variants import BY_HAND, HEDGED, LADDER, PREFIX, SEGMENTS, STREAM, TIERS, Variant


@dataclass(frozen=True, slots=True)
class Workload:
    """``turns``: how many it takes to see what it is about. ``rate``: turns that begin per second, whether or not those
    before have ended; None: one after another."""

    name: str
    title: str
    median: Durations
    odds: Odds
    variants: tuple[Variant, ...]
    turns: int
    assumes: str = ""
    by_token: bool = False
    rate: float | None = None


OPAQUE = Durations()
HALF = Durations(prefill=0.3, early=0.5)
MOST = Durations(prefill=0.3, early=0.8)
SIGMA: Mapping[str, float] = {**dict.fromkeys(INPUTS, 0.5), "reply": 0.3, **dict.fromkeys(REVIEWS, 0.4)}
TAILS = Odds(SIGMA, stall=0.01)
SEED = "the seed profile: retrieve 500, suggest 300, recall 200, model 1500, cite 150, assess 100, tally 50 ms"
READS = "of the model's time 300 ms go into reading, {} of that for what is known when the turn begins"
SPREADS = "lognormal around the seed profile's medians (sigma .5 inputs, .3 model, .4 reviews)"
STALLS = "1 % of calls have their first response after 10 s"

W1 = tuple(
    Workload(f"W1 {name}", f"{SEED}; {says}", median, Odds(), (*BY_HAND, *LADDER, HEDGED), 1, by_token=True)
    for name, median, says in (
        ("opaque", OPAQUE, "nothing is known of how the model reads"),
        ("half known", HALF, READS.format("half")),
        ("most known", MOST, READS.format("80 %")),
    )
)
_TAILED = (*BY_HAND[1:], TIERS, STREAM, PREFIX, SEGMENTS, HEDGED)
W2 = (
    Workload("W2", f"{SPREADS}; {STALLS}", HALF, TAILS, _TAILED, 20_000, READS.format("half")),
    Workload(
        "W2 reviews at hand",
        "the same, but the reviews are done in the engine's own process and do not stall",
        HALF,
        replace(TAILS, stalling=(*INPUTS, "reply")),
        _TAILED,
        20_000,
        READS.format("half"),
    ),
    Workload(
        "W2 opaque",
        "the same, reviews at hand, and nothing is known of how the model reads",
        OPAQUE,
        replace(TAILS, stalling=(*INPUTS, "reply")),
        (STREAM, SEGMENTS, HEDGED),
        20_000,
    ),
    *(
        Workload(
            f"W2 together {chance}",
            f"reviews at hand; a copy stalls together with the first call with the chance {chance}",
            HALF,
            replace(TAILS, stalling=(*INPUTS, "reply"), together=chance),
            (SEGMENTS, HEDGED),
            20_000,
        )
        for chance in (0.25, 0.5)
    ),
    Workload(
        "W2 no stalls", f"{SPREADS}; nothing stalls", HALF, Odds(SIGMA), (TIERS, STREAM, SEGMENTS, HEDGED), 20_000
    ),
)
FAULTS = replace(
    TAILS,
    stall=0.0,
    fast=0.02,
    slow=0.01,
    cut=0.005,
    outages=(Outage("retrieve", 120.0, 180.0, silent=True), Outage("recall", 240.0, 360.0, period=10.0)),
)
W3 = (
    Workload(
        "W3",
        "2 % of calls fail at once, 1 % after 5 s, .5 % of answers break off; retrieval is silent from 120 s to 180 s, "
        "memory fails every other 5 s from 240 s to 360 s",
        HALF,
        FAULTS,
        (*BY_HAND, TIERS, SEGMENTS, HEDGED),
        2_000,
        "5 turns begin per second (Poisson)",
        rate=5.0,
    ),
)
FAMILIES: Mapping[str, tuple[Workload, ...]] = {"W1": W1, "W2": W2, "W3": W3}


def named(name: str) -> tuple[Workload, ...]:
    """The workloads of the family *name*, or the one of that name; none if there is neither."""
    return FAMILIES.get(name) or tuple(w for family in FAMILIES.values() for w in family if w.name == name)


async def run(workload: Workload, variant: Variant, *, turns: int, seed: int) -> Ran:
    """The first *turns* turns of *workload*, as *seed* has drawn them, by *variant*."""
    draws = Draws(seed)
    outside = not set(REVIEWS).isdisjoint(workload.odds.stalling)
    turn = variant.turn(simulated(by_token=workload.by_token, replicas=variant.copies, reviews_outside=outside))
    rate = workload.rate
    arrivals = None if rate is None else lambda number: draws.wait(number, rate)
    return await run_turns(
        turn,
        lambda number: Stage(
            draw(workload.median, workload.odds, draws, number),
            workload.odds.outages,
            Found(suggestions=MENU if number % 2 else READING_MENU),
        ),
        range(turns),
        arrivals=arrivals,
    )


def summary(workload: Workload, variant: Variant, ran: Ran) -> Summary:
    return summarise(workload.name, variant.name, variant.label, ran, keeps=variant.by_hand is None)


# -- the simulator, checked against a real clock: the seed profile in real time, many turns at once
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


def real_against_virtual(turns: int = 50) -> dict[str, float]:
    """How far the real clock is from the virtual one. Takes about three seconds; what else the machine does is in it."""
    virtual = run_virtual(seed_turns(1))[0]
    asyncio.run(seed_turns(1))  # what is imported on first use is not the turn's
    off = sorted(abs(seconds - virtual) for seconds in asyncio.run(seed_turns(turns)))
    return {"virtual": virtual, "|real - virtual| p50": quantile(off, 0.5), "|real - virtual| max": off[-1]}
