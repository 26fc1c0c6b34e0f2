"""Figures: one number each, with what it is of and what it is called; and the goals, written down before they were measured.

A run says of each goal whether it was met, and by how much; a goal whose figures were not measured is left open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .cost import AT_ONCE, Cost
from .measure import Spread, Summary, spread
from .peers.registry import BY_KEY, OURS
from .shapes import Shaped
from .variants import HEDGED, LADDER, SEGMENTS, Variant

Key: TypeAlias = tuple[str, str, str]
"""Workload, variant, name."""
MACHINE: Mapping[str, str] = {
    "ten steps": "this machine", "whole turn": "this machine", "at once": "this machine", "peers": "beside peers",
}  # fmt: skip
"""Workloads that are measured on a machine, and where; all others are simulated."""


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


def of_cost(cost: Cost) -> Iterator[Figure]:
    for part, engines in cost.items():
        for who, measured in engines.items():
            for name, value in measured.items():
                yield Figure(part, who, name, value, "")


def of_peers(peers: Mapping[str, Any]) -> Iterator[Figure]:
    """Of what ``python -m vital_bench.peers --json`` has written. A burst of another number of turns says nothing of the goals."""
    for engine in peers.get("engines", ()):
        found = dict(engine)
        if engine["burst"].get("turns") == AT_ONCE:
            found |= engine["burst"]
        for name in ("seed_ms", "uneven_ms", *(name for _, name, *_ in ENGINE)):
            if found.get(name) is not None:
                yield Figure("peers", engine["key"], name, found[name], "")


def _of_spread(one: Spread) -> Iterator[tuple[str, float]]:
    yield from one.quantiles.items()
    yield "mean", one.mean
    yield "max", one.longest


# -- goals
GAP = 0.01
"""The oracle gap (p95 of turns) that a lossless workload may have."""
NO_HARM = 1.001
"""What is said to cost nothing may cost a tenth of that."""
MANY = 5_000
"""Turns without which a share of one in a thousand, or a small difference between two runs, is not seen."""


@dataclass(frozen=True, slots=True)
class Goal:
    """``figure`` must be at most ``limit`` (``least``: at least), or that many times the figure ``than``. Fewer than ``turns``
    turns say nothing of it."""

    says: str
    figure: Key
    limit: float
    than: Key | None = None
    turns: int = 0
    least: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """``by``: how far on the good side of the limit, as a share of it (below 0: missed by that much); the plain distance if the
    limit is 0. ``unit``: of value and limit, as a :class:`Figure` has it. ``source``: where the figure comes from."""

    says: str
    value: float
    limit: float
    met: bool
    by: float
    unit: str = "count"
    least: bool = False
    source: str = "simulated"


def _goal(
    says: str, workload: str, variant: Variant, figure: str, most: float, than: Variant | None = None, turns: int = 0
) -> Goal:
    other = None if than is None else (workload, than.name, figure)
    return Goal(says, (workload, variant.name, figure), most, other, turns)


_SEED = {  # seconds: first token, last token, all, as the arithmetic has them for each split of the model's time
    "W1 opaque": ((1.0125, 2.5, 2.8), (0.5125, 2.0, 2.15), *[(0.5125, 2.0, 2.01875)] * 3),
    "W1 half known": ((1.31, 2.5, 2.8), (0.81, 2.0, 2.15), (0.81, 2.0, 2.01875), (0.66, 1.85, 1.86875), (0.615, 1.805, 1.82375)),
    "W1 most known": ((1.31, 2.5, 2.8), (0.81, 2.0, 2.15), (0.81, 2.0, 2.01875), (0.57, 1.76, 1.77875), (0.552, 1.742, 1.76075)),
}  # fmt: skip

LADDER_GOALS = tuple(
    _goal(f"{workload}, {variant.name}: {name} as the arithmetic has it, within 1 %", workload, variant, f"{name} max", 1.01 * s)
    for workload, rungs in _SEED.items()
    for variant, rung in zip(LADDER, rungs, strict=True)
    for name, s in zip(("first token", "last token", "all"), rung, strict=True)
)  # fmt: skip

_TAILED = ("W2", "W2 reviews at hand", "W2 opaque", "W2 no stalls")
GAP_GOALS = tuple(
    _goal(f"{workload}, {variant.name}: oracle gap, {order}", workload, variant, f"{gap} {'max' if 'W1' in workload else 'p95'}", GAP)
    for workload in (*_SEED, *_TAILED)
    for variant in (SEGMENTS, HEDGED)
    for gap, order in (("gap", "any order"), ("gap in order", "the prompt's order"))
)  # fmt: skip

TAIL_GOALS = tuple(
    goal
    for workload in ("W2", "W2 reviews at hand", "W2 opaque")
    for goal in (
        _goal(f"{workload}, hedged: 99 of 100 turns within 3.6 s", workload, HEDGED, "all p99", 3.6),
        _goal(f"{workload}, hedged: calls sent twice", workload, HEDGED, "extra calls", 0.05),
        _goal(f"{workload}, hedged: turns that did without something", workload, HEDGED, "degraded", 0.001, turns=MANY),
    )
)
NO_HARM_GOALS = tuple(
    _goal(f"without stalls hedging costs nothing ({figure})", "W2 no stalls", HEDGED, figure, NO_HARM, SEGMENTS, MANY)
    for figure in ("all mean", "all p50", "all p95", "all p99")
)  # fmt: skip

SHAPE_GOALS = (
    Goal("W1b: the uneven graph at its longest chain", ("W1b", "uneven", "all of the first turn"), 2.15 * 1.01),
    *(Goal(f"W1b, {name}: oracle gap", ("W1b", name, "gap max"), GAP) for name in ("uneven", "uneven, reading along")),
    *(Goal(f"W6, {n} experts: above the slowest and the merge", ("W6", f"{n} experts", "gap max"), 0.02) for n in (4, 8, 16, 50)),
    *(Goal(f"W6 stalls, {n} experts: above the slowest and the merge", ("W6 stalls", f"{n} experts", "gap max"), 0.02) for n in (4, 8, 16, 50)),
)  # fmt: skip

ENGINE = (
    ("CPU of a turn that takes no time, µs", "cpu_us", 200.0, False),
    ("its function calls", "calls", 1500.0, False),
    ("its passes of the event loop", "iterations", 12.0, False),
    (f"{AT_ONCE:,} turns at once, turns per second", "turns_per_second", 2000.0, True),
    (f"{AT_ONCE:,} turns at once, p99 in ms", "p99_ms", 450.0, False),
    (f"{AT_ONCE:,} turns at once, KB in flight each", "kb_per_turn", 25.0, False),
)
"""What any engine row of ours was to reach: says, figure, limit, at least."""


def _machine_goals() -> Iterator[Goal]:
    """Of the ten steps in this process, and of each of our rows beside the peers, where LangGraph is measured too."""
    rows: list[tuple[str, str, str, tuple[tuple[str, str, float, bool], ...]]] = [
        ("ten steps", "flow", "a turn of ten steps", ENGINE[:3]),
        ("at once", "flow of ten steps", "ten steps", ENGINE[3:]),
    ]
    rows += [("peers", key, BY_KEY[key].name, ENGINE) for key in OURS]
    for part, who, name, goals in rows:
        for says, figure, limit, least in goals:
            yield Goal(f"{name}: {says}", (part, who, figure), limit, least=least)
            if figure == "cpu_us":
                yield Goal(f"{name}: its CPU, over LangGraph's", (part, who, figure), 0.2, (part, "langgraph", figure))
    token = ("whole turn", "turn", "token_us")
    yield Goal("CPU of a token of a whole turn, less the model's own, µs", token, 10.0)
    for key in OURS:
        for says, figure, limit in (("seed", "seed_ms", 2150 * 1.001), ("uneven", "uneven_ms", 2150 * 1.01)):
            yield Goal(f"{BY_KEY[key].name}: {says} turn, ms", ("peers", key, figure), limit)


MACHINE_GOALS = tuple(_machine_goals())
GOALS = (*LADDER_GOALS, *GAP_GOALS, *TAIL_GOALS, *NO_HARM_GOALS, *SHAPE_GOALS)
"""Those of the simulated workloads."""
SAFE = ("duplicate effects", "retractions", "lost", "leaked tasks")
"""What must be 0 in every run."""


def judge(figures: Iterable[Figure], goals: Iterable[Goal] = GOALS) -> list[Verdict]:
    """The verdict on each of *goals* that *figures* speak of, and on what must be 0 in every run."""
    known = by_key(figures)
    verdicts = [_verdict(goal, known) for goal in goals if _measured(goal, known)]
    for name in SAFE:
        counted = [figure for key, figure in known.items() if key[2] == name]
        if counted:
            total = sum(figure.value for figure in counted)
            verdicts.append(Verdict(f"{name}, in all runs", total, 0.0, total == 0.0, -total))
    return verdicts


def _measured(goal: Goal, known: Mapping[Key, Figure]) -> bool:
    turns = known.get((*goal.figure[:2], "turns"))
    enough = turns is None or turns.value >= goal.turns
    return enough and goal.figure in known and (goal.than or goal.figure) in known


def _verdict(goal: Goal, known: Mapping[Key, Figure]) -> Verdict:
    figure = known[goal.figure]
    value, limit = figure.value, goal.limit * (known[goal.than].value if goal.than else 1.0)
    met = value >= limit if goal.least else value <= limit
    over = value - limit if goal.least else limit - value
    source = MACHINE.get(figure.workload, "simulated")
    return Verdict(goal.says, value, limit, met, over / limit if limit else over, figure.unit, goal.least, source)
