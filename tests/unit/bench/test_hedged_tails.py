"""Turns with stalls (W2), with and without a second service: what hedging takes off the tail, and what it sends for that."""

from __future__ import annotations

from vital_bench.measure import Ran
from vital_bench.variants import HEDGED, SEGMENTS, Variant
from vital_bench.workloads import W2, Workload, run
from vital_engine.flow import run_virtual

TURNS = 500
STALLS = next(w for w in W2 if w.name == "W2 reviews at hand")
OUTSIDE = W2[0]
"""The reviews are calls to another service, and stall as well."""


def ran(variant: Variant, workload: Workload = STALLS) -> Ran:
    return run_virtual(run(workload, variant, turns=TURNS, seed=7))


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


def test_reviews_that_stall_are_no_longer_done_without() -> None:
    def lost(run: Ran) -> int:
        return sum(not {"cite", "assess", "tally"}.isdisjoint(row.times.degraded) for row in run.rows)

    alone, helped = ran(SEGMENTS, OUTSIDE), ran(HEDGED, OUTSIDE)
    assert lost(alone) >= 0.02 * TURNS and lost(helped) <= 0.2 * lost(alone)
    calls, copies = sum(row.calls for row in helped.rows), sum(row.copies for row in helped.rows)
    assert 0 < copies <= 0.05 * (calls - copies) and calls >= 24 * TURNS  # of each sentence, three reviewers are asked
    assert sum(row.copies for row in alone.rows) == 0 and helped.leaked == 0
