"""Whatever is drawn, and whoever runs the turn: none ends before its bound. A bound that could be beaten would flatter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vital_engine.bench.variants import ALL, Variant
from vital_engine.bench.workloads import TAILS, W1, W2, Workload, run
from vital_engine.flow import run_virtual

NANOSECOND = 1e-9
TURNS = 8
wild = replace(W2[0], name="wild", odds=replace(TAILS, stall=0.15, together=0.3))


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((*W1, *W2, wild)))
def test_no_turn_ends_before_its_bound(variant: Variant, seed: int, workload: Workload) -> None:
    ran = run_virtual(run(workload, variant, turns=TURNS, seed=seed))
    assert ran.leaked == 0
    for row in ran.rows:
        assert row.bound is not None
        assert row.in_order is not None
        assert row.times.first_token is not None
        assert row.times.last_token is not None
        assert row.times.total >= row.bound.total - NANOSECOND
        assert row.times.first_token >= row.bound.first_token - NANOSECOND
        assert row.times.last_token >= row.bound.last_token - NANOSECOND
        assert row.in_order.total >= row.bound.total - NANOSECOND
