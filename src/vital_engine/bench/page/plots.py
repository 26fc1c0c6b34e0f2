"""The plots of the page, as SVG: the same to the byte for the same figures.

Drawn on white, so that they can be read on a dark page too, in colours that are told apart without seeing red and green
(Okabe and Ito, "Color universal design", 2008).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vital_engine.bench.report import Report
from vital_engine.bench.timelines import Bar, Timeline
from vital_engine.errors import ConfigError

from .beside import PEERS
from .sections import LADDER, TAILS, TIMELINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, GREY, ORANGE, SKY, GREEN, BLUE, RED = (
    "#000000", "#777777", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00",
)  # fmt: skip
SHOWN = "W1 half known"
"""Whose time lines are drawn: in the other splits they differ by lengths alone."""
WIDTH = 9.0
"""Inches."""
BEHIND: Any = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4}
"""Of a number that a line would run through."""
STYLE: Any = {
    "svg.hashsalt": "vital-engine",
    "svg.fonttype": "path",  # whatever fonts the reader has
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "figure.facecolor": "white",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
LOOK: Mapping[str, tuple[str, float, str]] = {  # kind of a bar -> colour, opacity, what it is
    "input": (BLUE, 1.0, "finds what the prompt needs"),
    "read ahead": (SKY, 1.0, "the model's server reads ahead"),
    "read": (ORANGE, 0.4, "the model, until its first token"),
    "speak": (ORANGE, 1.0, "the answer is spoken"),
    "read along": (GREEN, 0.3, "reviews read along"),
    "review": (GREEN, 1.0, "what is left of the reviews"),
}


def require_matplotlib() -> None:
    """:raises ConfigError: it is not installed, and which extra brings it."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] != "matplotlib":
            raise
        raise ConfigError("a report needs matplotlib: pip install 'vital-engine[bench]'") from missing


def draw_all(report: Report, lines: Mapping[str, Sequence[Timeline]], peers: Mapping[str, Any]) -> dict[str, str]:
    """Name of the file -> SVG, of what was measured.

    :raises ConfigError: matplotlib is not installed.
    """
    require_matplotlib()
    from .curves import draw_peers, draw_tails

    drawn: dict[str, Callable[[], Figure]] = {}
    if SHOWN in lines:
        drawn[TIMELINES] = lambda: draw_timelines(lines[SHOWN])
    if any(s.workload.startswith("W1") for s in report.summaries):
        drawn[LADDER] = lambda: draw_ladder(report)
    if any(workload.startswith("W2") for workload, _ in report.rows):
        drawn[TAILS] = lambda: draw_tails(report)
    if peers.get("engines"):
        drawn[PEERS] = lambda: draw_peers(peers["engines"])
    return {name: svg(draw) for name, draw in drawn.items()}


def svg(draw: Callable[[], Figure]) -> str:
    """What *draw* draws. It is called under :data:`STYLE`, without any style of the user's."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        file = io.BytesIO()
        # No date, and no name of whoever drew it: they would differ where nothing else does.
        draw().savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    lines = file.getvalue().decode().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def draw_timelines(turns: Sequence[Timeline]) -> Figure:
    """A panel for each turn, one below the other on one axis of time."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = [list(dict.fromkeys(bar.step for bar in turn.bars)) for turn in turns]
    heights = [len(each) + 1.2 for each in rows]
    figure = Figure(figsize=(WIDTH, 0.165 * sum(heights) + 1.0), layout="constrained")
    panels = figure.subplots(len(turns), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    longest = 1000 * max(turn.total for turn in turns)
    for panel, turn, steps in zip(panels, turns, rows, strict=True):
        for bar in turn.bars:
            _bar(panel, bar, steps.index(bar.step))
        panel.set_yticks(range(len(steps)), [step.replace("_", " ") for step in steps], fontsize=7.5)
        panel.set_ylim(len(steps) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.grid(visible=False, axis="y")
        panel.axvline(1000 * turn.total, color=BLACK, linewidth=0.8, linestyle=":")
        first, last, every = (1000 * t for t in (turn.first_token, turn.last_token, turn.total))
        label = "" if turn.label == "lossless" else f" ({turn.label})"
        panel.set_title(f"{turn.policy}{label}: all after {every:,.0f} ms; first token {first:,.0f}, last {last:,.0f}")
    panels[-1].set_xlim(0, longest * 1.01)
    panels[-1].set_xlabel("ms since the question")
    kinds = dict.fromkeys(bar.kind for turn in turns for bar in turn.bars)
    keys = [Patch(color=LOOK[kind][0], alpha=LOOK[kind][1], label=LOOK[kind][2]) for kind in LOOK if kind in kinds]
    keys.append(Patch(facecolor="white", edgecolor=BLACK, linewidth=1.2, label="critical path: the end waited for it"))
    figure.legend(handles=keys, loc="outside lower center", ncols=3)
    return figure


def _bar(panel: Axes, bar: Bar, row: int) -> None:
    colour, opacity, _ = LOOK[bar.kind]
    began, long = 1000 * bar.began, 1000 * (bar.ended - bar.began)
    panel.barh(row, long, left=began, height=0.72, color=colour, alpha=opacity, linewidth=0)
    if bar.critical:
        panel.barh(row, long, left=began, height=0.72, fill=False, edgecolor=BLACK, linewidth=1.2)


def draw_ladder(report: Report) -> Figure:
    """A panel for each split of the model's time: a bar for each policy, and the bound as a line."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = list(dict.fromkeys(s.workload for s in report.summaries if s.workload.startswith("W1")))
    rungs = {name: _rungs(report, name) for name in names}
    figure = Figure(figsize=(WIDTH, 0.27 * max(map(len, rungs.values())) + 1.5), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    shades = (
        (ORANGE, 0.35, "until the first token"),
        (ORANGE, 1.0, "until the last token"),
        (GREEN, 1.0, "until all is known"),
    )
    for panel, name in zip(panels, names, strict=True):
        for row, (_, times) in enumerate(rungs[name]):
            before = 0.0
            for time, (colour, opacity, _) in zip(times, shades, strict=True):
                panel.barh(row, time - before, left=before, height=0.7, color=colour, alpha=opacity, linewidth=0)
                before = time
            panel.text(before + 25, row, f"{before:,.0f}", va="center", fontsize=8, zorder=5, bbox=BEHIND)
        bound = min(
            row.bound.total for (workload, _), (row, *_) in report.rows.items() if workload == name and row.bound
        )
        panel.axvline(1000 * bound, color=BLACK, linewidth=1.0, linestyle="--")
        panel.set_title(name.removeprefix("W1 "))
        panel.set_xlim(0, 1000 * 2.8 * 1.17)
        panel.set_xlabel("ms since the question")
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(rungs[names[0]])), [policy for policy, _ in rungs[names[0]]])
    panels[0].invert_yaxis()
    keys: list[Any] = [Patch(color=colour, alpha=opacity, label=says) for colour, opacity, says in shades]
    keys.append(Line2D([], [], color=BLACK, linestyle="--", linewidth=1.0, label="bound"))
    figure.legend(handles=keys, loc="outside lower center", ncols=4)
    return figure


def _rungs(report: Report, workload: str) -> list[tuple[str, list[float]]]:
    """Policy -> ms until the first token, the last, and all."""
    rungs: list[tuple[str, list[float]]] = []
    for s in report.summaries:
        if s.workload == workload and s.first_token and s.last_token:
            spreads = (s.first_token, s.last_token, s.total)
            rungs.append((s.variant, [1000 * each.quantiles["p50"] for each in spreads]))
    return rungs
