"""What was to be reached, written down before it was measured. A run says of each goal whether it was met, and by how
much; a goal whose figures were not measured is left open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .figures import Figure, Key, by_key
from .variants import HEDGED, LADDER, SEGMENTS, Variant

GAP = 0.01
"""The oracle gap (p95 of turns) that a lossless workload may have."""
NO_HARM = 1.001
"""What is said to cost nothing may cost a tenth of that."""
MANY = 5_000
"""Turns without which a share of one in a thousand, or a small difference between two runs, is not seen."""


@dataclass(frozen=True, slots=True)
class Goal:
    """``figure`` must be at most ``most``, or at most ``most`` times the figure ``than``. Fewer than ``turns`` turns say
    nothing of it."""

    says: str
    figure: Key
    most: float
    than: Key | None = None
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``by``: how far below the limit, as a share of it (below 0: missed by that much); the plain distance if it is 0."""

    says: str
    value: float
    limit: float
    met: bool
    by: float


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

SAFE = ("duplicate effects", "retractions", "lost", "leaked tasks")
GOALS: tuple[Goal, ...] = (*LADDER_GOALS, *GAP_GOALS, *TAIL_GOALS, *NO_HARM_GOALS, *SHAPE_GOALS)


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
    value = known[goal.figure].value
    limit = goal.most * (known[goal.than].value if goal.than else 1.0)
    return Verdict(goal.says, value, limit, value <= limit, (limit - value) / limit if limit else limit - value)
