"""What ``vital bench`` does: run workloads and print them, or write the whole benchmark as one page."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vital_engine.errors import ConfigError

from .cost import Cost, measure_cost, ten_steps
from .measure import write_rows
from .page import Material, Surroundings, terminal, write_page
from .report import QUICK, TURNS, WORKLOADS, Report, measure
from .timelines import timelines
from .workloads import FAMILIES

COST = "cost"
"""Asks for the engine's own cost, beside the names of workloads."""


def run_workloads(
    workloads: Sequence[str] | None, *, turns: int | None, seed: int, rows: Path | None, as_json: bool
) -> None:
    """Run *workloads* and print; none: a quick look at most of them, and at the engine's own cost.

    :raises ConfigError: one is not known.
    """
    known = known_workloads(workloads or ())
    if known:
        simulated = [name for name in known if name != COST]
        report = measure(simulated, turns=turns, seed=seed, told=tell) if simulated else Report(seed)
    else:
        report = quick(seed, turns)
    cost: Cost = {} if known else {"ten steps": ten_steps()}
    if COST in known:
        cost = measure_cost()
    if rows is not None:
        _write(report, rows)
    print(json.dumps({**report.plain(), "cost": cost}, indent=2) if as_json else terminal(report, cost))


def run_report(
    folder: Path,
    workloads: Sequence[str] | None,
    *,
    turns: int | None,
    seed: int,
    rows: Path | None,
    peers: Path | None,
    real: Path | None,
) -> None:
    """Run *workloads*, or all and the engine's own cost, and write the page into *folder*.

    :param turns: of each, at most; None: as many as each needs.
    :raises ConfigError: a workload is not known, or a file cannot be read. Nothing was run.
    """
    names = known_workloads(workloads or ()) or [*FAMILIES, *TURNS, COST]
    simulated = [name for name in names if name != COST]
    beside = [{} if file is None else _read(file, key) for file, key in ((peers, "engines"), (real, "rows"))]
    around = Surroundings.here(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    jobs = os.cpu_count() or 1
    report = (
        measure(simulated, turns=turns, seed=seed, jobs=jobs, at_most=True, told=tell) if simulated else Report(seed)
    )
    tell("the engine's own cost")
    cost = measure_cost() if COST in names else {}
    lines = timelines() if "W1" in names else ()
    if rows is not None:
        _write(report, rows)
    for path in write_page(folder, Material(report, around, lines, cost, *beside)):
        print(path)


def known_workloads(workloads: Sequence[str]) -> list[str]:
    """*workloads* by the names that they have, however they were typed.

    :raises ConfigError: one is not known.
    """
    known = {name.lower(): name for name in (*WORKLOADS, COST)}
    for name in workloads:
        if name.lower() not in known:
            raise ConfigError(f"unknown workload {name!r}; known: {', '.join(known.values())}")
    return [known[name.lower()] for name in workloads]


def quick(seed: int, turns: int | None = None) -> Report:
    """Few turns of each: what the tables look like, and whether anything is far off. No tail is seen in so few."""
    reports = [measure([name], turns=turns or many, seed=seed, told=tell) for name, many in QUICK.items()]
    return Report.joined(reports)


def tell(what: str) -> None:
    """On standard error, and only on a terminal."""
    if sys.stderr.isatty():
        print(f"... {what}", file=sys.stderr)


def _write(report: Report, rows: Path) -> None:
    with rows.open("w", encoding="utf-8", newline="") as file:
        write_rows(report.rows, file)


def _read(file: Path, key: str) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict) or key not in found:
        raise ConfigError(f"{file} holds no {key!r}: it is not what the benchmark has written")
    return found
