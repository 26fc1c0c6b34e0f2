"""``vital bench``: what turns take, beside what the arithmetic allows, and what the engine itself costs.

The benchmark is a distribution of its own, ``vital-engine-bench``: here is what it can be told, and what is said where it is
not installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from vital_engine.errors import ConfigError

from .options import AsJson
from .terminal import OK

Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload",
        help="W1, W1b, W2, W3, W6, W7, real-clock, cost, or one of a family ('W2 no stalls'). Repeatable; default: a quick look, or with --report all.",
    ),
]
Turns = Annotated[
    int | None, typer.Option(min=1, help="Turns of each (with --report: at most); default: as many as it needs.")
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal figures, to the digit.")]
Rows = Annotated[Path | None, typer.Option(help="Write every turn to this CSV file.")]
ReportFolder = Annotated[
    Path | None, typer.Option("--report", help="Write one page with pictures into this folder, on all cores.")
]
PeersFile = Annotated[
    Path | None, typer.Option(help="For the report: what `python -m vital_bench.peers --json` wrote.")
]
RealFile = Annotated[Path | None, typer.Option(help="For the report: what `bench/real_stack.py --json` wrote.")]


def bench(
    workload: Workloads = None,
    turns: Turns = None,
    seed: Seed = 1,
    rows: Rows = None,
    report: ReportFolder = None,
    peers: PeersFile = None,
    real: RealFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure: in virtual time against the arithmetic bound of each turn, and the engine's own CPU per turn."""
    if importlib.util.find_spec("vital_bench") is None:
        raise ConfigError(
            "the benchmark is not installed: pip install 'vital-engine[bench]' (in a clone: pip install -e bench)"
        )
    from vital_bench.command import run_report, run_workloads

    if report is not None:
        run_report(report, workload, turns=turns, seed=seed, rows=rows, peers=peers, real=real)
    else:
        run_workloads(workload, turns=turns, seed=seed, rows=rows, as_json=as_json)
    raise typer.Exit(OK)
