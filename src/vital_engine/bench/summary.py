"""What a run of turns amounts to: quantiles, shares and counts, ready to be JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .measure import Ran, Row, quantile

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
BEYOND = 9
"""A quantile with fewer values beyond it is not given."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles by name, and the mean. Those for which there are too few values beyond are left out."""

    mean: float
    quantiles: Mapping[str, float]
    longest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One variant on one workload. Times in seconds; shares of all turns.

    ``gap``: of the turns that lost nothing, how far above the bound of any order; ``gap_in_order``: above the bound of
    the prompt's fixed order. ``extra_calls``: copies per call. ``wasted_tokens``: per turn. ``lost``: turns that were
    not kept exactly once; ``duplicate_effects``: calls that wrote beyond one per turn; ``retractions``: turns whose
    reader was shown a word that is not in the answer.
    """

    workload: str
    variant: str
    label: str
    turns: int
    first_token: Spread | None
    last_token: Spread | None
    total: Spread
    gap: Spread | None
    gap_in_order: Spread | None
    complete: float
    degraded: float
    partial: float
    failed: float
    degraded_by: Mapping[str, int]
    extra_calls: float
    wasted_tokens: float
    duplicate_effects: int
    retractions: int
    lost: int
    leaked_tasks: int


def spread(values: Iterable[float | None]) -> Spread | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    enough = {name: q for name, q in QUANTILES.items() if q == 0.5 or len(known) * (1 - q) >= BEYOND}
    return Spread(
        round(sum(known) / len(known), 9),
        {name: round(quantile(known, q), 9) for name, q in enough.items()},
        round(known[-1], 9),
    )


def summarise(workload: str, variant: str, label: str, ran: Ran, *, keeps: bool = True) -> Summary:
    """*keeps*: whether the variant keeps its turns at all."""
    rows: Sequence[Row] = ran.rows
    times = [row.times for row in rows]
    status = Counter(t.status for t in times)
    whole = sum(t.status == "complete" and bool(t.degraded) for t in times)
    total = spread(t.total for t in times)
    assert total is not None, "a run has at least one turn"
    return Summary(
        workload=workload,
        variant=variant,
        label=label,
        turns=len(rows),
        first_token=spread(t.first_token for t in times),
        last_token=spread(t.last_token for t in times),
        total=total,
        gap=spread(row.gap for row in rows),
        gap_in_order=spread(row.gap_in_order for row in rows),
        complete=status["complete"] / len(rows),
        degraded=whole / len(rows),
        partial=status["partial"] / len(rows),
        failed=status["failed"] / len(rows),
        degraded_by=dict(sorted(Counter(step for t in times for step in t.degraded).items())),
        extra_calls=sum(row.copies for row in rows) / max(1, sum(row.calls - row.copies for row in rows)),
        wasted_tokens=sum(row.wasted for row in rows) / len(rows),
        duplicate_effects=sum(max(0, row.effects - 1) for row in rows),
        retractions=sum(t.retracted for t in times),
        lost=sum(row.kept != 1 for row in rows) if keeps else 0,
        leaked_tasks=ran.leaked,
    )
