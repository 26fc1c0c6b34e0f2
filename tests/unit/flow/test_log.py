"""The log of a run: what is in it, and when its readers have it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from vital_engine.errors import FlowError
from vital_engine.flow import (
    Flow,
    FlowEnded,
    FlowStarted,
    Hedge,
    LateResult,
    Log,
    Policy,
    StepEnded,
    StepStarted,
    Stream,
    StreamOpened,
    broken_observers,
    either,
    step,
)

from .things import A, B, C, D, Watcher, deaf, virtual


class E: ...


async def make_a() -> A:
    await asyncio.sleep(1)
    return A()


async def make_b(a: A, out: Stream[B]) -> B:
    await asyncio.sleep(2)
    return B()


async def make_c(a: A) -> C:
    await asyncio.sleep(3)
    return C()


async def make_d(b: B, c: C) -> D:
    return D()


DIAMOND = Flow("diamond", step(make_a), step(make_b), step(make_c), step(make_d))


class Reader:
    """Reads batches, and remembers when each came."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[str]]] = []

    def __call__(self, event: object) -> None:
        raise AssertionError("it is handed batches")

    def read(self, events: Sequence[Any]) -> None:
        said = [f"{type(event).__name__} {getattr(event, 'step', '')}".strip() for event in events]
        self.batches.append((asyncio.get_running_loop().time(), said))


@virtual
async def test_what_happened_is_in_its_order() -> None:
    run = await DIAMOND.run()
    b = run.outcomes[B]
    stream = next(event.stream for event in run.log.events if isinstance(event, StreamOpened))
    assert run.log.events == [
        FlowStarted("diamond", 0.0),
        StepStarted("diamond", "make_a", "", 0.0),
        StepEnded("diamond", "make_a", "", run.outcomes[A], 1.0),
        StepStarted("diamond", "make_b", "", 1.0),
        StreamOpened("diamond", "make_b", stream, 1.0),
        StepStarted("diamond", "make_c", "", 1.0),
        StepEnded("diamond", "make_b", "", b, 3.0),
        StepEnded("diamond", "make_c", "", run.outcomes[C], 4.0),
        StepStarted("diamond", "make_d", "", 4.0),
        StepEnded("diamond", "make_d", "", run.outcomes[D], 4.0),
        FlowEnded("diamond", False, 4.0),
    ]
    assert stream.value == B()


@virtual
async def test_readers_are_handed_all_of_one_pass_of_the_loop_at_once() -> None:
    reader = Reader()
    await DIAMOND.run(observers=[reader])
    assert reader.batches == [
        (0.0, ["FlowStarted", "StepStarted make_a"]),
        (1.0, ["StepEnded make_a", "StepStarted make_b", "StreamOpened make_b", "StepStarted make_c"]),
        (3.0, ["StepEnded make_b"]),
        (4.0, ["StepEnded make_c", "StepStarted make_d", "StepEnded make_d"]),
        (4.0, ["FlowEnded"]),
    ]


@virtual
async def test_a_reader_of_batches_and_one_of_events_read_the_same() -> None:
    batches: list[Any] = []

    class Collecting:
        read = staticmethod(batches.extend)

        def __call__(self, event: object) -> None: ...

    watcher = Watcher()
    run = await DIAMOND.run(observers=[Collecting(), watcher])
    assert batches == watcher.events == run.log.events
    assert all(one is other for one, other in zip(batches, watcher.events, strict=True))


@virtual
async def test_no_reader_is_called_from_within_a_step() -> None:
    """What it does there, or how long it takes, would be the step's."""
    callers: list[str | None] = []

    def observer(event: object) -> None:
        task = asyncio.current_task()
        callers.append(None if task is None else task.get_name())

    me = asyncio.current_task()
    assert me is not None
    await DIAMOND.run(observers=[observer])
    assert callers == [None] * 10 + [me.get_name()]  # the last is read as the run ends


