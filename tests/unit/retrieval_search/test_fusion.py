"""Reciprocal rank fusion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.errors import ConfigError
from vital_engine.services.retrieval.rerank import RANK_CONSTANT, fuse

rankings = st.lists(st.integers(0, 30), unique=True, max_size=20)


@given(words=rankings, meaning=rankings)
def test_fusion_holds_every_item_once_best_first_and_does_not_ask_who_comes_first(
    words: list[int], meaning: list[int]
) -> None:
    fused = fuse({"words": words, "meaning": meaning})
    assert sorted(item for item, _ in fused) == sorted({*words, *meaning})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)
    turned = fuse({"meaning": meaning, "words": words})
    assert dict(turned) == pytest.approx(dict(fused))


@given(items=rankings)
def test_one_ranking_or_two_that_agree_keep_their_order(items: list[int]) -> None:
    assert [item for item, _ in fuse({"words": items})] == items
    assert [item for item, _ in fuse({"words": items, "meaning": items})] == items


@given(words=rankings, meaning=rankings)
def test_a_ranking_of_no_weight_decides_nothing(words: list[int], meaning: list[int]) -> None:
    fused = [item for item, _ in fuse({"words": words, "meaning": meaning}, weights={"meaning": 0.0})]
    assert fused[: len(words)] == words


def test_an_item_that_is_better_in_every_ranking_is_better() -> None:
    assert fuse({"words": [1, 2], "meaning": [1, 2]})[0] == (1, 2 / (RANK_CONSTANT + 1))


@pytest.mark.parametrize("weights", [{"words": -1.0}, {"wrods": 1.0}])
def test_an_impossible_weight_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        fuse({"words": [1]}, weights=weights)
