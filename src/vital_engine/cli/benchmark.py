"""What ``vital bench`` can be told. What it does is loaded when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson

Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload",
        help="W1, W1b, W2, W3, W6, W7, load, real-clock, or one of a family ('W2 no stalls'). Repeatable; default: a quick look, or with --report all.",
    ),
]
Turns = Annotated[
    int | None, typer.Option(min=1, help="Turns of each (with --report: at most); default: as many as it needs.")
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal figures, to the digit.")]
Rows = Annotated[Path | None, typer.Option(help="Write every turn to this CSV file.")]
ReportFolder = Annotated[
    Path | None, typer.Option("--report", help="Write one page with plots into this folder, on all cores.")
]
PeersFile = Annotated[Path | None, typer.Option(help="For the report: what `python -m bench.peers --json` wrote.")]
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
    if report is not None:
        from .report import run_report

        raise typer.Exit(run_report(report, workload, turns=turns, seed=seed, rows=rows, peers=peers, real=real))
    from .bench import run_workloads

    raise typer.Exit(run_workloads(workload, turns=turns, seed=seed, rows=rows, as_json=as_json))
