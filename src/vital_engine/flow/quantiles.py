"""How long something takes, as a distribution that forgets: a log histogram whose weights decay with every sample.

A sample that was cut off at T says only "at least T". Such samples are neither dropped (the slow ones would be the ones
that are missing) nor taken for T: the curve is the product-limit estimate (Kaplan and Meier 1958), in which they count
for as long as they were watched.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

GROWTH: Final = 1.05
"""Each bucket ends 5 % above where it begins; within a bucket, quantiles are interpolated."""
LEAST: Final = 1e-5
"""Seconds; whatever is shorter counts as this."""
BUCKETS: Final = 450
"""Up to 9.6 hours; whatever is longer counts as that."""
_HEAVY: Final = 1e100

Curve = list[tuple[float, float]]
"""(t, share that takes longer than t), t rising, share falling from 1; level beyond its last point."""


class DecayedHistogram:
    """Of positive values, usually seconds.

    :param half_life: after so many samples, one counts half.
    """

    __slots__ = ("_censored", "_grow", "_seen", "_unit", "count", "half_life")

    def __init__(self, half_life: float = 1000.0) -> None:
        self.half_life = half_life
        self.count = 0  # all samples that ever came
        self._grow = 2.0 ** (1.0 / half_life)
        self._unit = 1.0  # the weight of the latest sample: it grows, so that the earlier ones need not be touched
        self._seen = [0.0] * BUCKETS
        self._censored = [0.0] * BUCKETS

    def add(self, value: float, *, censored: bool = False) -> None:
        """One sample. ``censored``: it was cut off at *value*, and would have been at least that."""
        self.count += 1
        self._unit *= self._grow
        at = 0 if value <= LEAST else min(int(math.log(value / LEAST) / _LOG_GROWTH), BUCKETS - 1)
        (self._censored if censored else self._seen)[at] += self._unit
        if self._unit > _HEAVY:
            self._seen = [weight / self._unit for weight in self._seen]
            self._censored = [weight / self._unit for weight in self._censored]
            self._unit = 1.0

    @property
    def weight(self) -> float:
        """Samples in all, the latest counting 1."""
        return (sum(self._seen) + sum(self._censored)) / self._unit

    def curve(self) -> Curve:
        """The share that takes longer than t, at the ends of the buckets. Empty without a sample."""
        points: Curve = []
        left, share = sum(self._seen) + sum(self._censored), 1.0
        for at, (seen, censored) in enumerate(zip(self._seen, self._censored, strict=True)):
            if not seen and not censored:
                continue
            if not points or points[-1][0] < _EDGES[at]:
                points.append((_EDGES[at], share))
            share = share * max(1.0 - seen / left, 0.0) if left > seen else 0.0
            points.append((_EDGES[at + 1], share))
            left -= seen + censored
            if left <= 0:
                break
        return points

    def quantile(self, q: float) -> float:
        """The value that a share *q* (0 to 1) does not exceed. inf: too many were cut off to tell, or there is none."""
        return quantile(self.curve(), q)


_LOG_GROWTH: Final = math.log(GROWTH)
_EDGES: Final = tuple(LEAST * GROWTH**at for at in range(BUCKETS + 1))


def quantile(curve: Curve, q: float) -> float:
    """Where *curve* falls to 1 - *q*; inf if it does not."""
    goal = 1.0 - q
    for (before, above), (after, share) in pairwise(curve):
        if share <= goal:
            fallen = (above - goal) / (above - share) if above > share else 1.0
            found: float = before * (after / before) ** fallen
            return found
    return math.inf


def share_beyond(curve: Curve, t: float) -> float:
    """The share that takes longer than *t*."""
    if not curve or t <= curve[0][0]:
        return 1.0
    low, high = 0, len(curve) - 1
    if t >= curve[high][0]:
        return curve[high][1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if curve[middle][0] <= t else (low, middle)
    (before, above), (after, share) = curve[low], curve[high]
    fallen: float = math.log(t / before) / math.log(after / before)
    return above + (share - above) * fallen