@virtual
async def test_readers_have_the_context_of_the_runs_caller_and_not_a_steps() -> None:
    var = ContextVar("var", default="unset")
    seen: set[str] = set()

    async def one() -> A:
        var.set("one")
        return A()

    async def two(a: A) -> B:
        var.set("two")
        await asyncio.sleep(1)
        return B()

    async def late(b: B) -> C:
        await deaf(5)
        return C()

    async def answer() -> None:
        await asyncio.sleep(1)

    async def hedges() -> D:
        var.set("hedges")
        await either(answer, answer, Hedge(after=0.5))()
        return D()

    var.set("caller")
    flow = Flow("f", step(one), step(two), step(late).under(Policy(within=1)), step(hedges).hedging(hedges))
    await flow.run(observers=[lambda event: seen.add(f"{type(event).__name__} {var.get()}")])
    await asyncio.sleep(10)
    assert seen == {
        "FlowStarted caller",
        "StepStarted caller",
        "StepEnded caller",
        "FlowEnded caller",
        "Hedged caller",
        "LateResult caller",
    }


@virtual
async def test_readers_have_what_happened_while_steps_still_run() -> None:
    """Whatever ends a step: its own work, a limit, a stop, an abandonment, or that it never could begin."""
    watcher = Watcher()

    async def breaks(a: A) -> C:
        raise ValueError

    async def is_deaf(a: A) -> D:
        await deaf(50)
        return D()

    async def without(c: C) -> E:
        return E()

    lasting = step(make_b).under(Policy(within=1.0))
    flow = Flow("f", step(make_a), lasting, step(breaks), step(is_deaf).under(Policy(within=0.5)), step(without))
    task = asyncio.ensure_future(flow.run(observers=[watcher]))
    for at, ended in (
        (1.1, {"make_a", "breaks", "without"}),
        (1.6, {"make_a", "breaks", "without", "is_deaf"}),
        (2.1, {"make_a", "breaks", "without", "is_deaf", "make_b"}),
    ):
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        assert {event.step for event in watcher.of(StepEnded)} == ended
    await task


@virtual
async def test_when_the_run_is_over_all_has_been_read() -> None:
    watcher = Watcher()
    run = await DIAMOND.run(observers=[watcher])
    assert watcher.events == run.log.events and isinstance(watcher.events[-1], FlowEnded)


