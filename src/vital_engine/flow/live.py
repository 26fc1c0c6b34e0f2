"""A value that is still being made: one producer, many readers.

The items that were pushed are kept once, in a list that all readers share; a reader is an index into it. So a
reader that is slow or dead costs the producer nothing, and one that comes late misses nothing. What is kept is
bounded by what the producer makes. The end, an error and a cancel are part of the stream: a reader always
learns that there is no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Tape:
    """What the handles of one stream share."""

    __slots__ = ("closed", "error", "items", "times", "value", "waiters")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.times: list[float] = []  # of the first and the latest item, on the loop's clock
        self.closed = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.waiters: dict[asyncio.Future[None], None] = {}  # a set that keeps its order

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Meter:
    """Seconds during which at least one of those who share it waited."""

    __slots__ = ("since", "total", "waiting")

    def __init__(self) -> None:
        self.total, self.since, self.waiting = 0.0, 0.0, 0

    def begin(self, now: float) -> None:
        if not self.waiting:
            self.since = now
        self.waiting += 1

    def end(self, now: float) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.total += now - self.since


class Live(Generic[T]):
    """A handle on a stream that ends in a ``T``. In a step's signature ``Live[T]`` is

    - the outlet, if the step itself makes the ``T``: it pushes items, and returns the ``T``;
    - an inlet, if another step makes it: the step starts as soon as the stream exists, and reads along.
    """

    __slots__ = ("_meter", "_tape")

    def __init__(self, tape: _Tape | None = None, meter: _Meter | None = None) -> None:
        self._tape = tape or _Tape()
        self._meter = meter or _Meter()

    @classmethod
    def closed(cls, value: T, items: Iterable[Any] = ()) -> Live[T]:
        """A stream that has already ended in *value*."""
        live = cls()
        live._tape.items.extend(items)
        live.close(value)
        return live

    def reader(self, beside: Live[Any] | None = None) -> Live[T]:
        """Another handle on the same stream, with a ``waited`` of its own, or one with *beside*."""
        return Live(self._tape, None if beside is None else beside._meter)

    # -- the producer's side
    def push(self, item: Any, *, aside: bool = False) -> None:
        """Add an item. After the end it is ignored: a producer that was given up cannot speak any more.

        An *aside* is kept and read like any item, but is not what the stream is about: the times of the first and
        the latest item do not count it, and a stream of asides alone has said nothing that could be salvaged.
        """
        tape = self._tape
        if tape.closed:
            return
        if not aside:
            now = asyncio.get_running_loop().time()
            if tape.times:
                tape.times[1] = now
            else:
                tape.times = [now, now]
        tape.items.append(item)
        if tape.waiters:
            tape.wake()

    def close(self, value: T | None = None, error: BaseException | None = None) -> None:
        """End the stream, in *value* or in *error*. The first end counts."""
        tape = self._tape
        if not tape.closed:
            tape.closed, tape.value, tape.error = True, value, error
            tape.wake()

    # -- what anybody may ask
    @property
    def items(self) -> Sequence[Any]:
        """What has been pushed so far."""
        return self._tape.items

    @property
    def ended(self) -> bool:
        return self._tape.closed

    @property
    def error(self) -> BaseException | None:
        return self._tape.error

    @property
    def value(self) -> T | None:
        """What the stream ended in; None before the end, and after an error."""
        return self._tape.value  # type: ignore[no-any-return]

    @property
    def first_at(self) -> float | None:
        """When the first item came, on the loop's clock."""
        return self._tape.times[0] if self._tape.times else None

    @property
    def last_at(self) -> float | None:
        return self._tape.times[1] if self._tape.times else None

    @property
    def waited(self) -> float:
        """Seconds that readers of this handle have waited for the producer; two at once count once."""
        meter = self._meter
        return meter.total + (asyncio.get_running_loop().time() - meter.since if meter.waiting else 0.0)

    # -- the reader's side
    def batches(self) -> AsyncIterator[list[Any]]:
        """All that is new, as one list per wake-up, until the end. An error ends it like any end: see ``error``."""
        return _Batches(self)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _Items(self)

    async def whole(self) -> T | None:
        """Wait for the end, and give what it ended in."""
        while not self._tape.closed:
            await self.news()
        return self.value

    async def news(self) -> None:
        """Wait for the next item or the end, whichever comes first."""
        loop, tape, meter = asyncio.get_running_loop(), self._tape, self._meter
        waiter: asyncio.Future[None] = loop.create_future()
        tape.waiters[waiter] = None
        meter.begin(loop.time())
        try:
            await waiter
        finally:  # a reader that was cancelled leaves nothing behind
            tape.waiters.pop(waiter, None)
            meter.end(loop.time())


class _Batches(AsyncIterator[list[Any]]):
    """Plain iterators, not generators: a reader that breaks off early leaves nothing for the loop to close."""

    __slots__ = ("_at", "_live")

    def __init__(self, live: Live[Any]) -> None:
        self._live, self._at = live, 0

    async def __anext__(self) -> list[Any]:
        items = self._live.items
        while self._at >= len(items):
            if self._live.ended:
                raise StopAsyncIteration
            await self._live.news()
        fresh = list(items[self._at :])
        self._at += len(fresh)
        return fresh


class _Items(AsyncIterator[Any]):
    __slots__ = ("_at", "_live")

    def __init__(self, live: Live[Any]) -> None:
        self._live, self._at = live, 0

    async def __anext__(self) -> Any:
        items = self._live.items
        while self._at >= len(items):
            if self._live.ended:
                raise StopAsyncIteration
            await self._live.news()
        self._at += 1
        return items[self._at - 1]


Salvage = Callable[[Sequence[Any], BaseException], T]
