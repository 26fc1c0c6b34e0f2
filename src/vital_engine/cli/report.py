"""``vital bench --report``: the whole benchmark as one page with its plots."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vital_engine.bench.cost import measure_cost
from vital_engine.bench.page import Material, Surroundings, require_matplotlib, write_page
from vital_engine.bench.parallel import measure_in_parallel
from vital_engine.bench.report import TURNS
from vital_engine.bench.rows import write_rows
from vital_engine.bench.timelines import timelines
from vital_engine.bench.workloads import FAMILIES, W1
from vital_engine.errors import ConfigError

from .bench import known_workloads, tell
from .terminal import OK


def run_report(
    folder: Path,
    workloads: Sequence[str] | None,
    *,
    turns: int | None,
    seed: int,
    rows: Path | None,
    peers: Path | None,
    real: Path | None,
) -> int:
    """Run *workloads*, or all and the engine's own cost, and write the page into *folder*.

    :param turns: of each, at most; None: as many as each needs.
    :raises ConfigError: a workload is not known, a file cannot be read, or matplotlib is not installed. Nothing was run.
    """
    require_matplotlib()
    names = known_workloads(workloads or ()) or [*FAMILIES, *TURNS]
    beside = [{} if file is None else _read(file, key) for file, key in ((peers, "engines"), (real, "rows"))]
    around = Surroundings.here(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    report = measure_in_parallel(names, turns=turns, seed=seed, jobs=os.cpu_count() or 1, told=tell)
    tell("the engine's own cost")
    cost = {} if workloads else measure_cost()
    lines = {w.name: timelines(w.median) for w in W1} if "W1" in names else {}
    if rows is not None:
        with rows.open("w", encoding="utf-8", newline="") as file:
            write_rows(report, file)
    for path in write_page(folder, Material(report, around, lines, cost, *beside)):
        print(path)
    return OK


def _read(file: Path, key: str) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict) or key not in found:
        raise ConfigError(f"{file} holds no {key!r}: it is not what the benchmark has written")
    return found
