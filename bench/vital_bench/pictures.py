"""The two pictures of the page, as small SVG files: the same to the byte for the same figures.

Drawn on white, so that they can be read on a dark page too, in colours that are told apart without seeing red and green
(Okabe and Ito, "Color universal design", 2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from .measure import Rows
from .timelines import Bar, Timeline
from .variants import BY_HAND, HEDGED, SEGMENTS, STREAM, TIERS

TIMELINES, TAILS = "timelines.svg", "tails.svg"
BLACK, GREY, ORANGE, SKY, GREEN, BLUE, RED = "#000", "#777", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
WIDTH, LEFT, LINE = 860, 120, 14
"""Pixels: of a picture, of the names at its left, of a line."""
LOOK: Mapping[str, tuple[str, float, str]] = {  # kind of a bar -> colour, opacity, what it is
    "input": (BLUE, 1.0, "finds what the prompt needs"),
    "read ahead": (SKY, 1.0, "the model's server reads ahead"),
    "read": (ORANGE, 0.4, "the model, until its first token"),
    "speak": (ORANGE, 1.0, "the answer is spoken"),
    "read along": (GREEN, 0.3, "reviews read along"),
    "review": (GREEN, 1.0, "what is left of the reviews"),
}
PANELS = ("W2", "W2 no stalls")
POINTS = 48
"""Of a curve: more would not be seen."""
LINES: Mapping[str, tuple[str, str]] = {  # variant -> colour, dashes
    BY_HAND[1].name: (GREY, "2 2"),
    BY_HAND[2].name: (GREY, "6 3"),
    TIERS.name: (BLACK, ""),
    STREAM.name: (SKY, ""),
    SEGMENTS.name: (BLUE, ""),
    HEDGED.name: (RED, ""),
}


def draw_all(rows: Rows, lines: Sequence[Timeline]) -> dict[str, str]:
    """Name of the file -> SVG, of what was measured."""
    drawn = {TIMELINES: draw_timelines(lines)} if lines else {}
    if any(workload in PANELS for workload, _ in rows):
        drawn[TAILS] = draw_tails(rows)
    return drawn


# -- time lines
def draw_timelines(turns: Sequence[Timeline]) -> str:
    """A panel for each turn, one below the other on one axis of time."""
    longest = max(turn.total for turn in turns)
    scale = (WIDTH - LEFT - 20) / longest
    parts, y = list[str](), 20
    for turn in turns:
        first, last, every = (f"{1000 * t:,.0f}" for t in (turn.first_token, turn.last_token, turn.total))
        parts.append(
            _text(LEFT, y, f"{turn.policy}: all after {every} ms; first token {first}, last {last}", weight="bold")
        )
        steps = list(dict.fromkeys(bar.step for bar in turn.bars))
        for row, step in enumerate(steps):
            parts.append(_text(LEFT - 6, y + 16 + LINE * row, step.replace("_", " "), anchor="end"))
        parts += [_bar(bar, y + 7 + LINE * steps.index(bar.step), scale) for bar in turn.bars]
        end = LEFT + turn.total * scale
        parts.append(_line(end, y + 4, end, y + 8 + LINE * len(steps), BLACK, "1 3"))
        y += LINE * len(steps) + 26
    for ms in range(0, int(1000 * longest) + 1, 500):
        x = LEFT + ms / 1000 * scale
        parts = [_line(x, 8, x, y - 10, "#e4e4e4"), *parts, _text(x, y + 4, f"{ms:,}", anchor="middle")]
    parts.append(_text(WIDTH - 20, y + 18, "ms since the question; outlined: the end waited for it", anchor="end"))
    kinds = {bar.kind for turn in turns for bar in turn.bars}
    keys = [(LOOK[kind][2], LOOK[kind][0], LOOK[kind][1], "") for kind in LOOK if kind in kinds]
    return _svg(y + 30 + 18 * -(-len(keys) // 3), [*parts, *_legend(keys, y + 26)])


def _bar(bar: Bar, y: float, scale: float) -> str:
    colour, opacity, _ = LOOK[bar.kind]
    edge = f' stroke="{BLACK}" stroke-width="1.2"' if bar.critical else ""
    x, wide = LEFT + bar.began * scale, (bar.ended - bar.began) * scale
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{LINE - 4}" fill="{colour}" '
        f'fill-opacity="{opacity:g}"{edge}/>'
    )


# -- tails
def draw_tails(rows: Rows) -> str:
    """By policy, the share of turns that take longer than so many ms, on logarithmic axes; a panel for each workload."""
    names = [name for name in PANELS if any(workload == name for workload, _ in rows)]
    wide, high, top = (WIDTH - 70) / len(names) - 20, 280, 30
    fewest = min(1 / len(turns) for (workload, _), turns in rows.items() if workload in names)
    decades = math.ceil(-math.log10(fewest))
    parts, keys = list[str](), dict[str, tuple[str, str]]()

    def x_of(ms: float, panel: int) -> float:
        return 60 + panel * (wide + 30) + wide * math.log(min(max(ms, 1000), 20_000) / 1000) / math.log(20)

    def y_of(share: float) -> float:
        return top + high * -math.log10(share) / decades

    for panel, name in enumerate(names):
        left, right = x_of(1000, panel), x_of(20_000, panel)
        parts.append(_text(left, top - 10, name, weight="bold"))
        for ms in (1000, 2000, 4000, 8000, 16_000):
            x = x_of(ms, panel)
            parts += [_line(x, top, x, top + high, "#e4e4e4"), _text(x, top + high + 16, f"{ms:,}", anchor="middle")]
        for decade in range(decades + 1):
            y = y_of(10**-decade)
            parts.append(_line(left, y, right, y, "#e4e4e4"))
            if not panel:
                parts.append(_text(left - 6, y + 4, f"{100 * 10**-decade:g} %", anchor="end"))
        for (workload, variant), turns in rows.items():
            if workload == name and variant in LINES:
                keys[variant] = LINES[variant]
                points = zip(*slower(sorted(row.times.total for row in turns)), strict=True)
                steps = " ".join(f"{x_of(ms, panel):.0f},{y_of(share):.0f}" for ms, share in points)
                dashes = f' stroke-dasharray="{LINES[variant][1]}"' if LINES[variant][1] else ""
                parts.append(
                    f'<polyline points="{steps}" fill="none" stroke="{LINES[variant][0]}" stroke-width="1.6"{dashes}/>'
                )
    bottom = top + high + 36
    parts.append(_text(60, bottom, "share of turns that take longer than so many ms"))
    legend = [(name, colour, 1.0, dashes or "none") for name, (colour, dashes) in keys.items()]
    return _svg(bottom + 14 + 18 * -(-len(legend) // 3), [*parts, *_legend(legend, bottom + 8)])


def slower(seconds: Sequence[float]) -> tuple[list[float], list[float]]:
    """Of sorted *seconds*: ms, and the share of them that is longer; evenly spaced in the logarithm of the share."""
    many = len(seconds)
    left = sorted({round(many ** (1 - i / POINTS)) for i in range(POINTS + 1)}, reverse=True)
    return [1000 * seconds[many - k] for k in left], [k / many for k in left]


# -- SVG
def _svg(high: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high:.0f}" width="{WIDTH}" height="{high:.0f}"'
    )
    style = 'font-family="Verdana, DejaVu Sans, sans-serif" font-size="11"'
    return "\n".join([f"{head} {style}>", '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, says: str, *, anchor: str = "start", weight: str = "normal") -> str:
    style = ("" if anchor == "start" else f' text-anchor="{anchor}"') + (
        "" if weight == "normal" else ' font-weight="bold"'
    )
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}>{escape(says)}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="{colour}"{dashed}/>'


def _legend(keys: Sequence[tuple[str, str, float, str]], y: float) -> Iterator[str]:
    """*keys*: what it says, colour, opacity, and the dashes of a line; empty: a patch."""
    for number, (says, colour, opacity, dashes) in enumerate(keys):
        x, at = LEFT - 60 + number % 3 * 260, y + 18 * (number // 3) + 10
        if dashes:
            yield _line(x, at - 4, x + 24, at - 4, colour, "" if dashes == "none" else dashes)
        else:
            yield f'<rect x="{x}" y="{at - 9:.1f}" width="24" height="10" fill="{colour}" fill-opacity="{opacity:g}"/>'
        yield _text(x + 30, at, says)
