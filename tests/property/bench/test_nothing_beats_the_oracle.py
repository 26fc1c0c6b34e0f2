"""Whatever is drawn, and whoever runs the turn: none ends before its bound. A bound that could be beaten would flatter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vital_bench.measure import Ran
from vital_bench.variants import ALL, Variant
from vital_bench.workloads import TAILS, W1, W2, Workload, run
from vital_engine.flow import run_virtual

NANOSECOND = 1e-9
TURNS = 8
ENOUGH = 150
"""Turns after which copies are sent: before, it is not known when a call is late."""
wild = replace(W2[0], name="wild", odds=replace(TAILS, stall=0.03, together=0.3))


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
@settings(max_examples=5)
@given(st.integers(0, 2**32), st.sampled_from((*W1, *W2, wild)))
def test_no_turn_ends_before_its_bound(variant: Variant, seed: int, workload: Workload) -> None:
    _holds(run_virtual(run(workload, variant, turns=TURNS, seed=seed)))


@pytest.mark.parametrize("variant", [v for v in ALL if v.copies], ids=lambda v: v.name)
@pytest.mark.parametrize("seed", [1, 2225])
def test_nor_does_one_whose_calls_were_sent_twice(variant: Variant, seed: int) -> None:
    ran = run_virtual(run(wild, variant, turns=ENOUGH, seed=seed))
    assert sum(row.copies for row in ran.rows) > 0
    _holds(ran)


def _holds(ran: Ran) -> None:
    assert ran.leaked == 0
    for row in ran.rows:
        t, least, in_order = row.times, row.bound, row.in_order
        assert least is not None and in_order is not None  # nothing fails here
        assert t.first_token is not None and t.last_token is not None
        assert t.total >= least.total - NANOSECOND
        assert t.first_token >= least.first_token - NANOSECOND
        assert t.last_token >= least.last_token - NANOSECOND
        assert in_order.total >= least.total - NANOSECOND
