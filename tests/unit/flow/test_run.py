"""What a run makes, and what becomes of a step that cannot make its own."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math

import pytest

from vital_engine.errors import FlowError, StepAbandoned, StepFailed, WrongType
from vital_engine.flow import (
    SEQUENTIAL,
    TIERS,
    Degraded,
    Done,
    Failed,
    Flow,
    FlowEnded,
    LateResult,
    Policy,
    Shape,
    Skipped,
    StepEnded,
    StepStarted,
    Stream,
    StreamOpened,
    broken_observers,
    reason_of,
    speedup,
    step,
)

from .things import A, B, C, D, Watcher, deaf, virtual


async def make_a() -> A:
    await asyncio.sleep(1)
    return A()


async def make_b(a: A) -> B:
    await asyncio.sleep(2)
    return B(a.made + "b")


async def make_c(a: A) -> C:
    await asyncio.sleep(3)
    return C(a.made + "c")


async def make_d(b: B, c: C) -> D:
    await asyncio.sleep(1)
    return D(b.made + c.made)


async def broken(a: A) -> B:
    await asyncio.sleep(0.5)
    raise ValueError("no b today")


DIAMOND = Flow("diamond", step(make_a), step(make_b), step(make_c), step(make_d))


@virtual
async def test_steps_overlap_and_the_times_are_measured() -> None:
    run = await DIAMOND.run()
    assert run[D] == D("abac")
    assert run.seconds == 5.0 and run.overlap == 1.4
    assert run.critical_path == ("make_a", "make_c", "make_d")
    assert run.outcomes[B] == Done(B("ab"), seconds=2.0, began=1.0, ended=3.0)
    assert list(run.steps) == ["make_a", "make_b", "make_c", "make_d"] and run.degraded == {}


@virtual
async def test_one_after_another_gives_the_same_and_takes_the_sum() -> None:
    run = await DIAMOND.sequential().run()
    assert run[D] == D("abac") and run.seconds == 7.0 and run.overlap == 1.0
    assert run.critical_path == ("make_a", "make_b", "make_c", "make_d")


@virtual
async def test_nothing_takes_no_time() -> None:
    run = await Flow("empty").run()
    assert run.seconds == 0 and run.overlap is None and run.critical_path == () and speedup([], 0.0) is None


# -- what is known
@virtual
async def test_what_is_given_is_not_made_again() -> None:
    run = await DIAMOND.run(B("known"))
    assert run[D] == D("knownac")
    assert run.outcomes[B] == Skipped("known", B("known"), known=True) and run.degraded == {}


@virtual
async def test_a_known_step_is_not_started_by_a_known_need() -> None:
    run = await DIAMOND.run(A("x"), B("y"))
    assert run[D] == D("yxc") and isinstance(run.outcomes[B], Skipped) and run.seconds == 4.0


@virtual
async def test_what_is_known_stays_known_when_what_it_needs_cannot_be_made() -> None:
    watcher = Watcher()
    run = await Flow("f", step(make_a), step(broken), step(make_c), step(make_d)).run(
        A("x"), D("y"), within=0, observers=[watcher]
    )
    assert run.outcomes[D] == Skipped("known", D("y"), known=True)
    assert [event.step for event in watcher.of(StepEnded)].count("make_d") == 1
    assert run.degraded == {"broken": "timeout", "make_c": "timeout"}


@virtual
async def test_what_is_known_lets_nobody_jump_the_queue() -> None:
    watcher = Watcher()
    flow = Flow("f", step(only_d), step(make_a), step(make_b), shape=SEQUENTIAL)
    await flow.run(A("known"), observers=[watcher])
    assert [event.step for event in watcher.of(StepStarted)] == ["only_d", "make_b"]


@virtual
async def test_what_only_known_steps_need_must_not_be_given() -> None:
    run = await Flow("f", step(make_b), step(broken_c)).run(B("known"))
    assert run[B] == B("known")


async def broken_c(b: B) -> C:
    raise ValueError("no c")


@virtual
async def test_given_things_are_checked() -> None:
    flow = Flow("f", step(make_b))
    with pytest.raises(FlowError, match="'make_b' needs a A, which no step makes and the run was not given"):
        await flow.run()
    with pytest.raises(FlowError, match="'f' was given two of A"):
        await flow.run(A(), A())
    with pytest.raises(FlowError, match="'f' was given None"):
        await flow.run(None)
    with pytest.raises(FlowError, match="a stream that has not ended"):
        await flow.run(Stream[A]())
    with pytest.raises(FlowError, match="a limit that is not a number"):
        await flow.run(A(), within=math.nan)
    run = await flow.run(A(), within=math.inf)
    assert run[A] == A()
    with pytest.raises(FlowError, match="'f' has no step that makes D"):
        run[D]


@virtual
async def test_one_thing_can_be_needed_twice() -> None:
    async def pair(one: A, two: A) -> B:
        return B(one.made + two.made)

    run = await Flow("f", step(make_a), step(pair)).run()
    assert run[B] == B("aa")


# -- failure is a value
@virtual
async def test_a_failure_costs_only_what_needs_it() -> None:
    run = await Flow("f", step(make_a), step(broken), step(make_c), step(make_d)).run()
    assert run[C] == C("ac")
    assert isinstance(run.outcomes[B], Failed) and run.outcomes[B].reason == "error"
    assert isinstance(run.outcomes[D], Skipped) and not run.outcomes[D].known and "'broken'" in run.outcomes[D].because
    assert run.degraded == {"broken": "error", "make_d": "skipped"}
    with pytest.raises(StepFailed, match="no B: ValueError") as caught:
        run[B]
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(StepFailed, match="no D: 'broken', which it needs, made nothing"):
        run[D]
    assert run.seconds == 4.0 and run.critical_path == ("make_a", "make_c")


@virtual
async def test_a_stand_in_is_handed_on_and_named() -> None:
    run = await Flow("f", step(make_a), step(broken).fallback(B("none")), step(make_c), step(make_d)).run()
    assert run[D] == D("noneac") and run[B] == B("none")
    outcome = run.outcomes[B]
    assert isinstance(outcome, Degraded) and (outcome.reason, outcome.seconds) == ("error", 0.5)
    assert run.degraded == {"broken": "error"}


@virtual
async def test_a_step_that_cannot_run_has_its_stand_in_too() -> None:
    run = await Flow("f", step(make_a), step(broken), step(make_c), step(make_d).fallback(D("none"))).run()
    outcome = run.outcomes[D]
    assert isinstance(outcome, Degraded) and outcome.reason == "skipped" and run[D] == D("none")
    assert (outcome.seconds, outcome.began, outcome.ended) == (0.0, 1.5, 1.5)


@virtual
async def test_a_wrong_type_is_named_and_not_handed_on() -> None:
    async def liar(a: A) -> B:
        return C()  # type: ignore[return-value]

    run = await Flow("f", step(liar)).run(A())
    outcome = run.outcomes[B]
    assert isinstance(outcome, Failed) and outcome.reason == "wrong_type" and isinstance(outcome.error, WrongType)
    assert str(outcome.error) == "'liar' gave a C, not a B"


@virtual
async def test_a_step_that_is_not_async_fails_alone() -> None:
    def plain(a: A) -> B:
        return B()

    run = await Flow("f", step(plain), step(make_c)).run(A())  # type: ignore[arg-type]
    assert run.degraded == {"plain": "error"} and run[C]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (asyncio.CancelledError(), "cancelled"),
        (WrongType(), "wrong_type"),
        (StepAbandoned(), "abandoned"),
        (BaseException(), "error"),
        (GeneratorExit(), "error"),
        (StopAsyncIteration(), "error"),
        (StopIteration(), "error"),
    ],
)
def test_every_error_has_a_reason_and_costs_only_its_step(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason

    @virtual
    async def scenario() -> None:
        async def raising(a: A) -> B:
            raise error

        run = await Flow("f", step(raising), step(make_c)).run(A())
        assert run.degraded == {"raising": reason} and run[C] == C("ac")

    scenario()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_nobodys_outcome(error: type[BaseException]) -> None:
    async def scenario() -> None:
        async def exiting(a: A) -> B:
            raise error

        await Flow("f", step(exiting), step(make_c)).run(A())

    with pytest.raises(error):
        virtual(scenario)()


# -- constraints
@virtual
async def test_barriers_hold_a_tier_until_all_before_it_have_ended() -> None:
    async def first() -> A:
        await asyncio.sleep(1)
        return A()

    async def second() -> B:
        return B()

    async def third() -> C:
        return C()

    steps = [step(w).under(Policy(tier=t)) for w, t in ((first, "1"), (second, "2"), (third, "3"))]
    run = await Flow("f", *steps, shape=TIERS).run()
    assert [run.steps[name].began for name in ("first", "second", "third")] == [0.0, 1.0, 1.0]
    known = await Flow("f", *steps, shape=TIERS).run(
        B()
    )  # the second tier has nothing to do, and still holds the third
    assert known.steps["third"].began == 1.0


@virtual
async def test_seats_are_taken_in_the_order_in_which_steps_stand() -> None:
    async def one() -> B:
        await asyncio.sleep(1)
        return B()

    async def two() -> C:
        await asyncio.sleep(1)
        return C()

    async def three(a: A) -> D:
        return D()

    watcher = Watcher()
    flow = Flow("f", step(make_a), step(one), step(three), step(two), shape=SEQUENTIAL)
    await flow.run(observers=[watcher])
    assert [event.step for event in watcher.of(StepStarted)] == ["make_a", "one", "three", "two"]


@virtual
async def test_of_those_that_one_step_lets_go_the_first_to_stand_is_seated_first() -> None:
    watcher = Watcher()
    first, held = step(make_a).under(Policy(tier="1")), step(only_d).under(Policy(tier="2"))
    await Flow("f", first, held, step(make_b), shape=Shape(width=1, barriers=True)).run(observers=[watcher])
    assert [event.step for event in watcher.of(StepStarted)] == ["make_a", "only_d", "make_b"]


@virtual
async def test_lanes_limit_one_tier_and_leave_the_others_alone() -> None:
    def lane(n: int, tier: str, kind: type) -> object:
        async def work() -> A:
            await asyncio.sleep(1)
            return kind()

        work.__annotations__["return"] = kind
        return step(work).named(f"s{n}").under(Policy(tier=tier))

    kinds = [type(f"K{n}", (), {}) for n in range(4)]
    steps = [lane(n, "slow" if n < 3 else "fast", kind) for n, kind in enumerate(kinds)]
    run = await Flow("f", *steps, shape=Shape(lanes={"slow": 1})).run()  # type: ignore[arg-type]
    assert [run.steps[f"s{n}"].began for n in range(4)] == [0.0, 1.0, 2.0, 0.0]
    assert run.critical_path == ("s0", "s1", "s2")


@virtual
async def test_a_step_that_is_lost_while_it_waits_for_a_seat_gives_its_place_up() -> None:
    """Its stream breaks before it gets a seat: it is skipped, as it would be had it begun to read."""

    async def breaks(out: Stream[A]) -> A:
        out.push(1)
        raise ValueError

    async def reads(a: Stream[A]) -> B:
        return B("".join([str(item) async for item in a]))

    flow = Flow("f", step(breaks), step(reads), step(only_d))
    for shape in (SEQUENTIAL, Shape(), Shape(width=2)):
        run = await flow.under(shape).run()
        assert isinstance(run.outcomes[B], Skipped) and run[D]


async def only_d() -> D:
    return D()


def test_a_long_chain_neither_recurses_nor_is_slow() -> None:
    kinds = [type(f"K{n}", (), {}) for n in range(1500)]

    def link(n: int) -> object:
        async def work(**inputs: object) -> object:
            if n == 1:
                raise ValueError
            return kinds[n]()

        work.__annotations__ = {"before": kinds[n - 1], "return": kinds[n]}
        parameter = inspect.Parameter("before", inspect.Parameter.KEYWORD_ONLY)
        work.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
        return step(work).named(f"s{n}")

    flow = Flow("chain", *(link(n) for n in range(1, 1500)))  # type: ignore[arg-type]

    @virtual
    async def scenario() -> None:
        run = await flow.run(kinds[0]())
        assert len(run.degraded) == 1499
        late = await flow.run(kinds[0](), within=0)
        assert set(late.degraded.values()) == {"timeout", "skipped"}

    scenario()


# -- watching
@virtual
async def test_observers_are_told_and_cannot_break_anything() -> None:
    def angry(event: object) -> None:
        raise ValueError("an observer")

    class Cancelling:
        def __call__(self, event: object) -> None:
            raise asyncio.CancelledError

    watcher, before = Watcher(), dict(broken_observers)
    run = await DIAMOND.run(observers=[angry, Cancelling(), watcher])
    assert run[D] and run.log.events == watcher.events and watcher.of(FlowEnded)
    assert next((e.step, e.tier, e.at) for e in watcher.of(StepEnded)) == ("make_a", "", 1.0)
    counted = len(watcher.events)
    name = "test_observers_are_told_and_cannot_break_anything.<locals>.angry"
    assert broken_observers[name] - before.get(name, 0) == counted
    assert broken_observers["Cancelling"] - before.get("Cancelling", 0) == counted


@virtual
async def test_an_observer_may_read_the_stream_that_it_is_told_of() -> None:
    async def streams(out: Stream[A]) -> A:
        for word in ("a", "b"):
            out.push(word)
        return A("ab")

    lives: list[Stream[A]] = []
    await Flow("f", step(streams)).run(
        observers=[lambda event: lives.append(event.stream) if isinstance(event, StreamOpened) else None]
    )
    assert [item async for item in lives[0]] == ["a", "b"] and lives[0].value == A("ab")


@virtual
async def test_a_late_result_is_told_and_thrown_away() -> None:
    async def late() -> A:
        await deaf(5.0)
        return A("late")

    watcher = Watcher()
    flow = Flow("f", step(late).fallback(A("none")).under(Policy(within=1.0)))
    run = await flow.run(observers=[watcher])
    await asyncio.sleep(10)
    assert run[A] == A("none") and run.seconds == 1.05
    assert [(e.step, e.at) for e in watcher.of(LateResult)] == [("late", 5.0)]


@virtual
async def test_a_step_has_its_callers_context_and_keeps_its_changes_to_itself() -> None:
    var = contextvars.ContextVar("var", default="unset")
    seen = []

    async def one() -> A:
        seen.append(var.get())
        var.set("changed")
        return A()

    async def two(a: A) -> B:
        seen.append(var.get())
        return B()

    var.set("caller")
    await Flow("f", step(one), step(two)).run()
    assert seen == ["caller", "caller"] and var.get() == "caller"


def test_the_measure_of_overlap_is_of_what_was_measured() -> None:
    assert speedup([1.0, 2.0, 3.0], 3.0) == 2.0 and speedup([1.0], 0.0) is None
    assert math.isclose(speedup([0.1] * 10, 1.0) or 0, 1.0)
