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
        self.waiters: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Live(Generic[T]):
    """A handle on a stream that ends in a ``T``. In a step's signature ``Live[T]`` is

    - the outlet, if the step itself makes the ``T``: it pushes items, and returns the ``T``;
    - an inlet, if another step makes it: the step starts as soon as the stream exists, and reads along.
    """

    __slots__ = ("_tape", "waited")

    def __init__(self, tape: _Tape | None = None) -> None:
        self._tape = tape or _Tape()
        #: Seconds that readers of this handle spent waiting for the producer.
        self.waited = 0.0

    @classmethod
    def closed(cls, value: T, items: Iterable[Any] = ()) -> Live[T]:
        """A stream that has already ended in *value*."""
        live = cls()
        live._tape.items.extend(items)
        live.close(value)
        return live

    def reader(self) -> Live[T]:
        """Another handle on the same stream, with a ``waited`` of its own."""
        return Live(self._tape)

    # -- the producer's side
    def push(self, item: Any) -> None:
        """Add an item. After the end it is ignored: a producer that was given up cannot speak any more."""
        tape = self._tape
        if tape.closed:
            return
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

    # -- the reader's side
    async def batches(self) -> AsyncIterator[list[Any]]:
        """All that is new, as one list per wake-up, until the end. An error ends it like any end: see ``error``."""
        tape, at = self._tape, 0
        while True:
            if at < len(tape.items):
                fresh = tape.items[at:]
                at += len(fresh)
                yield fresh
            elif tape.closed:
                return
            else:
                await self._wait()

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for batch in self.batches():
            for item in batch:
                yield item

    async def whole(self) -> T | None:
        """Wait for the end, and give what it ended in."""
        while not self._tape.closed:
            await self._wait()
        return self.value

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._tape.waiters.append(waiter)
        since = loop.time()
        try:
            await waiter
        finally:
            self.waited += loop.time() - since


Salvage = Callable[[Sequence[Any], BaseException], T]
