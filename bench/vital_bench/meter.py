"""What a turn costs a process: CPU, function calls, passes of the event loop, and many turns at once. Knows no engine, and
imports none: the peers are timed from their first import on.

Figures are of this process on this machine; only their proportions travel. What else runs can only add to them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import psutil

Turn: TypeAlias = Callable[[], Awaitable[object]]
ROUNDS = 15
ROUND_SECONDS = 0.03
"""Of CPU, at least."""
WARM = 20
"""Turns."""
BURST_SECONDS = 10.0
"""No further round is begun after so many."""
LULL_SECONDS = 5.0
"""That all rounds together wait for a machine that is busy with something else."""
MB = 1 << 20


def cpu_rounds(turn: Turn, rounds: int = ROUNDS, least: float = ROUND_SECONDS) -> list[float]:
    """CPU microseconds per turn, by round of at least *least* seconds of CPU."""

    async def timed() -> list[float]:
        each, taken = WARM, list[float]()
        for number in range(-1, rounds):
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

    return asyncio.run(timed())


def cpu_us(turn: Turn, rounds: int = ROUNDS) -> float:
    """CPU microseconds of one turn: the best of the rounds."""
    return round(min(cpu_rounds(turn, rounds)), 1)


def calls(turn: Turn) -> int:
    """Function calls of one turn, Python and C, the loop's own among them."""
    count = 0

    def on_event(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    async def one() -> None:
        await turn()
        sys.setprofile(on_event)
        try:
            await turn()
        finally:
            sys.setprofile(None)

    asyncio.run(one())
    return count


def iterations(turn: Turn) -> int:
    """Passes of the event loop from the start of a turn to its end."""

    class Counting(asyncio.SelectorEventLoop):
        passes = 0

        def _run_once(self) -> None:
            self.passes += 1
            super()._run_once()  # type: ignore[misc]

    async def one() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Counting)
        await turn()
        before = loop.passes
        await turn()
        return loop.passes - before

    with asyncio.Runner(loop_factory=Counting) as runner:
        return runner.run(one())


def burst(turn: Turn, turns: int, rounds: int) -> dict[str, Any]:
    """*turns* turns begun at once, in real time, *rounds* times or until it has taken too long.

    Of the round with the shortest wall time: ``wall_seconds``, ``turns_per_second``, ``p50_ms`` and ``p99_ms`` of a turn,
    counted from when all were asked for, ``cpu_seconds``, ``turns_per_cpu_second``, and ``others_cores``, how many cores
    everything else on the machine used in it; ``turns``, ``rounds``. A round is begun in a lull, if there is one within a few
    seconds. ``peak_rss_mb``: after the first round; ``kb_per_turn``: how far that lies above what was there before, per turn.
    """

    async def at_once(count: int) -> list[float]:
        began = time.perf_counter()

        async def one() -> float:
            await turn()
            return time.perf_counter() - began

        return sorted(await asyncio.gather(*(one() for _ in range(count))))

    asyncio.run(at_once(10))  # what is made at the first turn is no turn's memory
    gc.collect()
    before = psutil.Process().memory_info().rss
    best: tuple[float, float, float, list[float]] | None = None
    peak, done, until = 0.0, 0, time.perf_counter() + BURST_SECONDS
    patience = LULL_SECONDS if rounds > 1 else 0.0
    while best is None or (done < rounds and time.perf_counter() < until):
        gc.collect()
        patience = _await_lull(patience)
        began, cpu, busy = time.perf_counter(), time.process_time(), _busy()
        took = asyncio.run(at_once(turns))
        wall, spent = time.perf_counter() - began, time.process_time() - cpu
        others = (_busy() - busy - spent) / wall
        done += 1
        peak = peak or _peak_rss()
        if best is None or wall < best[0]:
            best = (wall, spent, others, took)
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
    """Until everything else uses less than a third of a core, or *patience* (seconds) is at its end; what is left of it."""
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


def cpu_name() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> float:
    """Of one minute; nan: unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
