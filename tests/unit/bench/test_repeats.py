"""Questions that come again (W7): what the caches take off the warm turns, and what they cost the cold ones."""

from __future__ import annotations

from vital_bench.draws import Draws
from vital_bench.repeats import CACHED, QUESTIONS, World, repeats
from vital_bench.variants import SEGMENTS


def test_what_each_turn_asks_and_finds_is_a_function_of_the_seed() -> None:
    world, again = World(Draws(1)), World(Draws(1))
    assert [world.found(n) for n in range(200)] == [again.found(n) for n in reversed(range(200))][::-1]
    assert {world.question(n) for n in range(200)} <= set(range(QUESTIONS))
    assert world.changes(199) > 0


def test_a_frequent_question_is_asked_more_often() -> None:
    asked = [World(Draws(2)).question(n) for n in range(500)]
    assert asked.count(0) > asked.count(50)


def test_caches_make_warm_turns_shorter_and_cold_ones_not_longer() -> None:
    w7 = {(f.variant, f.name): f for f in repeats(160, seed=1)}
    plain, cached = SEGMENTS.name, CACHED.name
    assert w7[cached, "all p50, warm"].value < w7[plain, "all p50, warm"].value
    assert w7[cached, "all p50, cold"].value <= w7[plain, "all p50, cold"].value + 0.01
    assert 0 < w7[cached, "warm turns"].value < 1
    assert {w7[name, "all p50"].label for name in (plain, cached)} == {"lossless", "cached"}
