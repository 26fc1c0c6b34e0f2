"""One engine in a process of its own: ``python -m bench.peers.measure KEY`` prints its figures as JSON.

Fields, None where the engine has no such turn:

``key``, ``name``, ``version``, ``note``; ``setup_seconds``: to import it and build the seed turn; ``setup_rss_mb``: resident
memory after that.
``seed_ms``, ``uneven_ms``: one turn in virtual time, so exactly what the order of the steps makes of their durations.
``renamed_ms``: the uneven turn with other names, where those matter.
``cpu_us``: CPU microseconds of a ten-step turn whose steps do nothing, best of the rounds; ``cpu_us_spread``: median over
best of them. ``calls``: its function calls, Python and C. ``iterations``: its passes of the event loop.
``burst``: 1,000 turns of a tenth of the seed profile, begun at once, in real time, with Python's garbage collector as it is
by default; ``frozen``: the same after ``gc.freeze()`` and with rarer collections (50,000, 20, 50), as a server may set them.
In each, of the round with the shortest wall time: ``wall_seconds``, ``turns_per_second``, ``p50_ms``, ``p99_ms``,
``cpu_seconds``, ``turns_per_cpu_second``, and ``others_cores``, how many cores everybody else on the machine used in it;
``turns``, ``rounds``. A round is begun in a lull, if there is one within a few seconds. In ``burst`` also ``peak_rss_mb``,
after the first round, and ``kb_per_turn``: how far that lies above what was there before it, per turn.
``trouble``: case -> what a caller sees, see :func:`.trouble.watch`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import resource
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import psutil

from . import trouble as troubles
from .registry import BY_KEY, WHOLE, Entry
from .shapes import SHAPES, TROUBLE, Engine, expected

TURNS = 1000
BURSTS = 5
BURST_SECONDS = 10.0
"""No further round is begun after so many."""
LULL_SECONDS = 5.0
"""That all rounds together wait for a machine that is busy with something else."""
ROUNDS = 15
ROUND_MS = 30
"""Of CPU, at least."""
WARM = 20
"""Turns."""
MB = 1 << 20


def measured(
    entry: Entry,
    *,
    turns: int = TURNS,
    round_ms: int = ROUND_MS,
    bursts: int = BURSTS,
    patience: int = troubles.REAL_PATIENCE,
) -> dict[str, Any]:
    """All figures of one engine. Call it in a fresh process: memory and set-up are those of the process."""
    began = time.perf_counter()
    seed = _engine(entry, "seed")
    assert seed is not None
    setup = time.perf_counter() - began
    # After the set-up, which has to be charged with what the engine imports.
    figures = importlib.import_module("vital_engine.bench.engine")
    run_virtual = importlib.import_module("vital_engine.flow").run_virtual
    facts: dict[str, Any] = {
        "key": entry.key,
        "name": entry.name,
        "version": entry.version,
        "note": entry.note,
        "setup_seconds": round(setup, 3),
        "setup_rss_mb": round(psutil.Process().memory_info().rss / MB, 1),
    }
    facts["burst"] = burst(seed, turns, bursts)
    for shape in ("seed", "uneven", "renamed"):
        engine = _engine(entry, shape)
        facts[f"{shape}_ms"] = None if engine is None else round(1000 * run_virtual(_timed(entry, shape, engine)), 3)
    ten = _engine(entry, "ten")
    if ten is not None:
        turn = _on_its_own(ten)
        rounds = asyncio.run(_cpu(turn, round_ms / 1000))
        facts["cpu_us"] = round(min(rounds), 1)
        facts["cpu_us_spread"] = round(statistics.median(rounds) / min(rounds), 3)
        facts["calls"], facts["iterations"] = figures.calls(turn), figures.iterations(turn)
    for name, case in troubles.cases().items():
        if case.hangs and entry.wall_clock:
            seen = asyncio.run(_into(seed, case, patience, 0.1))
        else:
            seen = run_virtual(_into(seed, case))
        facts.setdefault("trouble", {})[name] = seen
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    facts["frozen"] = {k: v for k, v in burst(seed, turns, bursts).items() if "rss" not in k and k != "kb_per_turn"}
    return facts


def _engine(entry: Entry, shape: str) -> Engine | None:
    built = entry.shape(shape)
    return None if built is None else Engine(built())


def _durations(scale: float = 1.0) -> Any:
    d = importlib.import_module("vital_engine.bench.durations").Durations()
    steps = ("retrieve", "suggest", "recall", "reply", "cite", "assess", "tally")
    return replace(d, **{step: scale * getattr(d, step) for step in steps})


def _on_its_own(engine: Engine) -> Any:
    durations = _durations()
    return lambda: engine(durations)


async def _timed(entry: Entry, shape: str, engine: Engine) -> float:
    """Seconds of one turn, which must be the same as everybody's."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    values = await engine(_durations())
    seconds = loop.time() - began
    needs = SHAPES.get(shape, SHAPES["uneven"])
    if set(values) != set(needs) or (entry.key not in WHOLE and values != expected(needs)):
        raise RuntimeError(f"{entry.name} ran another turn: {values}")
    return seconds


