"""A run of the benchmark as one page: Markdown, with plots beside it.

::

    markdown.py   tables, and figures as a reader meets them
    verdicts.py   each goal: met, or missed by how much
    sections.py   the simulated workloads
    beside.py     the engine's own cost, other engines, a real model
    around.py     what was run and where, what is assumed and simulated
    plots.py      the plots, as SVG
    curves.py     those of many turns or engines

The figures come from the run that is handed in, and from nowhere else. May import: the bench, matplotlib.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vital_engine.bench.cost import Cost
from vital_engine.bench.report import Report
from vital_engine.bench.timelines import Timeline

from .around import Surroundings, assumptions_section, honesty_section, how_section, run_section
from .beside import cost_section, peers_section, real_section
from .plots import draw_all, require_matplotlib
from .sections import (
    clock_section,
    failures_section,
    ladder_section,
    repeats_section,
    shapes_section,
    tails_section,
)
from .verdicts import judged, open_goals, verdict_section

__all__ = ["Material", "Surroundings", "require_matplotlib", "write_page"]

PAGE, FIGURES = "report.md", "figures.json"


@dataclass(frozen=True, slots=True)
class Material:
    """All that a page is made of. ``lines``: name of a W1 workload -> a turn of it by each policy. ``peers``, ``real``: what
    ``bench.peers`` and ``bench.real_stack`` wrote; empty where they were not run."""

    report: Report
    around: Surroundings
    lines: Mapping[str, Sequence[Timeline]] = field(default_factory=dict)
    cost: Cost = field(default_factory=dict)
    peers: Mapping[str, Any] = field(default_factory=dict)
    real: Mapping[str, Any] = field(default_factory=dict)


def write_page(folder: Path, material: Material) -> list[Path]:
    """Write ``report.md``, ``figures.json`` and the plots into *folder*, which is made if it is not there.

    :returns: the files.
    :raises ConfigError: matplotlib is not installed.
    """
    drawn = draw_all(material.report, material.lines, material.peers)
    folder.mkdir(parents=True, exist_ok=True)
    files = {PAGE: "\n\n".join(_page(material)) + "\n", FIGURES: figures(material), **drawn}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in files]


def _page(m: Material) -> Iterator[str]:
    yield "# The benchmark's report"
    yield "Written by `vital bench --report`; no figure was put in by hand."
    yield from run_section(m.report, m.around)
    yield from verdict_section(judged(m.report, m.cost, m.peers, m.real), open_goals(m.report))
    yield from ladder_section(m.report, m.lines)
    yield from tails_section(m.report)
    yield from failures_section(m.report)
    yield from shapes_section(m.report)
    yield from repeats_section(m.report)
    yield from clock_section(m.report)
    yield from cost_section(m.cost)
    yield from peers_section(m.peers)
    yield from real_section(m.real)
    yield from assumptions_section()
    yield from honesty_section()
    yield from how_section()


def figures(m: Material) -> str:
    """Every figure as JSON, one a line, so that two runs can be compared line by line."""
    around = {"seed": m.report.seed, **asdict(m.around)}
    head = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in (("around", around), ("cost", m.cost), ("peers", m.peers), ("real", m.real))
    ]
    rows = [json.dumps([*f.key, f.value, f.unit, f.label], ensure_ascii=False) for f in m.report.figures]
    columns = json.dumps(["workload", "variant", "name", "value", "unit", "label"])
    return "{\n" + ",\n".join([*head, f'"columns": {columns}', '"figures": [\n' + ",\n".join(rows) + "\n]"]) + "\n}\n"
