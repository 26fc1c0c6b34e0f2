"""Turns with stalls (W2), with and without a second service: what hedging takes off the tail, and what it sends for that."""

from __future__ import annotations

from vital_engine.bench.measure import Ran
from vital_engine.bench.variants import HEDGED, SEGMENTS, Variant
from vital_engine.bench.workloads import W2, run
from vital_engine.flow import run_virtual

TURNS = 500
STALLS, CALM = (next(w for w in W2 if w.name == name) for name in ("W2 reviews at hand", "W2 no stalls"))


def ran(workload: object, variant: Variant) -> Ran:
    return run_virtual(run(workload, variant, turns=TURNS, seed=7))  # type: ignore[arg-type]


def slow(run: Ran) -> int:
    """Turns of at least 5 s: without stalls there is hardly one."""
    return sum(row.times.total >= 5 for row in run.rows)


def test_stalls_no_longer_decide_how_long_a_turn_takes() -> None:
    alone, helped = ran(STALLS, SEGMENTS), ran(STALLS, HEDGED)
    assert slow(alone) >= 0.03 * TURNS and slow(helped) <= 0.5 * slow(alone)  # a quarter of the run goes into learning
    calls, copies = sum(row.calls for row in helped.rows), sum(row.copies for row in helped.rows)
    assert 0 < copies <= 0.05 * calls
    assert sum(row.copies for row in alone.rows) == 0
    assert all(row.kept == 1 and row.effects <= 1 for row in helped.rows) and helped.leaked == 0


def test_where_nothing_stalls_it_costs_next_to_nothing() -> None:
    alone, helped = ran(CALM, SEGMENTS), ran(CALM, HEDGED)
    assert sum(row.copies for row in helped.rows) <= 0.01 * sum(row.calls for row in helped.rows)
    assert sum(row.times.total for row in helped.rows) <= 1.001 * sum(row.times.total for row in alone.rows)
