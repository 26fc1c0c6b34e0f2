"""A stream: a value that is still being made, with one producer and many readers.

The items that were pushed are kept once, in a list that all readers share; a reader is an index into it. So a
reader that is slow or dead costs the producer nothing, and one that comes late misses nothing. What is kept is
bounded by what the producer makes. The end, an error and a cancel are part of the stream: a reader always
learns that there is no more.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class _Buffer:
    """What the handles of one stream share."""

    __slots__ = ("closed", "error", "first", "items", "last", "piped", "subscribers", "value", "waiters")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.first: float | None = None  # when the first and the latest item came, on the loop's clock
        self.last: float | None = None
        self.closed = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.waiters: dict[asyncio.Future[None], None] = {}  # a set that keeps its order
        self.subscribers: list[Callable[[], None]] = []
        self.piped: dict[Callable[[], Fold], _Buffer] | None = None

    def wake(self) -> None:
        for subscriber in self.subscribers:
            subscriber()
        if self.waiters:
            waiters, self.waiters = self.waiters, {}
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self, value: Any, error: BaseException | None) -> None:
        if not self.closed:
            self.closed, self.value, self.error = True, value, error
            self.wake()
            self.subscribers.clear()  # no reference cycle for the garbage collector to find


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

    __slots__ = ("_buffer", "_meter")

    def __init__(self, buffer: _Buffer | None = None, meter: _Meter | None = None) -> None:
        self._buffer = buffer or _Buffer()
        self._meter = meter or _Meter()

    @classmethod
    def closed(cls, value: T, items: Iterable[Any] = ()) -> Stream[T]:
        """A stream that has already ended in *value*."""
        stream = cls()
        stream._buffer.items.extend(items)
        stream.close(value)
        return stream

    def reader(self, beside: Stream[Any] | None = None) -> Stream[T]:
        """Another handle on the same stream, with a ``waited`` of its own, or one with *beside*."""
        return Stream(self._buffer, None if beside is None else beside._meter)

    # -- the producer's side
    def push(self, item: Any, *, metadata: bool = False) -> None:
        """Add an item. After the end it is ignored: a producer that was abandoned cannot write any more.

        :param metadata: the item is kept and read like any other, but is not content: the times of the first and the
            latest item do not count it, and a stream of metadata alone holds nothing that could be recovered.
        """
        buffer = self._buffer
        if buffer.closed:
            return
        if not metadata:
            buffer.last = get_running_loop().time()
            if buffer.first is None:
                buffer.first = buffer.last
        buffer.items.append(item)
        if buffer.waiters or buffer.subscribers:
            buffer.wake()

    def extend(self, items: Sequence[Any]) -> None:
        """Add several items at once, none of them metadata: readers are woken once."""
        buffer = self._buffer
        if buffer.closed or not items:
            return
        buffer.last = get_running_loop().time()
        if buffer.first is None:
            buffer.first = buffer.last
        buffer.items.extend(items)
        if buffer.waiters or buffer.subscribers:
            buffer.wake()

    def close(self, value: T | None = None, error: BaseException | None = None) -> None:
        """End the stream, in *value* or in *error*. The first end counts."""
        self._buffer.close(value, error)

    def redirect(self, to: Stream[T]) -> None:
        """From here on this is a handle on *to*; what was pushed before stays behind."""
        self._buffer = to._buffer

    # -- its state
    @property
    def items(self) -> Sequence[Any]:
        """What has been pushed so far."""
        return self._buffer.items

    @property
    def ended(self) -> bool:
        """Whether there will be no more items."""
        return self._buffer.closed

    @property
    def error(self) -> BaseException | None:
        """The error that ended the stream; None before the end, and after a normal one."""
        return self._buffer.error

    @property
    def value(self) -> T | None:
        """What the stream ended in; None before the end, and after an error."""
        return self._buffer.value  # type: ignore[no-any-return]

    @property
    def first_at(self) -> float | None:
        """When the first item came, on the loop's clock."""
        return self._buffer.first

    @property
    def last_at(self) -> float | None:
        """When the latest item came, on the loop's clock; None: none has come."""
        return self._buffer.last

    @property
    def waited(self) -> float:
        """Seconds that readers of this handle have waited for the producer; two at once count once."""
        meter = self._meter
        return meter.total + (get_running_loop().time() - meter.since if meter.waiting else 0.0)

    # -- the reader's side
    def batches(self) -> AsyncIterator[list[Any]]:
        """All that is new, as one list per wake-up, until the end. An error ends it like any end: see ``error``."""
        return _Batches(self)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _Items(self)

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call *on_change* with each item, and at the end: synchronously, so it must be quick and raise nothing.

        Cheaper than a reader that waits, since no task is woken. Earlier items are in :attr:`items`.
        """
        if not self._buffer.closed:
            self._buffer.subscribers.append(on_change)

    def pipe(self, fold: Callable[[], Fold]) -> Stream[Any]:
        """A stream of what *fold* makes of this one's items, which ends as this one does, without a value.

        It is computed once for all readers that pass the same *fold*, and they are woken only when it makes an item.
        Waiting for it counts as waiting for this stream: see ``waited``.
        """
        buffer = self._buffer
        buffer.piped = buffer.piped or {}
        if fold not in buffer.piped:
            buffer.piped[fold] = _piped(buffer, fold())
        return Stream(buffer.piped[fold], self._meter)

    async def result(self) -> T | None:
        """Wait for the end, and give what it ended in."""
        while not self._buffer.closed:
            await self.wait_for_item()
        return self.value

    async def wait_for_item(self) -> None:
        """Wait for the next item or the end, whichever comes first."""
        loop, buffer, meter = get_running_loop(), self._buffer, self._meter
        waiter: asyncio.Future[None] = loop.create_future()
        buffer.waiters[waiter] = None
        meter.begin(loop.time())
        try:
            await waiter
        finally:  # a reader that was cancelled leaves nothing behind
            buffer.waiters.pop(waiter, None)
            meter.end(loop.time())


def _piped(buffer: _Buffer, fold: Fold) -> _Buffer:
    made, at = _Buffer(), 0

    def follow() -> None:
        nonlocal at
        fresh = buffer.items[at:]
        at += len(fresh)
        fold_made = fold.feed(fresh) if fresh else ()
        if buffer.closed:
            fold_made = [*fold_made, *fold.close()]
        if fold_made:
            made.items.extend(fold_made)
        if buffer.closed:
            made.close(None, buffer.error)
        elif fold_made:
            made.wake()

    follow()
    if not buffer.closed:
        buffer.subscribers.append(follow)
    return made


class _Batches(AsyncIterator[list[Any]]):
    """Plain iterators, not generators: a reader that breaks off early leaves nothing for the loop to close."""

    __slots__ = ("_at", "_stream")

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream, self._at = stream, 0

    async def __anext__(self) -> list[Any]:
        items = self._stream.items
        while self._at >= len(items):
            if self._stream.ended:
                raise StopAsyncIteration
            await self._stream.wait_for_item()
        fresh = list(items[self._at :])
        self._at += len(fresh)
        return fresh


class _Items(AsyncIterator[Any]):
    __slots__ = ("_at", "_stream")

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream, self._at = stream, 0

    async def __anext__(self) -> Any:
        items = self._stream.items
        while self._at >= len(items):
            if self._stream.ended:
                raise StopAsyncIteration
            await self._stream.wait_for_item()
        self._at += 1
        return items[self._at - 1]


Recovery = Callable[[Sequence[Any], BaseException], T]
