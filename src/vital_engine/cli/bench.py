"""``vital bench``: what turns take, beside what the arithmetic allows, and what the engine itself costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vital_engine.bench import measure_engine
from vital_engine.bench.report import QUICK, WORKLOADS, Report, measure
from vital_engine.bench.rows import write_rows
from vital_engine.bench.tables import tables
from vital_engine.errors import ConfigError

from .terminal import OK


def run_workloads(
    workloads: Sequence[str] | None, *, turns: int | None, seed: int, rows: Path | None, as_json: bool
) -> int:
    """Run *workloads* and print; none: a quick look at most of them, and at the engine's own cost.

    :raises ConfigError: one is not known.
    """
    known = known_workloads(workloads or ())
    report = measure(known, turns=turns, seed=seed, told=tell) if known else quick(seed, turns)
    engine = {} if workloads else measure_engine()
    if rows is not None:
        with rows.open("w", encoding="utf-8", newline="") as file:
            write_rows(report, file)
    if as_json:
        print(json.dumps({**report.plain(), "engine": engine}, indent=2))
        return OK
    for line in tables(report):
        print(line)
    if engine:
        print("\nThe engine's own cost: a turn of ten steps that do nothing. CPU of this process on this machine.")
        for name, facts in engine.items():
            print(
                f"{name:14} "
                + "  ".join(f"{k} {v:,.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items())
            )
    return OK


def known_workloads(workloads: Sequence[str]) -> list[str]:
    """*workloads* by the names that they have, however they were typed.

    :raises ConfigError: one is not known.
    """
    known = {name.lower(): name for name in WORKLOADS}
    for name in workloads:
        if name.lower() not in known:
            raise ConfigError(f"unknown workload {name!r}; known: {', '.join(WORKLOADS)}")
    return [known[name.lower()] for name in workloads]


def quick(seed: int, turns: int | None = None) -> Report:
    """Few turns of each: what the tables look like, and whether anything is far off. No tail is seen in so few."""
    reports = [measure([name], turns=turns or many, seed=seed, told=tell) for name, many in QUICK.items()]
    return Report.joined(reports)


def tell(what: str) -> None:
    """Print progress on standard error, if that is a terminal.

    :param what: one line.
    """
    if sys.stderr.isatty():
        print(f"... {what}", file=sys.stderr)