@virtual
async def test_when_the_run_is_cancelled_all_has_been_read_before_its_caller_goes_on() -> None:
    watcher = Watcher()
    task = asyncio.ensure_future(DIAMOND.run(observers=[watcher]))
    task.add_done_callback(lambda _: ended.append(len(watcher.events)))
    ended: list[int] = []
    await asyncio.sleep(1.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [len(watcher.events)]
    assert watcher.events[-1] == FlowEnded("diamond", True, 1.5)
    assert {event.step for event in watcher.of(StepEnded)} == {"make_a", "make_b", "make_c", "make_d"}


@virtual
async def test_a_late_result_is_read_though_the_run_is_over() -> None:
    async def late() -> A:
        await deaf(5.0)
        return A("late")

    watcher = Watcher()
    await Flow("f", step(late).under(Policy(within=1.0))).run(observers=[watcher])
    assert not watcher.of(LateResult)
    await asyncio.sleep(10)
    assert watcher.of(LateResult) == [LateResult("f", "late", 5.0)]


# -- readers that break
@virtual
async def test_a_reader_that_raises_takes_nothing_from_the_others_and_is_counted() -> None:
    class Broken:
        """Breaks on every batch."""

        def __call__(self, event: object) -> None: ...

        def read(self, events: Sequence[object]) -> None:
            raise asyncio.CancelledError

    class Picky:
        """Breaks on one event of many."""

        def __init__(self) -> None:
            self.others: list[object] = []

        def __call__(self, event: object) -> None:
            if isinstance(event, FlowStarted):
                raise ValueError("not that one")
            self.others.append(event)

    before, batches, picky, watcher = dict(broken_observers), Reader(), Picky(), Watcher()
    run = await DIAMOND.run(observers=[Broken(), picky, batches, watcher])
    assert run[D] and run.degraded == {}
    assert picky.others == run.log.events[1:] and watcher.events == run.log.events
    assert broken_observers["Picky"] - before.get("Picky", 0) == 1
    assert broken_observers["Broken"] - before.get("Broken", 0) == len(batches.batches) == 5


@virtual
async def test_a_reader_may_ask_the_end_of_the_process() -> None:
    def exits(event: object) -> None:
        raise SystemExit

    log = Log([exits])
    log.add(FlowStarted, "f", 0.0)
    with pytest.raises(SystemExit):
        log.flush()


# -- a log by itself
def test_events_are_made_once_when_they_are_read() -> None:
    log = Log()
    assert not log.wants_flush and list(log.events) == []
    log.add(FlowStarted, "f", 1.0)
    (first,) = log.events
    assert first == FlowStarted("f", 1.0)
    log.add(FlowEnded, "f", False, 2.0)
    assert log.events[0] is first and list(log.events) == [first, FlowEnded("f", False, 2.0)]


def test_a_flush_hands_over_what_is_new_and_only_that() -> None:
    read: list[list[object]] = []

    class Reading:
        def __call__(self, event: object) -> None: ...

        def read(self, events: Sequence[object]) -> None:
            read.append(list(events))
            if len(read) == 1:
                log.add(FlowEnded, "f", False, 2.0)  # of its own, while it reads

    log = Log([Reading()])
    assert log.wants_flush
    log.flush()
    log.add(FlowStarted, "f", 1.0)
    log.flush()
    both = [[FlowStarted("f", 1.0)], [FlowEnded("f", False, 2.0)]]
    assert read == both
    log.flush()
    assert read == both


# -- a run that continues a longer one
@virtual
async def test_a_run_may_continue_a_longer_one_with_its_log_and_its_time() -> None:
    watcher = Watcher()
    log, loop = Log([watcher]), asyncio.get_running_loop()
    log.add(FlowStarted, "whole", loop.time())
    first = await Flow("one", step(make_a)).run(log=log)
    await asyncio.sleep(3)  # something else, which the longer run waits for
    second = await Flow("two", step(make_c)).run(first[A], within=10, log=log, since=4.0)
    assert (second.outcomes[C].began, second.outcomes[C].ended, second.outcomes[C].seconds) == (4.0, 7.0, 3.0)
    assert (first.seconds, second.seconds) == (1.0, 7.0) and first.log is second.log is log
    assert [(type(event), getattr(event, "step", None)) for event in watcher.events] == [
        (FlowStarted, None),
        (StepStarted, "make_a"),
        (StepEnded, "make_a"),
        (StepStarted, "make_c"),
        (StepEnded, "make_c"),
    ]  # its owner says where it begins and ends
    log.add(FlowEnded, "whole", False, loop.time())
    log.flush()
    assert watcher.of(FlowEnded) == [FlowEnded("whole", False, 7.0)]


@virtual
async def test_the_limit_of_a_run_that_continues_another_is_its_own() -> None:
    run = await Flow("two", step(make_c)).run(A(), within=2.0, log=Log(), since=4.0)
    assert run.degraded == {"make_c": "timeout"} and run.outcomes[C].ended == run.seconds == 6.0


@virtual
async def test_what_was_known_stands_at_no_time_and_what_never_ran_at_the_time_of_the_longer_run() -> None:
    run = await Flow("two", step(make_c), step(make_d)).run(A(), B(), within=0, log=Log(), since=4.0)
    assert (run.outcomes[C].began, run.outcomes[C].ended, run.outcomes[D].ended) == (4.0, 4.0, 4.0)


@virtual
async def test_a_run_that_is_given_a_log_has_no_observers_of_its_own() -> None:
    with pytest.raises(FlowError, match="'diamond' continues a longer run, whose log has its own observers"):
        await DIAMOND.run(log=Log(), observers=[Watcher()])
