"""One producer, many readers: each at its own pace, none in another's way."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from vital_engine.flow import Stream

from .things import A, virtual


def held() -> int:
    """Futures of this loop that something still holds: those of readers that wait, and those that were forgotten."""
    loop = asyncio.get_running_loop()
    gc.collect()
    return sum(type(each) is asyncio.Future and each.get_loop() is loop for each in gc.get_objects())


async def listen(live: Stream[A], pause: float = 0.0) -> list[object]:
    heard = []
    async for item in live:
        heard.append(item)
        if pause:
            await asyncio.sleep(pause)
    return heard


@virtual
async def test_every_reader_hears_everything_at_its_own_pace() -> None:
    live: Stream[A] = Stream()
    readers = [asyncio.ensure_future(listen(live.reader(), pause)) for pause in (0.0, 0.5, 3.0)]
    for i in range(5):
        await asyncio.sleep(1)
        live.push(i)
    assert asyncio.get_running_loop().time() == 5.0  # the slow one held nobody up
    live.close(A())
    late = live.reader()
    assert [await reader for reader in readers] == [[0, 1, 2, 3, 4]] * 3
    assert await listen(late) == [0, 1, 2, 3, 4]
    assert [batch async for batch in late.batches()] == [[0, 1, 2, 3, 4]]
    assert (await late.result(), late.value, late.ended, late.error) == (A(), A(), True, None)


@virtual
async def test_a_batch_is_all_that_is_new() -> None:
    live: Stream[A] = Stream()
    batches: list[list[object]] = []

    async def read() -> None:
        async for batch in live.batches():
            batches.append(batch)
            await asyncio.sleep(1)

    reader = asyncio.ensure_future(read())
    for pause in (0.5, 0.2, 0.2, 2.0):
        await asyncio.sleep(pause)
        live.push(pause)
    live.close()
    await reader
    assert batches == [[0.5], [0.2, 0.2], [2.0]]


@virtual
async def test_an_error_ends_the_stream_for_every_reader_and_stays_to_be_seen() -> None:
    live: Stream[A] = Stream()
    live.push(1)
    readers = [asyncio.ensure_future(listen(live)), asyncio.ensure_future(live.result())]
    await asyncio.sleep(1)
    live.close(error=ValueError("broken"))
    assert await readers[0] == [1] and await readers[1] is None
    assert isinstance(live.error, ValueError) and live.value is None and live.ended


@virtual
async def test_after_the_end_nothing_can_be_said() -> None:
    live = Stream.closed(A("first"), [1])
    live.push(2)
    live.close(A("second"))
    live.close(error=ValueError())
    assert list(live.items) == [1] and live.value == A("first") and live.error is None


@virtual
async def test_a_reader_that_is_cancelled_leaves_no_one_waiting() -> None:
    live: Stream[A] = Stream()
    before = held()
    readers = [asyncio.ensure_future(listen(live)) for _ in range(100)]
    readers += [asyncio.ensure_future(live.result()) for _ in range(100)]  # type: ignore[arg-type]
    await asyncio.sleep(1)
    assert held() >= before + 200
    for reader in readers[:-1]:
        reader.cancel()
    await asyncio.wait(readers[:-1])
    del readers[:-1]
    assert held() < before + 10
    live.close(A())
    assert await readers[-1] == A()


@virtual
async def test_a_reader_that_is_cancelled_as_it_is_woken_harms_nobody() -> None:
    live: Stream[A] = Stream()
    one, two, other = (asyncio.ensure_future(listen(live)) for _ in range(3))
    await asyncio.sleep(1)
    one.cancel()
    live.push(1)
    two.cancel()
    live.close(A())
    await asyncio.wait({one, two})
    assert one.cancelled() and two.cancelled() and await other == [1]


@virtual
async def test_a_reader_that_breaks_off_leaves_nothing_to_be_closed() -> None:
    live = Stream.closed(A(), range(3))
    async for item in live:
        assert item == 0
        break
    async for batch in live.batches():
        assert batch == [0, 1, 2]
        break
    loop = asyncio.get_running_loop()
    assert not list(loop._asyncgens)  # type: ignore[attr-defined]
    assert isinstance(live.batches(), AsyncIterator)


@virtual
async def test_first_and_latest_are_timed_and_asides_are_not() -> None:
    live: Stream[A] = Stream()
    assert live.first_at is None and live.last_at is None
    live.push("thinking", metadata=True)
    assert live.first_at is None and list(live.items) == ["thinking"]
    for _ in range(3):
        await asyncio.sleep(1)
        live.push("word")
    assert (live.first_at, live.last_at) == (1.0, 3.0)


@virtual
async def test_waiting_is_measured_once_for_all_who_wait_on_one_handle() -> None:
    live: Stream[A] = Stream()
    mine, other = live.reader(), live.reader()
    beside = Stream[A]().reader(mine)
    waiting = [asyncio.ensure_future(x) for x in (mine.result(), mine.result(), beside.result())]
    await asyncio.sleep(2)
    assert mine.waited == 2.0 and other.waited == 0.0 and live.waited == 0.0
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await asyncio.sleep(5)
    assert mine.waited == beside.waited == 2.0


@virtual
async def test_a_hundred_thousand_items_are_cheap() -> None:
    live: Stream[A] = Stream()
    began = time.process_time()
    reader = asyncio.ensure_future(listen(live))
    dead = asyncio.ensure_future(live.reader().result())
    for i in range(100_000):
        live.push(i)
        if i % 100 == 0:
            await asyncio.sleep(0)
    live.close(A())
    assert len(await reader) == 100_000 and await dead == A()
    assert time.process_time() - began < 3.0


def test_a_stream_is_pushed_only_from_the_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Stream[A]().push(1)


@virtual
async def test_several_items_come_at_once_and_wake_once() -> None:
    live: Stream[A] = Stream()
    told: list[int] = []
    batches: list[list[object]] = []
    live.subscribe(lambda: told.append(len(live.items)))

    async def read() -> None:
        batches.extend([batch async for batch in live.batches()])

    reader, one_by_one = asyncio.ensure_future(read()), asyncio.ensure_future(listen(live))
    pairs = live.pipe(Pairs)
    await asyncio.sleep(1)
    live.extend([1, 2, 3])
    await asyncio.sleep(1)
    live.extend([])
    await asyncio.sleep(1)
    live.extend((4,))
    live.close(A())
    live.extend([5])
    await reader
    assert await one_by_one == [1, 2, 3, 4] and batches == [[1, 2, 3], [4]]
    assert told == [3, 4, 4]  # the last one is the end
    assert await listen(pairs) == [(1, 2), (3, 4)]
    assert (live.first_at, live.last_at) == (1.0, 3.0) and list(live.items) == [1, 2, 3, 4]


@virtual
async def test_a_handle_that_is_redirected_writes_to_the_other_stream() -> None:
    one, other = Stream[A](), Stream[A]()
    one.push("stays behind")
    reader = one.reader()
    one.redirect(other)
    one.push(1)
    one.close(A())
    assert list(other.items) == [1] and other.value == A() and one.ended
    assert list(reader.items) == ["stays behind"] and not reader.ended


class Pairs:
    """A fold: two items make one."""

    made = 0

    def __init__(self) -> None:
        Pairs.made += 1
        self.open: list[int] = []

    def feed(self, items: Sequence[int], /) -> list[tuple[int, ...]]:
        self.open += items
        whole = len(self.open) // 2 * 2
        pairs: list[tuple[int, ...]] = [(self.open[i], self.open[i + 1]) for i in range(0, whole, 2)]
        self.open = self.open[whole:]
        return pairs

    def close(self) -> list[tuple[int, ...]]:
        return [tuple(self.open)] if self.open else []


@virtual
async def test_what_is_made_of_the_items_is_made_once_for_all_and_wakes_only_for_what_is_made() -> None:
    live: Stream[A] = Stream()
    live.push(0)
    mine, other, before = live.reader(), live.reader(), Pairs.made
    wakes: list[float] = []

    async def read() -> list[object]:
        pairs = []
        async for batch in mine.pipe(Pairs).batches():
            wakes.append(asyncio.get_running_loop().time())
            pairs += batch
        return pairs

    readers = [asyncio.ensure_future(read()), asyncio.ensure_future(listen(other.pipe(Pairs)))]
    for i in range(1, 5):
        await asyncio.sleep(1)
        live.push(i)
    await asyncio.sleep(1)
    live.close(A())
    made = [(0, 1), (2, 3), (4,)]
    assert [await reader for reader in readers] == [made, made]
    assert wakes == [1.0, 3.0, 5.0] and mine.waited == 5.0  # who waits for what is made waits for the producer
    assert await listen(live.reader().pipe(Pairs)) == made  # also for one that comes when all is over
    assert Pairs.made == before + 1


@virtual
async def test_what_is_made_of_a_broken_stream_ends_with_its_error() -> None:
    live: Stream[A] = Stream()
    pairs = live.pipe(Pairs)
    live.push(1)
    live.close(error=ValueError("cut"))
    assert await listen(pairs) == [(1,)] and pairs.ended and isinstance(pairs.error, ValueError)


@virtual
async def test_a_follower_is_told_of_each_item_and_of_the_end_at_once() -> None:
    live: Stream[A] = Stream()
    heard: list[tuple[int, bool]] = []
    live.subscribe(lambda: heard.append((len(live.items), live.ended)))
    for item in "ab":
        live.push(item)
    live.close(A())
    live.push("too late")
    live.subscribe(lambda: heard.append((0, False)))  # there is nothing to come
    live.close(A())
    assert heard == [(1, False), (2, False), (2, True)]
