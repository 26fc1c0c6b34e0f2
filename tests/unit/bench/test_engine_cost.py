"""What the engine costs, in counts that no load moves: calls and passes of the event loop, of a turn and of a token."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vital_bench.cost import FEW, MANY, executed, on_flow, spoken, streamed
from vital_bench.meter import Turn, calls, iterations


def test_ten_steps_cost_few_calls_and_passes() -> None:
    assert calls(on_flow()) <= 1500
    assert iterations(on_flow()) <= 12


def test_a_whole_turn_passes_the_loop_twelve_times_beside_its_tokens() -> None:
    assert iterations(executed()) <= iterations(spoken()) + 12
    assert iterations(executed(MANY)) <= iterations(spoken(MANY)) + 12


@pytest.mark.parametrize(("way", "most"), [(executed, 36), (streamed, 105)], ids=["not read", "read as it comes"])
def test_a_token_costs_few_calls_beside_the_model_s_own(way: Callable[..., Turn], most: int) -> None:
    model = (calls(spoken(MANY)) - calls(spoken())) / (MANY - FEW)
    token = (calls(way(MANY)) - calls(way())) / (MANY - FEW)
    assert token - model <= most


def test_a_token_of_a_long_answer_costs_what_one_of_a_short_answer_costs() -> None:
    short = calls(executed(MANY)) - calls(executed())
    long = calls(executed(2 * MANY)) - calls(executed(MANY + FEW))
    assert long <= 1.02 * short
