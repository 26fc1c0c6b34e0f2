"""How many instructions the engine needs for a turn and for a token, counted by valgrind: a number that no load moves.

    python bench/instructions.py            what it is now, beside the baseline
    python bench/instructions.py --check    fails if it is more than the baseline allows
    python bench/instructions.py --record   makes what it is now the baseline

Each figure is a slope between two runs that differ only in the number of turns or of tokens, so that starting Python and
importing the engine cancel out. What is counted: the ten empty steps as a flow and in plain ``asyncio.gather``, a whole
turn of mode 2 over services that do nothing, and a token of its answer, where the model gives one for each pass of the
event loop.

On the build of Python and the C library that the baseline was recorded with, a figure may grow by 1 %. On another build
the same bytecode takes other instructions: there the ratio to plain gather, counted in the same run, is held to the
baseline's, with a tolerance that was measured (see ``TOLERANCE``).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.json")
SAME_BUILD = 0.01
TOLERANCE = {"flow": 0.10, "whole turn": 0.10, "token": 0.10}
"""Of the ratios to plain gather, on another build. Recorded on 3.11.7, measured with Debian's 3.11.2 (optimised while
linking): +1.7, -0.7 and +3.6 %; and with 3.12.1 and 3.13.0, the flow alone: +5.3 and +6.4 %."""
FLOOR = "gather"

RUNS = {
    "flow": (("flow", 20, 0), ("flow", 120, 0)),
    FLOOR: (("gather", 20, 0), ("gather", 120, 0)),
    "whole turn": (("turn", 5, 20), ("turn", 45, 20)),
    "token": (("turn", 5, 20), ("turn", 5, 520)),
}
"""Figure -> its two runs: program, turns, tokens of each answer."""
UNITS = {"flow": 100, FLOOR: 100, "whole turn": 40, "token": 5 * 500}


def build() -> str:
    """What the absolute figures hold for: the build of Python, the C library and the machine."""
    return f"{sys.version.replace(chr(10), ' ')}, {' '.join(platform.libc_ver())}, {platform.machine()}"


def play(program: str, turns: int, tokens: int) -> None:
    """What is counted. Garbage of the start-up is not looked at again, so that it does not count."""
    if program == "turn":
        from vital_bench.cost import executed

        turn = executed(tokens)
    else:
        from vital_bench.cost import on_flow, on_gather

        turn = on_flow() if program == "flow" else on_gather()

    async def many() -> None:
        gc.collect()
        gc.freeze()
        for _ in range(turns):
            await turn()

    asyncio.run(many())


def instructions(run: tuple[str, int, int]) -> int:
    """Instructions of one run in a process of its own, from its start to its end."""
    fixed = (
        ["setarch", "-R"]
        if shutil.which("setarch") and not subprocess.run(["setarch", "-R", "true"], check=False).returncode
        else []
    )
    command = [*fixed, "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, __file__, "--play", *map(str, run)]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    counted = re.search(r"I +refs: +([\d,]+)", ended.stderr)
    if ended.returncode or counted is None:
        raise SystemExit(f"{' '.join(command)} failed:\n{ended.stderr}")
    return int(counted[1].replace(",", ""))


def measure(jobs: int) -> dict[str, float]:
    """Instructions of each figure."""
    runs = list(dict.fromkeys(run for pair in RUNS.values() for run in pair))
    with ThreadPoolExecutor(jobs) as pool:
        counted = dict(zip(runs, pool.map(instructions, runs), strict=True))
    return {name: round((counted[much] - counted[little]) / UNITS[name]) for name, (little, much) in RUNS.items()}


def compared(now: dict[str, float], baseline: dict[str, float], *, same_build: bool) -> dict[str, tuple[float, float]]:
    """Figure -> how much it is above the baseline, and how much it may be, as fractions."""
    if same_build:
        return {name: (now[name] / baseline[name] - 1, SAME_BUILD) for name in now if name != FLOOR}
    scale = now[FLOOR] / baseline[FLOOR]
    return {name: (now[name] / (baseline[name] * scale) - 1, allowed) for name, allowed in TOLERANCE.items()}


def verdict(above: float, allowed: float) -> str:
    if above > allowed:
        return "TOO MUCH"
    return "less: record a new baseline" if above < -allowed else "as it was"


def main(say: Callable[[str], None] = print) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true")
    options.add_argument("--record", action="store_true")
    options.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at once")
    options.add_argument("--play", nargs=3, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.play:
        play(asked.play[0], int(asked.play[1]), int(asked.play[2]))
        return 0
    if shutil.which("valgrind") is None:
        say("NOT CHECKED: instructions per turn and per token. They are counted by valgrind, which is not installed.")
        return 0
    now = measure(asked.jobs)
    if asked.record:
        BASELINE.write_text(json.dumps({"build": build(), "instructions": now}, indent=2) + "\n", encoding="utf-8")
    kept = json.loads(BASELINE.read_text(encoding="utf-8"))
    same = kept["build"] == build()
    say(f"this build:  {build()}\nbaseline of: {kept['build']}")
    say("absolute figures are compared" if same else "another build: the ratios to plain gather are compared")
    say(f"{'instructions':14}{'now':>12}{'baseline':>12}{'above':>9}{'allowed':>9}")
    failed = False
    for name, (above, allowed) in compared(now, kept["instructions"], same_build=same).items():
        failed |= above > allowed
        say(
            f"{name:14}{now[name]:12,.0f}{kept['instructions'][name]:12,.0f}{above:9.2%}{allowed:9.0%}  {verdict(above, allowed)}"
        )
    say(f"{FLOOR:14}{now[FLOOR]:12,.0f}{kept['instructions'][FLOOR]:12,.0f}")
    if failed and asked.check:
        say("The engine has become dearer. If that is worth it, say why in the commit that records a new baseline.")
    return int(failed and asked.check)


if __name__ == "__main__":
    sys.exit(main())
