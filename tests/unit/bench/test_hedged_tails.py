"""Turns with stalls (W2), with and without a second service: what hedging takes off the tail, and what it sends for that."""

from __future__ import annotations

from vital_engine.bench.measure import Ran
from vital_engine.bench.variants import HEDGED, SEGMENTS, Variant
from vital_engine.bench.workloads import W2, run
from vital_engine.flow import run_virtual

TURNS = 500
STALLS = next(w for w in W2 if w.name == "W2 reviews at hand")


def ran(variant: Variant) -> Ran:
    return run_virtual(run(STALLS, variant, turns=TURNS, seed=7))


def slow(run: Ran) -> int:
    """Turns of at least 5 s: without stalls there is hardly one."""
    return sum(row.times.total >= 5 for row in run.rows)


def test_stalls_no_longer_decide_how_long_a_turn_takes() -> None:
    alone, helped = ran(SEGMENTS), ran(HEDGED)
    assert slow(alone) >= 0.03 * TURNS and slow(helped) <= 0.5 * slow(alone)  # a quarter of the run goes into learning
    calls, copies = sum(row.calls for row in helped.rows), sum(row.copies for row in helped.rows)
    assert 0 < copies <= 0.05 * calls
    assert sum(row.copies for row in alone.rows) == 0
    assert all(row.kept == 1 and row.effects <= 1 for row in helped.rows) and helped.leaked == 0
