"""Turns that begin on a guess: questions that come again (W7), and a model that is busy."""

from __future__ import annotations

import pytest

from vital_engine.bench.draws import Draws
from vital_engine.bench.figures import Figure, by_key
from vital_engine.bench.load import sweep
from vital_engine.bench.oracle import guessed
from vital_engine.bench.repeats import BOTH, CACHED, QUESTIONS, World, repeats
from vital_engine.bench.variants import SEGMENTS, SPECULATED
from vital_engine.bench.workloads import W3, run, summary
from vital_engine.flow import run_virtual

TURNS = 160


@pytest.fixture(scope="module")
def w7() -> dict[tuple[str, str], Figure]:
    return {(f.variant, f.name): f for f in repeats(TURNS, seed=1)}


def test_what_each_turn_asks_and_finds_is_a_function_of_the_seed() -> None:
    world, again = World(Draws(1)), World(Draws(1))
    assert [world.found(n) for n in range(200)] == [again.found(n) for n in reversed(range(200))][::-1]
    assert {world.question(n) for n in range(200)} <= set(range(QUESTIONS))
    assert world.changes(199) > 0


def test_a_frequent_question_is_asked_more_often() -> None:
    asked = [World(Draws(2)).question(n) for n in range(500)]
    assert asked.count(0) > asked.count(50)


def test_guesses_and_caches_make_warm_turns_shorter_and_cold_ones_not_longer(w7: dict[tuple[str, str], Figure]) -> None:
    plain = SEGMENTS.name
    for variant in (SPECULATED, CACHED, BOTH):
        assert w7[variant.name, "all p50, warm"].value < w7[plain, "all p50, warm"].value
        assert w7[variant.name, "all p50, cold"].value <= w7[plain, "all p50, cold"].value + 0.01
    assert 0.5 < w7[SPECULATED.name, "acceptance"].value < 1
    assert w7[SPECULATED.name, "retractions"].value == 0
    assert w7[SPECULATED.name, "wasted tokens"].value > 0  # some guesses are wrong, and that is counted
    assert {w7[v.name, "all p50"].label for v in (SEGMENTS, SPECULATED, CACHED)} == {"lossless", "speculated", "cached"}


def test_a_right_guess_ends_at_its_bound(w7: dict[tuple[str, str], Figure]) -> None:
    assert w7[SPECULATED.name, "gap in order max, hit"].value < 0.02


def test_speculation_helps_a_model_that_has_room() -> None:
    figures = by_key(sweep(80, seed=1, loads=(0.3,)))
    name = "load 0.3, 60% right"
    assert figures[name, SPECULATED.name, "all mean"].value < figures[name, SEGMENTS.name, "all mean"].value


def test_where_calls_fail_no_word_is_taken_back_and_nothing_is_written_on_a_guess() -> None:
    ran = run_virtual(run(W3[0], SPECULATED, turns=120, seed=1))
    s = summary(W3[0], SPECULATED, ran)
    assert s.guesses["hit"] and s.guesses["miss"]
    assert (s.retractions, s.duplicate_effects, s.lost, s.leaked_tasks) == (0, 0, 0, 0)


def test_the_least_that_a_guess_allows_is_the_bare_call_and_the_last_review() -> None:
    d = World(Draws(1)).stage(0).drawn.durations[0]
    assert guessed(d, 0.0).total >= d.reading + d.speech
