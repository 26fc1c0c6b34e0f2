"""Limits hold: against steps that hang, that are deaf, that block a thread, and that hold the loop itself."""

from __future__ import annotations

import asyncio
import threading
import time

from vital_engine.errors import StepAbandoned, StepFailed
from vital_engine.flow import (
    SEQUENTIAL,
    Degraded,
    Done,
    Failed,
    Flow,
    Policy,
    Skipped,
    Stream,
    VirtualLoop,
    abandoned,
    call,
    step,
)

from .things import A, B, C, D, deaf, hang, virtual


async def hangs() -> A:
    await hang()
    return A()


async def is_deaf() -> A:
    await deaf()
    return A()


async def quick() -> B:
    await asyncio.sleep(0.5)
    return B()


async def needs_both(a: A, b: B) -> C:
    return C()


@virtual
async def test_a_hung_step_loses_only_itself() -> None:
    run = await Flow(
        "f", step(hangs).fallback(A("none")).under(Policy(within=2.0)), step(quick), step(needs_both)
    ).run()
    outcome = run.outcomes[A]
    assert isinstance(outcome, Degraded) and outcome.reason == "timeout" and outcome.seconds == 2.0
    assert isinstance(outcome.error, TimeoutError) and str(outcome.error) == "'hangs' was cut off after 2 s"
    assert run[C] and run.seconds == 2.0


@virtual
async def test_a_deaf_step_is_left_behind_after_its_grace() -> None:
    before = len(abandoned)
    run = await Flow("f", step(is_deaf).under(Policy(within=2.0, grace=0.25)), step(quick)).run()
    outcome = run.outcomes[A]
    assert isinstance(outcome, Failed) and isinstance(outcome.error, StepAbandoned)
    assert (outcome.reason, outcome.seconds, run.seconds) == ("abandoned", 2.25, 2.25)
    assert len(abandoned) == before + 1
    await asyncio.sleep(2000)
    assert len(abandoned) == before


@virtual
async def test_the_deadline_of_the_run_cuts_what_runs_and_starts_nothing_more() -> None:
    run = await Flow("f", step(hangs).fallback(A("none")), step(quick), step(needs_both).fallback(C("none"))).run(
        within=1
    )
    assert run.degraded == {"hangs": "timeout", "needs_both": "timeout"} and run.seconds == 1.0
    assert isinstance(run.outcomes[B], Done) and run[C] == C("none")
    assert "over before the step could start" in str(run.steps["needs_both"].error)


@virtual
async def test_a_run_without_any_time_starts_nothing() -> None:
    for within in (0.0, -1.0):
        run = await Flow("f", step(hangs), step(quick)).run(within=within)
        assert run.degraded == {"hangs": "timeout", "quick": "timeout"} and run.seconds == 0.0


@virtual
async def test_steps_without_a_seat_are_not_started_after_the_deadline() -> None:
    run = await Flow("f", step(hangs), step(quick), shape=SEQUENTIAL).run(within=1.0)
    assert run.degraded == {"hangs": "timeout", "quick": "timeout"}
    assert run.steps["quick"].seconds == 0.0 and run.seconds == 1.0


@virtual
async def test_a_step_that_swallows_its_cancellation_and_returns_is_still_late() -> None:
    async def late() -> A:
        try:
            await hang()
        except asyncio.CancelledError:
            pass
        return A()

    run = await Flow("f", step(late).under(Policy(within=1.0))).run()
    assert run.degraded == {"late": "timeout"} and isinstance(run.steps["late"].error, TimeoutError)


@virtual
async def test_what_breaks_while_it_unwinds_keeps_its_error_and_the_reason() -> None:
    async def breaks() -> A:
        try:
            await hang()
        finally:
            raise ValueError("while it unwound")

    run = await Flow("f", step(breaks).under(Policy(within=1.0))).run()
    assert run.degraded == {"breaks": "timeout"} and isinstance(run.steps["breaks"].error, ValueError)


@virtual
async def test_a_step_that_held_the_loop_is_late_though_no_timer_could_cut_it() -> None:
    async def holds() -> A:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.advance(3.0)
        return A()

    own = await Flow("f", step(holds).under(Policy(within=1.0))).run()
    assert own.degraded == {"holds": "timeout"} and own.seconds == 3.0
    assert "held up the loop" in str(own.steps["holds"].error)
    runs = await Flow("f", step(holds)).run(within=1.0)
    assert runs.degraded == {"holds": "timeout"}
    within = await Flow("f", step(holds).under(Policy(within=3.0))).run(within=3.0)
    assert within.degraded == {}


# -- threads, in real time
async def test_a_limit_fires_while_a_step_blocks_a_thread_and_its_siblings_go_on() -> None:
    release = threading.Event()

    def wait_in_a_thread() -> A:
        release.wait(60)
        return A()

    async def blocks() -> A:
        return await call(wait_in_a_thread)  # type: ignore[arg-type]

    async def sibling() -> B:
        await asyncio.sleep(0.02)
        return B()

    began = time.perf_counter()
    run = await Flow("f", step(blocks).under(Policy(within=0.1)), step(sibling)).run()
    took = time.perf_counter() - began
    release.set()
    assert run.degraded == {"blocks": "timeout"} and run[B]
    assert 0.1 <= took < 30.0


# -- streams
async def source(out: Stream[A]) -> A:
    for i in range(4):
        await asyncio.sleep(1)
        out.push(i)
    return A("whole")


