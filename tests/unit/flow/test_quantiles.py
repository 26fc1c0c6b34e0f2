"""What the decayed histogram says of samples, cut off or not, and how it forgets."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.flow import DecayedHistogram
from vital_engine.flow.quantiles import GROWTH, share_beyond

SECONDS = st.floats(1e-4, 1e4)


def filled(values: list[float], half_life: float = 1e9) -> DecayedHistogram:
    histogram = DecayedHistogram(half_life)
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(SECONDS, min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_is_the_exact_one_to_a_bucket(values: list[float], q: float) -> None:
    exact = sorted(values)[min(math.ceil(q * len(values) - 1e-9), len(values)) - 1]
    near = sorted(values)[min(math.ceil(q * len(values) + 1e-9), len(values)) - 1]
    assert exact / GROWTH * 0.999 <= filled(values).quantile(q) <= near * GROWTH * 1.001


@given(st.lists(st.tuples(SECONDS, st.booleans()), max_size=60))
def test_the_curve_falls_from_one(samples: list[tuple[float, bool]]) -> None:
    histogram = DecayedHistogram(20)
    for value, censored in samples:
        histogram.add(value, censored=censored)
    curve = histogram.curve()
    shares = [share for _, share in curve]
    assert shares == sorted(shares, reverse=True) and all(0 <= share <= 1 for share in shares)
    assert [t for t, _ in curve] == sorted({t for t, _ in curve})
    ended = max((value for value, censored in samples if not censored), default=0.0)
    if all(value * GROWTH < ended for value, censored in samples if censored) and ended:
        assert shares[-1] == pytest.approx(0, abs=1e-9)


def test_what_was_cut_off_counts_as_at_least_that() -> None:
    """20,000 samples, of which one in ten is cut off at random: the quantiles are those of the whole samples."""
    draw, cut, dropped = random.Random(1), DecayedHistogram(1e9), DecayedHistogram(1e9)
    for _ in range(20_000):
        value, limit = draw.lognormvariate(0, 0.5), 2.0 if draw.random() < 0.8 else draw.uniform(0.5, 2.5)
        cut.add(min(value, limit), censored=value > limit)
        if value <= limit:
            dropped.add(value)
    for q, exact in ((0.5, 1.0), (0.8, math.exp(0.5 * 0.8416))):
        assert cut.quantile(q) == pytest.approx(exact, rel=0.01)
    assert dropped.quantile(0.8) < 0.95 * cut.quantile(0.8)
    assert cut.quantile(0.999) == math.inf  # nobody was watched for so long


def test_it_forgets_by_half_lives() -> None:
    histogram = filled([1.0] * 1000, half_life=100)
    assert histogram.weight == pytest.approx(100 / math.log(2), rel=0.01) and histogram.count == 1000
    for _ in range(100):
        histogram.add(3.0)
    assert share_beyond(histogram.curve(), 2.0) == pytest.approx(0.5, abs=0.001)


def test_it_counts_on_for_ever() -> None:
    histogram = filled([1.0, 2.0] * 5_000, half_life=10)
    assert histogram.weight == pytest.approx(1 / (1 - 2**-0.1), rel=1e-6)
    assert histogram.quantile(0.1) == pytest.approx(1.0, rel=0.05) and histogram.quantile(0.99) == pytest.approx(
        2, rel=0.05
    )


def test_without_samples_nothing_is_known() -> None:
    empty = DecayedHistogram()
    assert empty.curve() == [] and empty.quantile(0.5) == math.inf and share_beyond([], 1.0) == 1.0
    empty.add(0.0)
    empty.add(1e9)
    assert empty.quantile(0.01) <= 1.1e-5 and empty.quantile(1.0) > 3e4
