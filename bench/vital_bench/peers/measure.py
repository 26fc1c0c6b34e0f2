"""One engine in a process of its own: ``python -m vital_bench.peers.measure KEY`` prints its figures as JSON.

Fields, None where the engine has no such turn:

``key``, ``name``, ``version``, ``note``; ``setup_seconds``: to import it and build the seed turn; ``setup_rss_mb``: resident
memory after that.
``seed_ms``, ``uneven_ms``: one turn in virtual time, so exactly what the order of the steps makes of their durations.
``renamed_ms``: the uneven turn with other names, where those matter.
``cpu_us``: CPU microseconds of a ten-step turn whose steps do nothing, best of the rounds; ``cpu_us_spread``: median over
best of them. ``calls``: its function calls, Python and C. ``iterations``: its passes of the event loop.
``burst``: 1,000 turns of a tenth of the seed profile, begun at once, in real time, with Python's garbage collector as it is
by default, see :func:`vital_bench.meter.burst`; ``frozen``: the same after ``gc.freeze()`` and with rarer collections (50,000, 20, 50),
as a server may set them, without the memory.
``trouble``: case -> what a caller sees, see :func:`.trouble.watch`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import psutil

from vital_bench.durations import INPUTS, REVIEWS, Durations
from vital_bench.meter import MB, ROUND_SECONDS, ROUNDS, burst, calls, cpu_rounds, iterations

from . import trouble as troubles
from .registry import BY_KEY, WHOLE, Entry
from .shapes import SHAPES, TROUBLE, Turn, expected, play

TURNS = 1000
BURSTS = 5
SEED = Durations()
TENTH = replace(SEED, **{step: 0.1 * getattr(SEED, step) for step in (*INPUTS, "reply", *REVIEWS)})


def measured(
    entry: Entry,
    *,
    turns: int = TURNS,
    round_ms: int = int(1000 * ROUND_SECONDS),
    bursts: int = BURSTS,
    patience: int = troubles.REAL_PATIENCE,
) -> dict[str, Any]:
    """All figures of one engine. Call it in a fresh process: memory and set-up are those of the process."""
    began = time.perf_counter()
    seed = entry.shape("seed")
    assert seed is not None
    setup = time.perf_counter() - began
    # After the set-up, which has to be charged with what the engine imports.
    run_virtual = importlib.import_module("vital_engine.flow").run_virtual
    facts: dict[str, Any] = {
        "key": entry.key,
        "name": entry.name,
        "version": entry.version,
        "note": entry.note,
        "setup_seconds": round(setup, 3),
        "setup_rss_mb": round(psutil.Process().memory_info().rss / MB, 1),
        "burst": burst(lambda: play(seed, TENTH), turns, bursts),
    }
    for shape in ("seed", "uneven", "renamed"):
        turn = entry.shape(shape) if shape in SHAPES or entry.renamed else None
        facts[f"{shape}_ms"] = None if turn is None else round(1000 * run_virtual(_timed(entry, shape, turn)), 3)
    if (ten := entry.shape("ten")) is not None:
        rounds = cpu_rounds(lambda: play(ten, SEED), ROUNDS, round_ms / 1000)
        facts["cpu_us"] = round(min(rounds), 1)
        facts["cpu_us_spread"] = round(statistics.median(rounds) / min(rounds), 3)
        facts["calls"], facts["iterations"] = (count(lambda: play(ten, SEED)) for count in (calls, iterations))
    facts["trouble"] = {}
    for name, case in troubles.cases().items():
        real = case.hangs and entry.wall_clock
        facts["trouble"][name] = (
            asyncio.run(_into(seed, case, patience, 0.1)) if real else run_virtual(_into(seed, case))
        )
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    again = burst(lambda: play(seed, TENTH), turns, bursts)
    facts["frozen"] = {k: v for k, v in again.items() if "rss" not in k and k != "kb_per_turn"}
    return facts


async def _timed(entry: Entry, shape: str, turn: Turn) -> float:
    """Seconds of one turn, which must be the same turn as every engine's."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    values = await play(turn, SEED)
    seconds = loop.time() - began
    needs = SHAPES.get(shape, SHAPES["uneven"])
    if set(values) != set(needs) or (entry.key not in WHOLE and values != expected(needs)):
        raise RuntimeError(f"{entry.name} ran another turn: {values}")
    return seconds


async def _into(turn: Turn, case: troubles.Trouble, *limits: float) -> dict[str, object]:
    TROUBLE.set(case)
    return await troubles.watch(lambda: play(turn, replace(SEED, suggest=0.1)), case, *limits)


def main() -> None:
    key, options = sys.argv[1], dict(pair.split("=") for pair in sys.argv[2:])
    facts = measured(BY_KEY[key], **{name: int(value) for name, value in options.items()})
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
