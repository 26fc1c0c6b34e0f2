"""Figures: one number each, with what it is of and what it is called. Everything that is printed, judged or kept is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .shapes import Shaped
from .summary import Spread, Summary, spread


@dataclass(frozen=True, slots=True)
class Figure:
    """``unit``: s, share, ratio or count. ``label``: lossless or cached (see variants)."""

    workload: str
    variant: str
    name: str
    value: float
    unit: str
    label: str = "lossless"

    @property
    def key(self) -> Key:
        return (self.workload, self.variant, self.name)


Key: TypeAlias = tuple[str, str, str]


def by_key(figures: Iterable[Figure]) -> Mapping[Key, Figure]:
    return {figure.key: figure for figure in figures}


def of_summary(s: Summary) -> Iterator[Figure]:
    spreads = (("first token", s.first_token, "s"), ("last token", s.last_token, "s"), ("all", s.total, "s"))
    gaps = (("gap", s.gap, "share"), ("gap in order", s.gap_in_order, "share"))
    for name, one, unit in (*spreads, *gaps):
        if one is not None:
            for quantile, value in _of_spread(one):
                yield Figure(s.workload, s.variant, f"{name} {quantile}", value, unit, s.label)
    for name in ("complete", "degraded", "partial", "failed", "extra_calls"):
        yield Figure(s.workload, s.variant, name.replace("_", " "), getattr(s, name), "share", s.label)
    for name in ("wasted_tokens", "duplicate_effects", "retractions", "lost", "leaked_tasks", "turns"):
        yield Figure(s.workload, s.variant, name.replace("_", " "), float(getattr(s, name)), "count", s.label)


def of_shapes(workload: str, shaped: Iterable[Shaped]) -> Iterator[Figure]:
    named: dict[str, list[Shaped]] = {}
    for one in shaped:
        named.setdefault(one.name, []).append(one)
    for name, turns in named.items():
        for what, unit, values in (
            ("all", "s", [t.measured for t in turns]),
            ("gap", "share", [t.gap for t in turns]),
        ):
            over = spread(values)
            assert over is not None, "every shape has a turn"
            for quantile, value in _of_spread(over):
                yield Figure(workload, name, f"{what} {quantile}", value, unit)
        yield Figure(workload, name, "all of the first turn", turns[0].measured, "s")


def _of_spread(one: Spread) -> Iterator[tuple[str, float]]:
    yield from one.quantiles.items()
    yield "mean", one.mean
    yield "max", one.longest
