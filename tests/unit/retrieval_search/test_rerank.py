"""The linear model over what both indexes know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.services.retrieval.rerank import FEATURES, coefficients, scores

rows = st.lists(st.tuples(st.floats(0, 30), st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=30)


def test_each_feature_speaks_for_a_passage() -> None:
    weights, _ = coefficients()
    assert len(weights) == len(FEATURES)
    assert min(weights) > 0


@given(rows)
def test_a_passage_that_is_no_worse_in_anything_is_no_worse(features: list[tuple[float, float, float]]) -> None:
    found = scores(features)
    assert len(found) == len(features)
    for one, mine in zip(features, found, strict=True):
        for other, theirs in zip(features, found, strict=True):
            if all(a >= b for a, b in zip(one, other, strict=True)):
                assert mine >= theirs - 1e-9


@given(rows, st.floats(0.1, 10), st.floats(-5, 5))
def test_neither_scale_nor_level_of_a_feature_matters(
    features: list[tuple[float, float, float]], scale: float, level: float
) -> None:
    if max(f[0] for f in features) - min(f[0] for f in features) < 0.1:
        return
    moved = [(bm25 * scale + level, dense, coverage) for bm25, dense, coverage in features]
    assert scores(moved) == pytest.approx(scores(features), abs=1e-2)


def test_one_passage_or_equal_ones_and_none() -> None:
    _, intercept = coefficients()
    assert scores([]) == []
    assert scores([(3.0, 0.5, 1.0)] * 3) == pytest.approx([intercept] * 3)