async def _into(engine: Engine, case: troubles.Trouble, *limits: float) -> dict[str, object]:
    TROUBLE.set(case)
    durations = replace(_durations(), suggest=0.1)
    return await troubles.watch(lambda: engine(durations), case, *limits)


async def _cpu(turn: Any, least: float) -> list[float]:
    """CPU microseconds per turn, by round of at least *least* seconds of CPU. Whatever else runs can only add to it."""
    each, taken = WARM, []
    for number in range(-1, ROUNDS):
        gc.collect()
        began = time.process_time()
        for _ in range(each):
            await turn()
        per_turn = (time.process_time() - began) / each
        if number < 0:  # it warms up, and says how many turns a round needs
            each = max(WARM, int(least / max(per_turn, 1e-6)))
        else:
            taken.append(per_turn * 1e6)
    return taken


def burst(engine: Engine, turns: int, rounds: int) -> dict[str, Any]:
    """*turns* turns begun at once, in real time, *rounds* times or until it has taken too long: figures of the round with
    the shortest wall time."""
    durations = _durations(0.1)

    async def one() -> float:
        began = time.perf_counter()
        await engine(durations)
        return time.perf_counter() - began

    async def at_once(count: int) -> list[float]:
        return sorted(await asyncio.gather(*(one() for _ in range(count))))

    asyncio.run(at_once(10))  # what is made at the first turn is no turn's memory
    gc.collect()
    before = psutil.Process().memory_info().rss
    best: tuple[float, float, float, list[float]] | None = None
    peak = 0.0
    until = time.perf_counter() + BURST_SECONDS
    patience = LULL_SECONDS if rounds > 1 else 0.0
    done = 0
    while done < rounds and (not done or time.perf_counter() < until):
        gc.collect()
        patience = _await_lull(patience)
        began, cpu, busy = time.perf_counter(), time.process_time(), _busy()
        took = asyncio.run(at_once(turns))
        wall, spent = time.perf_counter() - began, time.process_time() - cpu
        others = (_busy() - busy - spent) / wall
        done += 1
        if done == 1:
            peak = _peak_rss()
        if best is None or wall < best[0]:
            best = (wall, spent, others, took)
    assert best is not None
    wall, spent, others, took = best
    return {
        "turns": turns,
        "rounds": done,
        "wall_seconds": round(wall, 3),
        "turns_per_second": round(turns / wall, 1),
        "p50_ms": round(1000 * statistics.median(took), 1),
        "p99_ms": round(1000 * took[int(0.99 * (turns - 1))], 1),
        "cpu_seconds": round(spent, 3),
        "turns_per_cpu_second": round(turns / spent, 1),
        "others_cores": round(max(0.0, others), 2),
        "peak_rss_mb": round(peak / MB, 1),
        "kb_per_turn": round(max(0.0, peak - before) / turns / 1024, 1),
    }


def _await_lull(patience: float) -> float:
    """Until everybody else uses less than a third of a core, or *patience* (seconds) is at its end; what is left of it."""
    step = 0.2
    while patience >= step:
        before = _busy()
        time.sleep(step)
        patience -= step
        if (_busy() - before) / step < 1 / 3:
            break
    return patience


def _busy() -> float:
    """CPU seconds of the whole machine so far, in steps of 10 ms."""
    spent = psutil.cpu_times()
    return float(sum(spent) - spent.idle - getattr(spent, "iowait", 0.0) - getattr(spent, "guest", 0.0))


def _peak_rss() -> float:
    """Bytes; of the process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


def main() -> None:
    key, options = sys.argv[1], dict(pair.split("=") for pair in sys.argv[2:])
    facts = measured(BY_KEY[key], **{name: int(value) for name, value in options.items()})
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
