"""How busy something is that can do a limited number of things at once: now, and on average over the last while.

Some calls are of less worth than others, and give way: when one that does not finds no room, the latest of them is stopped.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial


class Load:
    """Calls in flight over *capacity*. Used from one event loop.

    :param capacity: how many calls are served at once; infinite where that is not known, and then it is never busy.
    :param seconds: the time constant of the average.
    """

    __slots__ = ("__weakref__", "_average", "_give_way", "_since", "capacity", "in_flight", "seconds")

    def __init__(self, capacity: float = math.inf, *, seconds: float = 10.0) -> None:
        self.capacity, self.seconds = capacity, seconds
        self.in_flight = 0
        self._average, self._since = 0.0, -math.inf
        self._give_way: dict[object, Callable[[], None]] = {}  # in the order in which they came

    @property
    def utilisation(self) -> float:
        """The share of the capacity that was taken, 0 to 1, the past counting less the longer it is ago."""
        self._move()
        return self._average

    @property
    def free(self) -> bool:
        """Whether one more call would be served at once."""
        return self.in_flight < self.capacity

    @property
    def room(self) -> bool:
        """Whether one more would be, if those that give way did."""
        return self.in_flight - len(self._give_way) < self.capacity

    @contextmanager
    def call(self, gives_way: Callable[[], None] | None = None) -> Iterator[Callable[[], object]]:
        """A call is in flight while this is open.

        :param gives_way: stops the call, if there is no room for another that does not give way; None: nothing does.
        :returns: what to call once it is to give way no longer.
        """
        self._move()
        this = object()
        if gives_way is not None:
            self._give_way[this] = gives_way
        elif not self.free and self._give_way:
            self._give_way.popitem()[1]()
        self.in_flight += 1
        try:
            yield partial(self._give_way.pop, this, None)
        finally:
            self._give_way.pop(this, None)
            self._move()
            self.in_flight -= 1

    def _move(self) -> None:
        now = asyncio.get_running_loop().time()
        taken = min(1.0, self.in_flight / self.capacity)
        passed = now - self._since
        self._average += (taken - self._average) * (1.0 if passed == math.inf else -math.expm1(-passed / self.seconds))
        self._since = now
