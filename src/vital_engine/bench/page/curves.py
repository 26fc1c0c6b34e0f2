"""The plots of many turns, and of many engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from vital_engine.bench.report import Report
from vital_engine.bench.variants import BY_HAND, HEDGED, PREFIX, SEGMENTS, STREAM, TIERS

from .plots import BLACK, BLUE, GREY, ORANGE, RED, SKY, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = ("W2", "W2 reviews at hand", "W2 no stalls")
WHOSE = {"plain asyncio": GREY, "this engine": ORANGE, "other engines": BLUE}
POINTS = 240
"""Of a curve: more would not be seen."""
LINES: Mapping[str, tuple[str, str]] = {  # variant -> colour, dashes
    BY_HAND[1].name: (GREY, ":"),
    BY_HAND[2].name: (GREY, "--"),
    BY_HAND[3].name: (GREY, "-."),
    TIERS.name: (BLACK, "-"),
    STREAM.name: (SKY, "-"),
    PREFIX.name: (BLUE, ":"),
    SEGMENTS.name: (BLUE, "-"),
    HEDGED.name: (RED, "-"),
}


def draw_tails(report: Report) -> Figure:
    """By policy, the share of turns that take longer than so many ms, on logarithmic axes."""
    names = [name for name in PANELS if any(workload == name for workload, _ in report.rows)]
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, sharex=True, squeeze=False)[0]
    keys: dict[str, Any] = {}
    for panel, name in zip(panels, names, strict=True):
        for (workload, variant), rows in report.rows.items():
            if workload == name:
                colour, dashes = LINES[variant]
                times, shares = slower(sorted(row.times.total for row in rows))
                (line,) = panel.step(times, shares, where="post", color=colour, linestyle=dashes, linewidth=1.3)
                keys.setdefault(variant, line)
        panel.set_title(name)
        panel.set_xlabel("t, ms")
    panels[0].set_ylabel("share of turns that take longer than t")
    panels[0].set_xscale("log")
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    _plain_ms(panels[0], (1000, 2000, 4000, 8000, 16000))
    figure.legend(handles=list(keys.values()), labels=list(keys), loc="outside lower center", ncols=4)
    return figure


def slower(seconds: Sequence[float]) -> tuple[list[float], list[float]]:
    """Of sorted *seconds*: ms, and the share of them that is longer; evenly spaced in the logarithm of the share."""
    many = len(seconds)
    left = sorted({round(many ** (1 - i / POINTS)) for i in range(POINTS + 1)}, reverse=True)
    return [1000 * seconds[many - k] for k in left], [k / many for k in left]


def draw_peers(engines: Sequence[Mapping[str, Any]]) -> Figure:
    """CPU of a turn of ten empty steps, and turns per second of many begun at once."""
    figure = Figure(figsize=(WIDTH, 0.27 * len(engines) + 1.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    cpu, rate = (
        [engine.get("cpu_us") for engine in engines],
        [engine["burst"]["turns_per_second"] for engine in engines],
    )
    for panel, values in ((panels[0], cpu), (panels[1], rate)):
        for row, (engine, value) in enumerate(zip(engines, values, strict=True)):
            if value:
                panel.barh(row, value, height=0.7, color=WHOSE[_whose(engine)], linewidth=0)
                panel.annotate(
                    f"{value:,.0f}", (value, row), (3, 0), textcoords="offset points", va="center", fontsize=8
                )
        panel.grid(visible=False, axis="y")
        panel.tick_params(axis="y", length=0)
    panels[0].set_title("CPU of a turn whose steps do nothing, µs")
    panels[0].set_xscale("log")
    panels[0].set_xlim(right=panels[0].get_xlim()[1] * 2.5)
    panels[1].set_title(f"turns per second, {engines[0]['burst']['turns']:,} begun at once")
    panels[1].set_xlim(right=panels[1].get_xlim()[1] * 1.12)
    for panel in panels:  # a scale brings a formatter of its own
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panels[0].set_yticks(range(len(engines)), [engine["name"] for engine in engines])
    panels[0].invert_yaxis()
    keys = [Patch(color=colour, label=whose) for whose, colour in WHOSE.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3)
    return figure


def _whose(engine: Mapping[str, Any]) -> str:
    if engine["name"].startswith("VITAL"):
        return "this engine"
    return "other engines" if engine["version"] else "plain asyncio"


def _plain_ms(panel: Axes, marks: Sequence[int], axis: str = "x") -> None:
    """On a logarithmic axis: *marks* by their numbers, and no others."""
    of = panel.xaxis if axis == "x" else panel.yaxis
    of.set_ticks(list(marks), labels=[f"{mark:,}" for mark in marks])
    of.set_minor_formatter(FuncFormatter(lambda _, __: ""))
