"""The arithmetic, row by row of the published table, and what it must never do."""

from __future__ import annotations

import itertools

import pytest

from vital_bench.durations import Durations
from vital_bench.oracle import (
    POLICIES,
    bound,
    cut_off,
    last_read,
    read_in_order,
    sent_twice,
)

OPAQUE = Durations()
HALF = Durations(prefill=0.3, early=0.5)
MOST = Durations(prefill=0.3, early=0.8)
SHORT = Durations(prefill=0.15, early=0.5)
LONG = Durations(prefill=0.5, early=0.8)

TABLE = [  # ms: first token, last token, all metadata
    (OPAQUE, "sequential", (1012.5, 2500, 2800)),
    (OPAQUE, "tiers", (512.5, 2000, 2150)),
    (OPAQUE, "stream", (512.5, 2000, 2018.75)),
    (OPAQUE, "prefix", (512.5, 2000, 2018.75)),
    (OPAQUE, "segments", (512.5, 2000, 2018.75)),
    (HALF, "sequential", (1310, 2500, 2800)),
    (HALF, "tiers", (810, 2000, 2150)),
    (HALF, "stream", (810, 2000, 2018.75)),
    (HALF, "prefix", (660, 1850, 1868.75)),
    (HALF, "segments", (615, 1805, 1823.75)),
    (MOST, "sequential", (1310, 2500, 2800)),
    (MOST, "tiers", (810, 2000, 2150)),
    (MOST, "stream", (810, 2000, 2018.75)),
    (MOST, "prefix", (570, 1760, 1778.75)),
    (MOST, "segments", (552, 1742, 1760.75)),
    (SHORT, "prefix", (586.25, 1925, 1943.75)),
    (SHORT, "segments", (563.75, 1902.5, 1921.25)),
    (LONG, "prefix", (608.333, 1600, 1618.75)),
    (LONG, "segments", (578.333, 1570, 1588.75)),
]


@pytest.mark.parametrize(("d", "policy", "ms"), TABLE)
def test_the_table(d: Durations, policy: str, ms: tuple[float, float, float]) -> None:
    b = bound(d, policy)
    assert (b.first_token, b.last_token, b.total) == pytest.approx([m / 1000 for m in ms], abs=1e-6)


@pytest.mark.parametrize("d", [OPAQUE, HALF, MOST])
def test_on_the_seed_profile_the_prompts_order_is_the_best_one(d: Durations) -> None:
    assert bound(d, "any order") == bound(d, "segments")


def test_no_order_of_reading_beats_the_bound_and_one_attains_it() -> None:
    arrivals = [(0.0, 0.3), (0.2, 0.01), (0.9, 0.2), (0.4, 0.25)]
    ends = [read_in_order(list(order)) for order in itertools.permutations(arrivals)]
    assert min(ends) == pytest.approx(last_read(arrivals))


def test_a_segment_that_comes_late_holds_up_those_behind_it_in_the_prompt() -> None:
    late = Durations(recall=0.9, prefill=0.3, early=0.5)
    assert bound(late, "segments").first_token > bound(late, "any order").first_token


def test_each_policy_allows_at_least_what_the_one_before_it_does() -> None:
    uneven = Durations(retrieve=0.25, suggest=0.7, recall=0.4, prefill=0.4, early=0.3, held={"cite": 2.0})
    totals = [bound(uneven, policy).total for policy in POLICIES]
    assert totals == sorted(totals, reverse=True)


def test_a_review_that_is_held_up_ends_when_it_comes_back_and_has_done_the_rest() -> None:
    held = Durations(held={"cite": 10.0})
    first_sentence = 0.5 + 1.5 / 8
    assert bound(held, "stream").total == pytest.approx(first_sentence + 10 + 7 * 0.15 / 8)
    assert bound(held, "tiers").total == pytest.approx(2.0 + 10 + 7 * 0.15 / 8)


def test_a_model_that_is_held_up_speaks_then() -> None:
    assert bound(Durations(prefill=0.3, early=0.5, held={"reply": 10.0}), "stream").first_token == pytest.approx(10.51)


def test_what_was_sent_twice_takes_as_long_as_the_faster() -> None:
    slow, fast = Durations(retrieve=10.0), Durations(retrieve=0.4)
    assert bound(sent_twice(slow, fast, {"retrieve": 1.0}), "stream").last_token == pytest.approx(1.4 + 1.5)
    assert sent_twice(fast, slow, {"retrieve": 0.3}) == fast


def test_a_sentence_that_was_reviewed_twice_takes_as_long_as_the_faster() -> None:
    held = Durations(held={"cite": 10.0})
    twice = sent_twice(held, Durations(), {}, {("cite", 0): (0.04, 0.02), ("cite", 5): (0.04, 0.02)})
    assert (twice.check("cite", 0), twice.check("cite", 1)) == (0.06, 0.15 / 8)
    assert twice.check("cite", 5) == 0.15 / 8  # the first one was faster
    assert bound(twice, "stream").total == pytest.approx(2.0 + 0.15 / 8)
    assert cut_off(twice, {}, ["cite"]).check("cite", 0) == 0.0


def test_a_second_model_has_read_nothing_ahead() -> None:
    stalled, copy = Durations(held={"reply": 10.0}), Durations(reply=1.2, prefill=0.2, early=0.5)
    b = bound(sent_twice(stalled, copy, {"reply": 0.7}, copy_spoke=True), "stream")
    assert b.first_token == pytest.approx(0.5 + 0.7 + 0.2 + 1.0 / 120)
    assert b.last_token == pytest.approx(0.5 + 0.7 + 1.2)
    assert sent_twice(stalled, copy, {"reply": 0.7}) == stalled


def test_what_was_lost_is_neither_waited_for_nor_read() -> None:
    d = cut_off(
        Durations(retrieve=9.0, prefill=0.3, early=0.5, held={"cite": 10.0}), {"retrieve": 5.0}, ["retrieve", "cite"]
    )
    assert bound(d, "stream").first_token == pytest.approx(5.0 + 0.195 + 0.01)
    assert bound(d, "stream").total == pytest.approx(5.0 + 0.195 + 1.2 + 0.1 / 8)
