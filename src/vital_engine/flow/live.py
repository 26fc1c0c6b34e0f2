"""A value that is still being made: one producer, many readers.

The items that were pushed are kept once, in a list that all readers share; a reader is an index into it. So a
reader that is slow or dead costs the producer nothing, and one that comes late misses nothing. What is kept is
bounded by what the producer makes. The end, an error and a cancel are part of the stream: a reader always
learns that there is no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class _Tape:
    """What the handles of one stream share."""

    __slots__ = ("closed", "error", "first", "folded", "followers", "items", "last", "value", "waiters")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.first: float | None = None  # when the first and the latest item came, on the loop's clock
        self.last: float | None = None
        self.closed = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.waiters: dict[asyncio.Future[None], None] = {}  # a set that keeps its order
        self.followers: list[Callable[[], None]] = []
        self.folded: dict[Callable[[], Fold], _Tape] | None = None

    def wake(self) -> None:
        for follower in self.followers:
            follower()
        if self.waiters:
            waiters, self.waiters = self.waiters, {}
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self, value: Any, error: BaseException | None) -> None:
        if not self.closed:
            self.closed, self.value, self.error = True, value, error
            self.wake()
            self.followers.clear()  # so that nothing goes round in a circle, for the garbage collector to find


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


class Fold(Protocol):
    """Makes items of another kind of a stream's items, as they come. Quick, and without waiting: the producer waits."""

    def feed(self, items: Sequence[Any], /) -> Sequence[Any]:
        """What is known now that *items* have come."""
        ...

    def close(self) -> Sequence[Any]:
        """What is known now that no more will come."""
        ...


class Stream(Generic[T]):
    """A handle on a stream that ends in a ``T``. In a step's signature ``Stream[T]`` is

    - the outlet, if the step itself makes the ``T``: it pushes items, and returns the ``T``;
    - an inlet, if another step makes it: the step starts as soon as the stream exists, and reads along.
    """

    __slots__ = ("_meter", "_tape")

    def __init__(self, tape: _Tape | None = None, meter: _Meter | None = None) -> None:
        self._tape = tape or _Tape()
        self._meter = meter or _Meter()

    @classmethod
    def closed(cls, value: T, items: Iterable[Any] = ()) -> Stream[T]:
        """A stream that has already ended in *value*."""
        live = cls()
        live._tape.items.extend(items)
        live.close(value)
        return live

    def reader(self, beside: Stream[Any] | None = None) -> Stream[T]:
        """Another handle on the same stream, with a ``waited`` of its own, or one with *beside*."""
        return Stream(self._tape, None if beside is None else beside._meter)

    # -- the producer's side
    def push(self, item: Any, *, metadata: bool = False) -> None:
        """Add an item. After the end it is ignored: a producer that was given up cannot speak any more.

        An *aside* is kept and read like any item, but is not what the stream is about: the times of the first and
        the latest item do not count it, and a stream of asides alone has said nothing that could be salvaged.
        """
        tape = self._tape
        if tape.closed:
            return
        if not metadata:
            tape.last = asyncio.get_running_loop().time()
            if tape.first is None:
                tape.first = tape.last
        tape.items.append(item)
        if tape.waiters or tape.followers:
            tape.wake()

    def close(self, value: T | None = None, error: BaseException | None = None) -> None:
        """End the stream, in *value* or in *error*. The first end counts."""
        self._tape.close(value, error)

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
        return self._tape.first

    @property
    def last_at(self) -> float | None:
        return self._tape.last

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

    def subscribe(self, told: Callable[[], None]) -> None:
        """*told* is called with each item that comes, and at the end: at once, so it must be quick and raise nothing.

        Cheaper than a reader that waits: no task is woken. What came before is to be found in :attr:`items`.
        """
        if not self._tape.closed:
            self._tape.followers.append(told)

    def pipe(self, fold: Callable[[], Fold]) -> Stream[Any]:
        """A stream of what *fold* makes of this one's items, which ends as this one does, without a value.

        It is worked out once for all who ask with the same *fold*, and they are woken only when there is something for
        them. Whoever waits for it waits for this stream: see ``waited``.
        """
        tape = self._tape
        tape.folded = tape.folded or {}
        if fold not in tape.folded:
            tape.folded[fold] = _folded(tape, fold())
        return Stream(tape.folded[fold], self._meter)

    async def result(self) -> T | None:
        """Wait for the end, and give what it ended in."""
        while not self._tape.closed:
            await self.wait_for_item()
        return self.value

    async def wait_for_item(self) -> None:
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


def _folded(tape: _Tape, fold: Fold) -> _Tape:
    made, at = _Tape(), 0

    def follow() -> None:
        nonlocal at
        fresh = tape.items[at:]
        at += len(fresh)
        fold_made = fold.feed(fresh) if fresh else ()
        if tape.closed:
            fold_made = [*fold_made, *fold.close()]
        if fold_made:
            made.items.extend(fold_made)
        if tape.closed:
            made.close(None, tape.error)
        elif fold_made:
            made.wake()

    follow()
    if not tape.closed:
        tape.followers.append(follow)
    return made


class _Batches(AsyncIterator[list[Any]]):
    """Plain iterators, not generators: a reader that breaks off early leaves nothing for the loop to close."""

    __slots__ = ("_at", "_live")

    def __init__(self, live: Stream[Any]) -> None:
        self._live, self._at = live, 0

    async def __anext__(self) -> list[Any]:
        items = self._live.items
        while self._at >= len(items):
            if self._live.ended:
                raise StopAsyncIteration
            await self._live.wait_for_item()
        fresh = list(items[self._at :])
        self._at += len(fresh)
        return fresh


class _Items(AsyncIterator[Any]):
    __slots__ = ("_at", "_live")

    def __init__(self, live: Stream[Any]) -> None:
        self._live, self._at = live, 0

    async def __anext__(self) -> Any:
        items = self._live.items
        while self._at >= len(items):
            if self._live.ended:
                raise StopAsyncIteration
            await self._live.wait_for_item()
        self._at += 1
        return items[self._at - 1]


Recovery = Callable[[Sequence[Any], BaseException], T]
