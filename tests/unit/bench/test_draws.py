"""Common random numbers: the same luck for all, whatever they do with it."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest

from vital_bench.draws import CALLS, Draws, Odds, Outage, draw
from vital_bench.workloads import FAULTS, HALF, SIGMA, TAILS

TURNS = 4000


def test_a_draw_is_a_function_of_seed_turn_step_and_attempt() -> None:
    one = draw(HALF, TAILS, Draws(1), 17)
    assert one == draw(HALF, TAILS, Draws(1), 17)
    assert one.durations[0] != one.durations[1]
    assert one != draw(HALF, TAILS, Draws(2), 17)
    assert one.durations != draw(HALF, TAILS, Draws(1), 18).durations


def test_the_medians_and_the_spread_are_those_that_were_asked_for() -> None:
    drawn = [draw(HALF, Odds(SIGMA), Draws(3), n).durations[0] for n in range(TURNS)]
    assert statistics.median(d.retrieve for d in drawn) == pytest.approx(0.5, rel=0.03)
    assert statistics.median(d.reply for d in drawn) == pytest.approx(1.5, rel=0.03)
    logs = statistics.NormalDist.from_samples([math.log(d.suggest) for d in drawn])
    assert logs.stdev == pytest.approx(0.5, rel=0.05)
    assert all(d.prefill / d.reply == pytest.approx(0.2, rel=1e-4) for d in drawn)


@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_a_copy_stalls_together_with_the_first_call_as_often_as_was_said(together: float) -> None:
    odds = replace(TAILS, together=together, stall=0.2, stalling=("retrieve",))
    both = [draw(HALF, odds, Draws(5), n).durations for n in range(TURNS)]
    stalled = [(first.retrieve >= 10, second.retrieve >= 10) for first, second in both]
    first = [two for one, two in stalled if one]
    assert len(first) / TURNS == pytest.approx(0.2, abs=0.02)
    expected = together + (1 - together) * 0.2
    assert sum(first) / len(first) == pytest.approx(expected, abs=0.04)


def test_failures_come_as_often_as_was_said() -> None:
    faults = [fault for n in range(TURNS) for fault in draw(HALF, FAULTS, Draws(1), n).faults[0].values()]
    calls = TURNS * len(CALLS)
    assert sum(f.error == "fast" for f in faults) / calls == pytest.approx(0.02, rel=0.1)
    assert sum(f.error == "slow" for f in faults) / calls == pytest.approx(0.01, rel=0.15)
    assert sum(f.error == "cut" for f in faults) / TURNS == pytest.approx(0.005, abs=0.003)


def test_an_outage_goes_by_the_clock() -> None:
    flapping = Outage("recall", 10.0, 30.0, period=10.0)
    assert [flapping.covers(at) for at in (9.9, 10.0, 14.9, 15.0, 20.0, 29.0, 30.0)] == [
        False, True, True, False, True, False, False,
    ]  # fmt: skip
