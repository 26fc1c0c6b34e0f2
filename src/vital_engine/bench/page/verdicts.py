"""Each goal, what was measured, and whether it was met: what was missed comes first, and nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vital_engine.bench.cost import GOALS as COST_GOALS
from vital_engine.bench.cost import Cost, judge_cost
from vital_engine.bench.figures import by_key
from vital_engine.bench.goals import GOALS, Verdict
from vital_engine.bench.report import Report

from .markdown import number, share, table, told


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict as it is shown. ``by``: how far on the good side of its limit, as a share of it; the plain distance if the
    limit is 0. ``source``: where the figure comes from."""

    says: str
    measured: str
    limit: str
    met: bool
    by: float
    source: str
    zero: bool = False

    @property
    def verdict(self) -> str:
        if self.zero:
            return "met" if self.met else "**missed**: must be 0"
        return f"met, {share(self.by)} to spare" if self.met else f"**missed by {share(-self.by)}**"


def judged(report: Report, cost: Cost, peers: Mapping[str, Any], real: Mapping[str, Any]) -> list[Judged]:
    """All verdicts, from wherever they come."""
    return [
        *(_simulated(v, _units(report)) for v in report.verdicts),
        *(_of_cost(v) for v in judge_cost(cost)),
        *_beside(peers),
        *_of_real(real),
    ]


def open_goals(report: Report) -> list[str]:
    """The goals that this run says nothing of."""
    spoken = {verdict.says for verdict in report.verdicts}
    return [goal.says for goal in GOALS if goal.says not in spoken]


def verdict_section(every: Sequence[Judged], left_open: Sequence[str]) -> Iterator[str]:
    missed = [one for one in every if not one.met]
    yield "## Goals"
    yield (
        f"Written down before the run (`bench/goals.py`, `bench/cost.py`): **{len(every) - len(missed)} of {len(every)} met**, "
        f"{len(missed)} missed, {len(left_open)} left open. Missed ones first."
    )
    head = ("goal", "where", "verdict", "measured", "limit")
    if missed:
        yield table(head, _rows(missed), left=3)
    yield f"<details><summary>The {len(every) - len(missed)} that were met</summary>"
    yield table(head, _rows(one for one in every if one.met), left=3)
    yield "</details>"
    if left_open:
        yield "Left open, since this run did not measure it, or in too few turns to say: " + "; ".join(left_open) + "."


def _rows(every: Iterable[Judged]) -> Iterator[tuple[str, ...]]:
    for one in every:
        yield one.says, one.source, one.verdict, one.measured, one.limit


def _units(report: Report) -> Mapping[str, str]:
    """Goal -> the unit of its figure."""
    known = by_key(report.figures)
    return {goal.says: known[goal.figure].unit for goal in GOALS if goal.figure in known}


def _simulated(v: Verdict, units: Mapping[str, str]) -> Judged:
    unit = units.get(v.says, "count")
    return Judged(v.says, told(v.value, unit), f"≤ {told(v.limit, unit)}", v.met, v.by, "simulated", zero=not v.limit)


def _of_cost(v: Verdict) -> Judged:
    least = next(goal.least for goal in COST_GOALS if goal.says == v.says)
    return Judged(v.says, number(v.value), f"{'≥' if least else '≤'} {number(v.limit)}", v.met, v.by, "this machine")


def _beside(peers: Mapping[str, Any]) -> Iterator[Judged]:
    names = {engine["key"]: engine["name"] for engine in peers.get("engines", ())}
    for key, goals in peers.get("goals", {}).items():
        for goal in goals:
            if goal["met"] is None:
                continue
            by = goal["share"] - 1 if goal["least"] else 1 - goal["share"]
            sign = "≥" if goal["least"] else "≤"
            said = f"{names.get(key, key)}: {goal['says']}"
            yield Judged(
                said, number(goal["value"]), f"{sign} {number(goal['limit'])}", goal["met"], by, "beside peers"
            )


def _of_real(real: Mapping[str, Any]) -> Iterator[Judged]:
    for goal in real.get("goals", ()):
        by = (goal["value"] - goal["limit"]) / goal["limit"]
        yield Judged(
            goal["says"], share(goal["value"], 1), f"≥ {share(goal['limit'], 0)}", goal["met"], by, "real stack"
        )