@virtual
async def test_the_time_of_a_reader_counts_from_the_end_of_the_stream() -> None:
    async def reads(a: Stream[A]) -> B:
        await a.result()
        await asyncio.sleep(0.9)
        return B()

    run = await Flow("f", step(source), step(reads).under(Policy(within=1.0))).run()
    assert run[B] and run.steps["reads"].seconds == 0.9 and run.seconds == 4.9
    slow = await Flow("f", step(source), step(reads).under(Policy(within=0.5))).run()
    assert slow.degraded == {"reads": "timeout"} and slow.seconds == 4.5


@virtual
async def test_a_reader_of_two_streams_has_its_time_from_the_end_of_both_and_waits_once() -> None:
    async def other(out: Stream[B]) -> B:
        await asyncio.sleep(2)
        return B()

    async def reads(a: Stream[A], b: Stream[B]) -> C:
        await asyncio.wait([asyncio.ensure_future(a.result()), asyncio.ensure_future(b.result())])
        await asyncio.sleep(0.5)
        return C()

    run = await Flow("f", step(source), step(other), step(reads).under(Policy(within=1.0))).run()
    assert run[C] and run.steps["reads"].seconds == 0.5


@virtual
async def test_a_broken_stream_takes_its_readers_along_and_says_so() -> None:
    async def breaks(out: Stream[A]) -> A:
        out.push("partial")
        await asyncio.sleep(1)
        raise ValueError

    async def reads(a: Stream[A], out: Stream[B]) -> B:
        async for item in a:
            out.push(item)
        return B()

    async def reads_on(b: Stream[B]) -> C:
        await b.result()
        return C()

    flow = Flow("f", step(breaks), step(reads), step(reads_on).fallback(C("none")))
    for shape in (flow, flow.sequential()):
        run = await shape.run()
        assert run.degraded == {"breaks": "error", "reads": "skipped", "reads_on": "skipped"}
        assert isinstance(run.outcomes[B], Skipped) and run[C] == C("none")
    outcome = (await flow.run()).outcomes[C]
    assert isinstance(outcome, Degraded) and isinstance(outcome.error, StepFailed) and outcome.ended == 1.0


@virtual
async def test_what_was_streamed_can_be_salvaged() -> None:
    async def breaks(out: Stream[A]) -> A:
        for i in range(3):
            await asyncio.sleep(1)
            out.push(str(i))
        raise ValueError("broke off")

    async def reads(a: Stream[A]) -> B:
        seen = [item async for item in a]
        return B(f"{seen} then {a.error}")

    saved = step(breaks).recover(lambda items, error: A("".join(items)))
    run = await Flow("f", saved, step(reads)).run()
    assert run[A] == A("012") and run.degraded == {"breaks": "error"}
    assert run[B] == B("['0', '1', '2'] then broke off")
    cut = await Flow("f", saved).run(within=2.5)
    assert cut[A] == A("01") and cut.degraded == {"breaks": "timeout"}
    early = await Flow("f", saved.fallback(A("none"))).run(within=0.5)
    assert early[A] == A("none")


@virtual
async def test_asides_alone_are_nothing_to_salvage() -> None:
    async def breaks(out: Stream[A]) -> A:
        out.push("progress", metadata=True)
        raise ValueError

    run = await Flow("f", step(breaks).recover(lambda items, error: A())).run()
    assert isinstance(run.outcomes[A], Failed)


@virtual
async def test_a_salvage_that_fails_is_told_in_a_note_and_the_stand_in_is_used() -> None:
    async def breaks(out: Stream[A]) -> A:
        out.push("x")
        raise ValueError

    def angry(items: object, error: BaseException) -> A:
        raise KeyError("salvage")

    def liar(items: object, error: BaseException) -> A:
        return B()  # type: ignore[return-value]

    failed = (await Flow("f", step(breaks).recover(angry).fallback(A("none"))).run()).outcomes[A]
    assert isinstance(failed, Degraded) and failed.value == A("none")
    assert failed.error.__notes__ == ["what 'breaks' had streamed could not be recovered: KeyError('salvage')"]
    lied = (await Flow("f", step(breaks).recover(liar)).run()).outcomes[A]
    assert isinstance(lied, Failed) and lied.error.__notes__ == ["the recovery of 'breaks' gave a B"]


@virtual
async def test_a_stream_that_never_began_is_read_as_its_stand_in() -> None:
    async def needs_d(d: D, out: Stream[A]) -> A:
        return A()

    async def breaks() -> D:
        raise ValueError

    async def reads(a: Stream[A]) -> B:
        assert not [item async for item in a]
        return B(str(a.value))

    run = await Flow("f", step(breaks), step(needs_d).fallback(A("none")), step(reads)).run()
    assert run[B] == B("A(made='none')")


@virtual
async def test_a_given_value_is_a_stream_that_has_ended_and_a_given_stream_keeps_its_items() -> None:
    async def reads(a: Stream[A]) -> B:
        return B(f"{[item async for item in a]} {a.value}")

    flow = Flow("f", step(source), step(reads))
    assert (await flow.run(A("x")))[B] == B("[] A(made='x')")
    assert (await flow.run(Stream.closed(A("x"), [1, 2])))[B] == B("[1, 2] A(made='x')")
    alone = Flow("f", step(reads))
    assert (await alone.run(A("x")))[B] == B("[] A(made='x')")
    assert (await alone.run(Stream.closed(A("x"), [3])))[B] == B("[3] A(made='x')")
