"""Which segments are merged, and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.nouns.stored import LexicalSegment
from vital_engine.services.retrieval.lexical import DOMINANT, FEWEST, LARGEST, SMALL, to_merge


def segments(sizes: list[int]) -> list[LexicalSegment]:
    return [
        LexicalSegment(number, "", number * 10**6, number * 10**6 + size - 1, size) for number, size in enumerate(sizes)
    ]


@given(st.lists(st.integers(1, 2 * LARGEST) | st.integers(1, 500), max_size=40))
def test_neighbours_are_merged_and_only_when_they_are_many_and_none_dominates(sizes: list[int]) -> None:
    chosen = to_merge(segments(sizes))
    if not chosen:
        return
    assert len(chosen) >= FEWEST
    assert chosen == list(range(chosen[0], chosen[0] + len(chosen)))
    merged = [max(sizes[number], SMALL) for number in chosen]
    assert max(merged) * DOMINANT <= sum(merged) <= LARGEST


def even() -> int:
    return 64


_chance = random.Random(2)


def _uneven() -> int:
    """Most ingests bring one document, some bring thousands."""
    return min(5_000, int(_chance.paretovariate(0.8)))


@pytest.mark.parametrize("draw", [even, partial(random.Random(1).randint, 1, 600), _uneven])
def test_a_growing_index_stays_in_few_pieces_and_rewrites_each_passage_few_times(draw: Callable[[], int]) -> None:
    sizes: list[int] = []
    passages = written = 0
    for _ in range(2_000):
        sizes.append(draw())
        passages += sizes[-1]
        while chosen := to_merge(segments(sizes)):
            first, last = chosen[0], chosen[-1]
            merged = sum(sizes[first : last + 1])
            sizes[first : last + 1] = [merged]
            written += merged
        assert len(sizes) <= 30
    assert sum(sizes) == passages
    assert written / passages < 5


def test_what_has_grown_large_is_left_alone() -> None:
    assert to_merge(segments([LARGEST] * 50)) == []
