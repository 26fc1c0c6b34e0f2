"""Who may run now, where not all may: a pure account of seats, in all and by lane."""

from __future__ import annotations

import heapq

from .policy import Shape


class ConcurrencyLimit:
    """Indices of steps that wait for a seat, lowest first, and how many seats are taken."""

    __slots__ = ("_lanes", "_running", "_shape", "_waiting", "after")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._waiting: list[tuple[int, str]] = []
        self._running = 0
        self._lanes: dict[str, int] = {}
        #: Who got the seat of whom.
        self.after: dict[int, int] = {}

    def ask(self, i: int, lane: str) -> None:
        heapq.heappush(self._waiting, (i, lane))

    def drop(self, i: int, lane: str) -> None:
        """It ended before it got a seat."""
        if (i, lane) in self._waiting:
            self._waiting.remove((i, lane))
            heapq.heapify(self._waiting)

    def leave(self, _: int, lane: str) -> None:
        self._running -= 1
        self._lanes[lane] -= 1

    def take(self, freed_by: int | None = None) -> list[int]:
        """Seat and give those that may run now, in the order in which the steps stand."""
        taken, held = [], []
        while self._waiting and self._running < self._shape.width:
            i, lane = heapq.heappop(self._waiting)
            if lane in self._shape.lanes and self._lanes.get(lane, 0) >= self._shape.lanes[lane]:
                held.append((i, lane))
                continue
            self._running += 1
            self._lanes[lane] = self._lanes.get(lane, 0) + 1
            taken.append(i)
            if freed_by is not None:
                self.after[i] = freed_by
        for waiting in held:
            heapq.heappush(self._waiting, waiting)
        return taken
