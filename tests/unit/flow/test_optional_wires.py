"""A parameter with a default is an optional wire: given if a step makes its type, and never waited for in vain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vital_engine.errors import FlowError
from vital_engine.flow import (
    DATAFLOW,
    SEQUENTIAL,
    Done,
    Flow,
    Hedge,
    Policy,
    Run,
    Skipped,
    Step,
    StepStarted,
    Stream,
    step,
)

from .things import A, B, C, D, virtual


async def make_a() -> A:
    await asyncio.sleep(1)
    return A()


async def make_b() -> B:
    await asyncio.sleep(2)
    return B()


async def broken() -> B:
    await asyncio.sleep(2)
    raise ValueError("no b today")


async def needs_d(d: D) -> B:
    return B()


async def no_d() -> D:
    raise ValueError("no d today")


async def with_b(a: A, b: B | None = None) -> C:
    return C(a.made + ("-" if b is None else b.made))


async def with_a_default(a: A, b: B = B("default")) -> C:
    return C(a.made + b.made)


async def without_b(a: A) -> C:
    return C(a.made + "-")


def began(run: Run) -> float:
    return run.outcomes[C].began


def happened(run: Run) -> list[Any]:
    """What is in its log, with times from its beginning."""
    return [event._replace(at=event.at - run.log.events[0].at) for event in run.log.events]


@virtual
async def test_it_is_given_if_a_step_makes_it_and_waits_for_that() -> None:
    run = await Flow("f", step(make_a), step(make_b), step(with_b)).run()
    assert run[C] == C("ab") and began(run) == 2.0 and run.critical_path == ("make_b", "with_b")


@virtual
async def test_without_a_maker_the_default_is_kept_and_it_costs_nothing() -> None:
    run = await Flow("f", step(make_a), step(with_b), given=()).run()  # it is no unmet need
    assert run[C] == C("a-") and began(run) == 1.0
    same = await Flow("f", step(make_a), step(without_b).named("with_b")).run()
    assert run.plan.waits == same.plan.waits
    assert happened(run) == happened(same)
    assert (await Flow("f", step(with_a_default)).run(A()))[C] == C("adefault")


@pytest.mark.parametrize(
    ("made", "at", "why"),
    [
        ([step(broken)], 2.0, {"broken": "error"}),
        ([step(broken).under(Policy(within=1.5))], 1.5, {"broken": "timeout"}),
        ([step(no_d), step(needs_d)], 1.0, {"no_d": "error", "needs_d": "skipped"}),
    ],
    ids=["broke", "late", "skipped"],
)
@virtual
async def test_if_its_maker_made_nothing_the_default_is_kept(
    made: list[Step[Any]], at: float, why: dict[str, str]
) -> None:
    for work in (with_b, with_a_default):
        run = await Flow("f", step(make_a), *made, step(work)).run()
        assert isinstance(run.outcomes[C], Done) and began(run) == at and run.degraded == why
        assert run[C] == C("a-" if work is with_b else "adefault")
    sequential = await Flow("f", step(make_a), *made, step(with_b)).sequential().run()
    assert sequential[C] == C("a-")


@virtual
async def test_a_fallback_is_a_value_like_any_other() -> None:
    run = await Flow("f", step(make_a), step(broken).fallback(B("none")), step(with_b)).run()
    assert run[C] == C("anone")


@virtual
async def test_a_run_may_be_given_it_with_a_maker_or_without() -> None:
    for flow in (Flow("f", step(with_b)), Flow("f", step(make_b), step(with_b))):
        run = await flow.run(A(), B("given"))
        assert run[C] == C("agiven") and run.seconds == 0.0


@virtual
async def test_one_that_needs_the_same_thing_twice_needs_it() -> None:
    async def both(one: B, two: B | None = None) -> C:
        return C(one.made + ("-" if two is None else two.made))

    async def along(b: Stream[B], whole: B | None = None) -> C:
        return C(str(whole))

    run = await Flow("f", step(make_b), step(both)).run()
    assert run[C] == C("bb")
    run = await Flow("f", step(broken), step(both)).run()
    assert isinstance(run.outcomes[C], Skipped) and run.degraded == {"broken": "error", "both": "skipped"}
    run = await Flow("f", step(breaks_off), step(along)).run()
    assert isinstance(run.outcomes[C], Skipped)


def test_a_circle_through_an_optional_wire_is_a_circle() -> None:
    async def needs_c(c: C) -> B:
        return B()

    with pytest.raises(FlowError, match="circle"):
        Flow("f", step(with_b), step(needs_c))


def test_a_second_call_has_the_same_optional_wires() -> None:
    async def must_have(a: A, b: B) -> C:
        return C()

    with pytest.raises(FlowError, match="its optional differ"):
        step(with_b).hedged(must_have, Hedge())


# -- streams
async def streams_b(out: Stream[B]) -> B:
    for word in "xy":
        await asyncio.sleep(1)
        out.push(word)
    return B("xy")


async def breaks_off(out: Stream[B]) -> B:
    out.push("x")
    await asyncio.sleep(1)
    raise ValueError("broke off")


async def streams_of_d(d: D, out: Stream[B]) -> B:
    return B()


async def reads_b(b: Stream[B] | None = None) -> C:
    if b is None:
        return C("nothing to read")
    items = [str(item) async for item in b]
    return C("".join(items) if b.error is None else f"{''.join(items)}, then {b.error}")


@virtual
async def test_an_optional_stream_is_read_along_if_a_step_makes_it() -> None:
    run = await Flow("f", step(streams_b), step(reads_b)).run()
    assert run[C] == C("xy") and (began(run), run.outcomes[C].seconds) == (0.0, 0.0)
    assert [event.step for event in run.log.events if isinstance(event, StepStarted)] == ["streams_b", "reads_b"]


@virtual
async def test_an_optional_stream_that_breaks_off_is_read_to_its_end_and_costs_only_its_maker() -> None:
    flow = Flow("f", step(breaks_off), step(reads_b))
    for shape in (flow, flow.sequential()):
        run = await shape.run()
        assert run[C] == C("x, then broke off") and run.degraded == {"breaks_off": "error"}


@virtual
async def test_the_time_of_one_that_reads_an_optional_stream_counts_from_its_end() -> None:
    async def slow(b: Stream[B] | None = None) -> C:
        assert b is not None
        await b.result()
        await asyncio.sleep(5)
        return C()

    for maker in (streams_b, breaks_off):
        run = await Flow("f", step(maker), step(slow).under(Policy(within=0.5))).run()
        assert run.degraded["slow"] == "timeout" and run.outcomes[C].ended == run.outcomes[B].ended + 0.5


@virtual
async def test_a_stream_that_no_step_opens_keeps_the_default() -> None:
    assert (await Flow("f", step(reads_b), given=()).run())[C] == C("nothing to read")
    for shape in (DATAFLOW, SEQUENTIAL):
        flow = Flow("f", step(no_d), step(streams_of_d), step(reads_b), shape=shape)
        assert (await flow.run())[C] == C("nothing to read")


@virtual
async def test_an_optional_stream_may_be_given_as_a_value_and_as_a_stream() -> None:
    for flow in (Flow("f", step(reads_b)), Flow("f", step(streams_b), step(reads_b))):
        assert (await flow.run(B("whole")))[C] == C("")
        assert (await flow.run(Stream.closed(B("12"), [1, 2])))[C] == C("12")
