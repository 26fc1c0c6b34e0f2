"""How busy something is that can do a limited number of things at once: now, and on average over the last while."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager


class Load:
    """Calls in flight over *capacity*. Used from one event loop.

    :param capacity: how many calls are served at once; infinite where that is not known, and then it is never busy.
    :param seconds: the time constant of the average.
    """

    __slots__ = ("__weakref__", "_average", "_since", "capacity", "in_flight", "seconds")

    def __init__(self, capacity: float = math.inf, *, seconds: float = 10.0) -> None:
        self.capacity, self.seconds = capacity, seconds
        self.in_flight = 0
        self._average, self._since = 0.0, -math.inf

    @property
    def utilisation(self) -> float:
        """The share of the capacity that was taken, 0 to 1, the past counting less the longer it is ago."""
        self._move()
        return self._average

    @property
    def free(self) -> bool:
        """Whether one more call would be served at once."""
        return self.in_flight < self.capacity

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is in flight while this is open."""
        self._move()
        self.in_flight += 1
        try:
            yield
        finally:
            self._move()
            self.in_flight -= 1

    def _move(self) -> None:
        now = asyncio.get_running_loop().time()
        taken = min(1.0, self.in_flight / self.capacity)
        passed = now - self._since
        self._average += (taken - self._average) * (1.0 if passed == math.inf else -math.expm1(-passed / self.seconds))
        self._since = now
