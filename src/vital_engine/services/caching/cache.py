"""A bounded cache, and a cache that computes each entry once: a caller waits for a computation that is already running.

Cancelling one caller cancels neither the computation nor the other callers; when the last caller is gone, the
computation is cancelled. An error reaches all callers and is not cached: the next caller computes again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from vital_engine.errors import ConfigError

__all__ = ["Cache", "Count", "LRUCache", "Outcome", "Start"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Outcome = Literal["hit", "miss", "shared"]
"""Known from before; computed for this one; waited for, since another one was computing it."""

Count = Callable[[Outcome], None]
"""Called with the outcome of each lookup in a cache."""


class Start(Protocol):
    """Begins a task that may outlive who began it: ``vital_engine.flow.run_in_background`` is one."""

    def __call__(self, work: Coroutine[Any, Any, Any], /, *, name: str) -> asyncio.Task[Any]: ...


def uncounted(outcome: Outcome) -> None:
    """A :data:`Count` that does nothing.

    :param outcome: hit, miss or shared.
    """


class LRUCache(Generic[K, V]):
    """At most *entries* values, for at most *seconds* each (None: for ever); the least recently used one goes first.

    Not safe between threads without a lock. The time is the running loop's; without *seconds* no loop is needed.

    :param entries: values kept; with *weigh*, the sum of their weights, and 0 keeps nothing.
    :param weigh: what a value weighs, such as its bytes. It must not change while the value is kept.
    :raises ConfigError: *entries* or *seconds* leave no room.
    """

    __slots__ = ("_entries", "_seconds", "_values", "_weigh", "weight")

    def __init__(self, *, entries: int, seconds: float | None = None, weigh: Callable[[V], int] | None = None) -> None:
        if entries < (0 if weigh else 1):
            raise ConfigError(f"entries must be at least 1, not {entries}")
        if seconds is not None and not seconds > 0:
            raise ConfigError(f"seconds must be above 0, not {seconds}")
        self._entries, self._seconds, self._weigh = entries, seconds, weigh
        self._values: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self.weight = 0
        """Of all values together; without *weigh*, how many there are."""

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: K) -> bool:
        """Whether there is a value, without using it."""
        return key in self._values and self._now() < self._values[key][1]

    def get(self, key: K) -> V | None:
        """The value of *key*, which is thereby the most recently used one; None if there is none."""
        found = self._values.get(key)
        if found is None:
            return None
        value, until = found
        if self._now() >= until:
            self.pop(key)
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Store *value* under *key*; the least recently used values make room.

        :param key: of the value.
        :param value: any value.
        """
        self.pop(key)
        until = float("inf") if self._seconds is None else self._now() + self._seconds
        self._values[key] = (value, until)
        self.weight += 1 if self._weigh is None else self._weigh(value)
        while self.weight > self._entries:
            self.pop(next(iter(self._values)))

    def pop(self, key: K) -> V | None:
        """Take the value of *key* out, if there is one; None if not."""
        found = self._values.pop(key, None)
        if found is None:
            return None
        self.weight -= 1 if self._weigh is None else self._weigh(found[0])
        return found[0]

    def _now(self) -> float:
        return 0.0 if self._seconds is None else asyncio.get_running_loop().time()


@dataclass(slots=True, eq=False)
class _Flight:
    """A running computation and the number of callers that wait for it. ``dropped``: cancelled, because no caller was
    left."""

    task: asyncio.Task[Any]
    waiting: int = 0
    dropped: bool = False


class Cache(Generic[K, V]):
    """Values by key, each computed once; for one event loop.

    :param name: name of its tasks.
    :param entries: the largest number of values.
    :param start: starts a computation as a task of its own, which no single caller owns.
    :param seconds: how long a value is kept at most; None: until another one needs its place.
    :param count: called with the outcome of each lookup, also of one that failed.
    """

    def __init__(
        self,
        name: str,
        *,
        entries: int,
        start: Start,
        seconds: float | None = None,
        count: Count = uncounted,
    ) -> None:
        self._name, self._start, self._count = name, start, count
        self._kept: LRUCache[K, V] = LRUCache(entries=entries, seconds=seconds)
        self._flights: dict[K, _Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(
        self, key: K, make: Callable[[], Coroutine[Any, Any, V]], *, keep: Callable[[V], bool] = lambda _: True
    ) -> tuple[V, Outcome]:
        """Look *key* up, or compute it.

        :param key: of the value.
        :param make: computes the value; called only if it is neither cached nor being computed.
        :param keep: whether a computed value may be cached. All callers get it either way.
        :returns: the value, and whether it is a hit, a miss, or shared with another caller.
        :raises Exception: what *make* raises.
        """
        known = self._kept.get(key)
        if known is not None:
            self._count("hit")
            return known, "hit"
        while True:
            flight, outcome = self._flights.get(key), "shared"
            if flight is None:
                flight, outcome = self._begin(key, make, keep), "miss"
            await self._landed(flight)
            # Dropped before we came: it has ended by now, and only if it was deaf to its cancellation in a value.
            if not (flight.dropped and flight.task.cancelled()):
                break
        how: Outcome = "miss" if outcome == "miss" else "shared"
        self._count(how)
        return flight.task.result(), how

    def _begin(self, key: K, make: Callable[[], Coroutine[Any, Any, V]], keep: Callable[[V], bool]) -> _Flight:
        async def work() -> V:
            value = await make()
            if keep(value):
                self._kept.put(key, value)
            return value

        flight = self._flights[key] = _Flight(self._start(work(), name=f"cache {self._name}"))
        # Not at the end of the work: a task that is cancelled before its first step never comes there.
        flight.task.add_done_callback(lambda _: self._flights.pop(key, None))
        return flight

    @staticmethod
    async def _landed(flight: _Flight) -> None:
        """Wait until *flight* has ended; the last caller that stops waiting cancels it."""
        flight.waiting += 1
        try:
            await asyncio.wait((flight.task,))
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.dropped = True
                flight.task.cancel()
