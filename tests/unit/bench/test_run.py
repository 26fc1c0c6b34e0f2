"""A run of the benchmark: the same to the digit for equal seeds, and its verdicts are those of its figures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from vital_bench.goals import GOALS, Figure, Goal, judge
from vital_bench.measure import COLUMNS, spread, write_rows
from vital_bench.oracle import bound
from vital_bench.page import terminal
from vital_bench.report import measure
from vital_bench.shapes import EXPERTS, fan_out, uneven
from vital_bench.variants import BY_HAND, LADDER, SEGMENTS, TIERS, Variant
from vital_bench.workloads import W1, W2, W3, Workload, run, summary
from vital_engine.flow import run_virtual

FEW = 40


@pytest.mark.parametrize("variant", [*BY_HAND, *LADDER], ids=lambda v: v.name)
@pytest.mark.parametrize("workload", W1, ids=lambda w: w.name)
def test_each_rung_of_the_ladder_is_where_the_arithmetic_has_it(workload: Workload, variant: Variant) -> None:
    (row,) = run_virtual(run(workload, variant, turns=1, seed=1)).rows
    allowed = bound(workload.median, variant.allows)
    assert (row.times.first_token, row.times.last_token, row.times.total) == pytest.approx(
        (allowed.first_token, allowed.last_token, allowed.total), abs=1e-9
    )


def test_equal_seeds_give_equal_turns() -> None:
    def rows(seed: int) -> object:
        return run_virtual(run(W2[0], SEGMENTS, turns=FEW, seed=seed)).rows

    assert rows(7) == rows(7)
    assert rows(7) != rows(8)


def test_a_turn_is_the_same_whatever_came_before_it() -> None:
    alone = run_virtual(run(W2[0], TIERS, turns=FEW, seed=3)).rows[: FEW // 2]
    assert alone == run_virtual(run(W2[0], TIERS, turns=FEW // 2, seed=3)).rows


def test_where_calls_fail_no_turn_is_lost_and_no_effect_is_doubled() -> None:
    harsh = replace(W3[0], odds=replace(W3[0].odds, fast=0.1, cut=0.2))
    s = summary(harsh, SEGMENTS, run_virtual(run(harsh, SEGMENTS, turns=200, seed=1)))
    assert (s.lost, s.duplicate_effects, s.retractions, s.leaked_tasks) == (0, 0, 0, 0)
    assert s.degraded > 0 and s.partial > 0 and s.failed > 0
    assert s.complete + s.partial + s.failed == pytest.approx(1.0)


def test_the_uneven_graph_takes_its_longest_chain() -> None:
    shaped = run_virtual(uneven(30, seed=1))
    assert (shaped[0].name, shaped[0].measured) == ("uneven", pytest.approx(2.15, abs=1e-9))
    assert all(abs(s.gap) < 1e-9 for s in shaped)


@pytest.mark.parametrize("stall", [0.0, 0.05])
def test_many_experts_take_as_long_as_the_slowest_and_the_merge(stall: float) -> None:
    shaped = run_virtual(fan_out(5, seed=1, stall=stall))
    assert {s.name for s in shaped} == {f"{n} experts" for n in EXPERTS}
    assert all(abs(s.gap) < 1e-9 for s in shaped)


def test_a_verdict_says_by_how_much() -> None:
    goal = Goal("fast", ("W", "ours", "all p99"), 2.0)
    (met,) = judge([Figure("W", "ours", "all p99", 1.5, "s")], [goal])
    assert (met.met, met.by) == (True, pytest.approx(0.25))
    (missed,) = judge([Figure("W", "ours", "all p99", 3.0, "s")], [goal])
    assert (missed.met, missed.by) == (False, pytest.approx(-0.5))


def test_a_goal_is_left_open_where_nothing_was_measured_or_too_little() -> None:
    goal = Goal("rare", ("W", "ours", "degraded"), 0.001, turns=5000)
    degraded = Figure("W", "ours", "degraded", 0.5, "share")
    assert judge([], [goal]) == []
    assert judge([degraded, Figure("W", "ours", "turns", 100, "count")], [goal]) == []
    assert len(judge([degraded, Figure("W", "ours", "turns", 5000, "count")], [goal])) == 1


def test_a_goal_may_ask_for_at_least() -> None:
    goal = Goal("many", ("W", "ours", "rate"), 2000.0, least=True)
    missed, met = (judge([Figure("W", "ours", "rate", rate, "")], [goal])[0] for rate in (1500.0, 2500.0))
    assert (missed.met, missed.by, met.met, met.by) == (False, -0.25, True, 0.25)


def test_what_must_be_zero_is_judged_in_every_run() -> None:
    verdicts = judge([Figure("W", "ours", "retractions", 1.0, "count")], [])
    assert [(v.says, v.met) for v in verdicts] == [("retractions, in all runs", False)]


def test_a_quantile_is_given_only_where_there_are_values_beyond_it() -> None:
    few, many = spread(range(100)), spread(range(1000))
    assert few is not None and set(few.quantiles) == {"p50"}
    assert many is not None and set(many.quantiles) == {"p50", "p95", "p99"}
    assert many.quantiles["p95"] == pytest.approx(949.05)
    assert spread([None]) is None


def test_every_goal_names_a_figure_that_a_run_gives() -> None:
    report = measure(["W1", "W1b", "W6"], turns=2, seed=1)
    names = {figure.key[:2] for figure in report.figures}
    asked = {goal.figure[:2] for goal in GOALS if goal.figure[0].startswith(("W1", "W6"))}
    assert asked <= names
    known = {figure.key for figure in report.figures}
    assert {goal.figure for goal in GOALS if goal.figure[0].startswith(("W1", "W6"))} <= known


def test_a_report_says_what_is_simulated_and_is_json() -> None:
    report = measure(["W1"], turns=None, seed=5)
    plain = json.loads(json.dumps(report.plain()))
    assert plain["seed"] == 5
    assert "Simulated" in plain["simulated"]
    text = terminal(report, {})
    assert "2,018.75" in text and "lossless" in text and "61 of 61 met" in text and "| " not in text


def test_every_turn_can_be_written_down() -> None:
    report = measure(["W2"], turns=3, seed=1)
    file = io.StringIO()
    write_rows(report.rows, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 3 * sum(len(w.variants) for w in W2)
    ours = [row for row in rows if row["workload"] == "W2" and row["variant"] == SEGMENTS.name]
    again = run_virtual(run(W2[0], SEGMENTS, turns=3, seed=1)).rows
    assert [float(row["all"]) for row in ours] == [row.times.total for row in again]
