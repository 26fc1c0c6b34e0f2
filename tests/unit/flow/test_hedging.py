"""A call and its copy: who wins, what is heard, what is learned, and what becomes of the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from vital_engine.errors import ConfigError, FlowError
from vital_engine.flow import (
    Degraded,
    Done,
    Failed,
    Flow,
    FlowEnded,
    Hedge,
    Hedged,
    Policy,
    Step,
    Stream,
    StreamOpened,
    abandoned,
    step,
)
from vital_engine.flow.hedging import LATER

from .things import A, B, Watcher, deaf, virtual


def taking(seconds: float, made: str = "first", error: Exception | None = None, log: list[str] | None = None) -> Any:
    async def work() -> A:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if log is not None:
                log.append(f"{made} cancelled at {asyncio.get_running_loop().time():g}")
            raise
        if error is not None:
            raise error
        return A(made)

    return work


def speaking(first: float, each: float, made: str, *, words: int = 3, error: Exception | None = None) -> Any:
    """Says at once that it was called; its first word after *first*, then one every *each* seconds."""

    async def work(out: Stream[A]) -> A:
        out.push(f"{made} called", metadata=True)
        await asyncio.sleep(first)
        for i in range(words):
            out.push(f"{made}{i}")
            await asyncio.sleep(each)
        if error is not None:
            raise error
        return A(made)

    return work


def ready(after: float = 1.0, **more: Any) -> Hedge:
    """A hedge that has a token, and sends its copy *after* seconds."""
    hedge = Hedge(after=after, **more)
    hedge._tokens = 4.0
    return hedge


def hedged(first: Any, copy: Any, hedge: Hedge | None = None, **more: Any) -> Step[A]:
    return step(first).named("work").hedged(copy, hedge or ready(), **more)


def left_behind() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@virtual
async def test_a_call_that_is_not_late_has_no_copy() -> None:
    watcher = Watcher()
    run = await Flow("f", hedged(taking(0.9), taking(0, "copy"))).run(observers=[watcher])
    assert run.outcomes[A] == Done(A("first"), 0.9, 0.0, 0.9) and not watcher.of(Hedged)


@virtual
async def test_of_a_late_call_the_copy_may_answer_first_and_the_call_is_cancelled() -> None:
    watcher, log, hedge = Watcher(), [], ready()
    run = await Flow("f", hedged(taking(10, log=log), taking(0.5, "copy"), hedge)).run(observers=[watcher])
    assert run.outcomes[A] == Done(A("copy"), 1.5, 0.0, 1.5)
    assert watcher.of(Hedged) == [Hedged("f", "work", "sent_won", 1.0, 1.5)] and hedge.copies == 1
    await asyncio.sleep(0)
    assert log == ["first cancelled at 1.5"] and not left_behind() and not abandoned


@virtual
async def test_of_a_late_call_the_first_may_answer_first_and_the_copy_is_cancelled() -> None:
    watcher, log = Watcher(), []
    run = await Flow("f", hedged(taking(1.2), taking(0.5, "copy", log=log))).run(observers=[watcher])
    assert run.outcomes[A] == Done(A("first"), 1.2, 0.0, 1.2)
    assert [e.became for e in watcher.of(Hedged)] == ["sent_lost"]
    await asyncio.sleep(0)
    assert log == ["copy cancelled at 1.2"] and not left_behind()


@virtual
async def test_one_that_fails_does_not_win() -> None:
    late = hedged(taking(1.1, error=ValueError("first")), taking(2, "copy"))
    run = await Flow("f", late).run()
    assert run.outcomes[A] == Done(A("copy"), 3.0, 0.0, 3.0)
    run = await Flow("f", hedged(taking(3), taking(0.1, "copy", ValueError("copy")))).run()
    assert run.outcomes[A] == Done(A("first"), 3.0, 0.0, 3.0)


@virtual
async def test_a_call_that_fails_before_it_is_late_is_not_repeated() -> None:
    hedge, watcher = ready(), Watcher()
    run = await Flow("f", hedged(taking(0.5, error=ValueError("no")), taking(0), hedge)).run(observers=[watcher])
    failed = run.outcomes[A]
    assert isinstance(failed, Failed) and failed.ended == 0.5 and hedge.copies == 0 and not watcher.of(Hedged)


@pytest.mark.parametrize(("first", "copy"), [(1.1, 2.0), (4.0, 0.1)])
@virtual
async def test_if_both_fail_it_is_the_first_ones_error(first: float, copy: float) -> None:
    watcher = Watcher()
    both = hedged(taking(first, error=ValueError("first")), taking(copy, error=KeyError("copy")))
    failed = (await Flow("f", both).run(observers=[watcher])).outcomes[A]
    assert isinstance(failed, Failed) and repr(failed.error) == "ValueError('first')"
    assert failed.ended == max(first, 1 + copy) and [e.became for e in watcher.of(Hedged)] == ["sent_failed"]


# -- what must not be sent
@virtual
async def test_without_a_token_or_beside_a_busy_service_no_copy_is_sent() -> None:
    watcher = Watcher()
    poor, busy = Hedge(after=1.0), ready(busy=lambda: 0.81)
    for hedge in (poor, busy):
        run = await Flow("f", hedged(taking(3), taking(0), hedge)).run(observers=[watcher])
        assert run.seconds == 3.0 and hedge.copies == 0
    assert [(e.became, e.sent_at) for e in watcher.of(Hedged)] == [("no_budget", None), ("busy", None)]
    run = await Flow("f", hedged(taking(3), taking(0), ready(busy=lambda: 0.8))).run()
    assert run.seconds == 1.0


@virtual
async def test_the_last_tokens_are_for_calls_that_are_half_as_late_again() -> None:
    watcher, hedge = Watcher(), Hedge(after=1.0)
    for first, seconds in ((1.4, 1.4), (9, 2.0)):
        hedge._tokens = 3.0
        run = await Flow("f", hedged(taking(first), taking(0.5, "copy"), hedge)).run(observers=[watcher])
        assert run.seconds == seconds
    assert [(e.became, e.sent_at) for e in watcher.of(Hedged)] == [("sent_won", 2.9)] and hedge._helped.count == 0


@virtual
async def test_too_few_calls_say_nothing_and_then_the_quantile_of_those_that_were_seen_decides() -> None:
    hedge = Hedge()
    calls = Flow("f", hedged(taking(1), taking(0), hedge))
    for _ in range(20):
        await calls.run()
        assert hedge.after is None
    await calls.run()
    assert hedge.after == pytest.approx(1, rel=0.05)  # a bucket is 5 % wide


def test_a_hedge_that_makes_no_sense_is_refused() -> None:
    for wrong in ({"late": 0.995}, {"late": 0}, {"budget": -0.1}, {"after": 0}, {"half_life": 0}):
        with pytest.raises(ConfigError):
            Hedge(**wrong)


def test_a_copy_must_need_and_make_the_same() -> None:
    async def other() -> B:
        return B()

    async def needy(b: B) -> A:
        return A(b.made)

    for wrong in (other, needy, speaking(0, 0, "x")):
        with pytest.raises(FlowError, match="is not the same call as 'work'"):
            step(taking(1)).hedged(wrong, Hedge())


# -- streams
def lost(items: Sequence[Any]) -> str:
    return f"lost: {', '.join(items)}"


@pytest.mark.parametrize("winner", ["first", "copy"])
@virtual
async def test_who_says_the_first_word_has_the_stream_and_the_other_is_never_heard(winner: str) -> None:
    watcher = Watcher()
    first = speaking(1.4 if winner == "first" else 9, 0.2, "first")
    flow = Flow("f", hedged(first, speaking(0.5, 0.2, "copy"), lost=lost))
    run = await flow.run(observers=[watcher])
    live = watcher.of(StreamOpened)[0].stream
    said, other = (1.4, "copy") if winner == "first" else (1.5, "first")
    words = [f"{winner}0", f"{winner}1", f"{winner}2"]
    assert list(live.items) == [f"{winner} called", f"lost: {other} called", *words]
    assert live.first_at == said and live.value == A(winner) and run.seconds == pytest.approx(said + 0.6)
    assert watcher.of(Hedged)[0].at == said


@virtual
async def test_a_winner_that_breaks_is_the_steps_failure_and_what_it_said_is_saved() -> None:
    broken = speaking(0.5, 0.1, "copy", error=ValueError("broke"))
    salvaging = hedged(speaking(9, 1, "first"), broken).recover(lambda items, _: A(items[-1]))
    outcome = (await Flow("f", salvaging).run()).outcomes[A]
    assert (
        isinstance(outcome, Degraded) and outcome.value == A("copy2") and repr(outcome.error) == "ValueError('broke')"
    )


@virtual
async def test_one_that_fails_before_its_first_word_is_not_heard_and_the_other_goes_on() -> None:
    async def mute(out: Stream[A]) -> A:
        out.push("mute called", metadata=True)
        await asyncio.sleep(1.2)
        raise ValueError("nothing to say")

    watcher = Watcher()
    run = await Flow("f", hedged(mute, speaking(0.5, 0, "copy", words=1), lost=lost)).run(observers=[watcher])
    assert run[A] == A("copy") and list(watcher.of(StreamOpened)[0].stream.items) == ["copy called", "copy0"]


@pytest.mark.parametrize("winner", ["first", "copy"])
@virtual
async def test_several_words_at_once_are_a_first_word_too(winner: str) -> None:
    def extending(first: float, made: str) -> Any:
        async def work(out: Stream[A]) -> A:
            out.extend([])  # no word
            await asyncio.sleep(first)
            out.extend([f"{made}0", f"{made}1"])
            await asyncio.sleep(1)
            out.extend([f"{made}2"])
            return A(made)

        return work

    first, second = extending(1.4 if winner == "first" else 9, "first"), extending(0.5, "copy")
    run = await Flow("f", hedged(first, second)).run()
    stream = next(event.stream for event in run.log.events if isinstance(event, StreamOpened))
    said = 1.4 if winner == "first" else 1.5
    assert list(stream.items) == [f"{winner}0", f"{winner}1", f"{winner}2"] and stream.first_at == said
    assert run[A] == A(winner) and run.seconds == said + 1


@virtual
async def test_one_that_ends_without_a_word_wins_all_the_same() -> None:
    async def silent(out: Stream[A]) -> A:
        out.push("aside", metadata=True)
        await asyncio.sleep(0.25)
        return A("silent")

    watcher = Watcher()
    run = await Flow("f", hedged(speaking(9, 1, "first"), silent)).run(observers=[watcher])
    assert run[A] == A("silent") and list(watcher.of(StreamOpened)[0].stream.items) == ["aside"]


# -- being cancelled
@virtual
async def test_what_cuts_the_step_cuts_both_and_what_was_said_aside_is_kept() -> None:
    watcher, hedge = Watcher(), ready()
    late = hedged(speaking(9, 1, "first"), speaking(9, 1, "copy"), hedge, lost=lost)
    run = await Flow("f", late.under(Policy(2))).run(observers=[watcher])
    outcome = run.outcomes[A]
    assert isinstance(outcome, Failed) and outcome.reason == "timeout" and outcome.ended == 2.0
    assert list(watcher.of(StreamOpened)[0].stream.items) == ["first called", "lost: copy called"]
    assert [e.became for e in watcher.of(Hedged)] == ["sent_cancelled"]
    assert not left_behind() and not abandoned and hedge._alone.quantile(0.5) == float("inf")


@virtual
async def test_a_caller_that_goes_waits_for_both() -> None:
    log: list[str] = []
    late = hedged(taking(9, log=log), taking(9, "copy", log=log))
    task = asyncio.ensure_future(Flow("f", late).run())
    await asyncio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(log) == {"first cancelled at 3", "copy cancelled at 3"} and not left_behind()


def deafly(made: str) -> Any:
    async def work() -> A:
        await deaf(50)
        return A(made)

    return work


@pytest.mark.parametrize("both", [False, True])
@virtual
async def test_who_is_deaf_to_its_cancellation_is_left_behind(both: bool) -> None:
    flow = Flow("f", hedged(deafly("first") if both else taking(1.5), deafly("copy")).under(Policy(2, grace=0.1)))
    outcome = (await flow.run()).outcomes[A]
    if both:
        assert isinstance(outcome, Failed) and outcome.reason == "abandoned" and outcome.ended == 2.1
    else:
        assert outcome == Done(A("first"), 1.5, 0.0, 1.5)
    await asyncio.sleep(0.2)
    assert len(abandoned) == (2 if both else 1)
    await asyncio.sleep(100)
    assert not abandoned


# -- what is learned
def lognormal(draw: random.Random, median: float, sigma: float) -> float:
    return median * draw.lognormvariate(0, sigma)


def serve(hedge: Hedge, calls: int, *, stalls: float, both: float = 0.0, seed: int = 1) -> list[float]:
    """What *calls* calls took, one after another, without running anything: the state alone, fed as a race would."""
    draw, times = random.Random(seed), []
    for _ in range(calls):
        first, copy = (lognormal(draw, 0.5, 0.5) for _ in range(2))
        stalled = draw.random() < stalls
        first = 10.0 if stalled else first
        copy = 10.0 if draw.random() < (both if stalled else stalls) else copy
        after = hedge.begin()
        sent = None
        if after is not None and first > after and hedge.spend() is None:
            sent = after
        elif after is not None and first > LATER * after and hedge.spend(reserve=True) is None:
            sent = LATER * after
        took = first if sent is None else min(first, sent + copy)
        hedge.took(took, censored=took < first)
        if after is not None and sent == after:
            hedge.with_second(took, after)
        times.append(took)
    return times


def worst(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(len(times) * (1 - share))]


@pytest.mark.parametrize("seed", range(3))
def test_where_one_call_in_a_hundred_stalls_copies_are_sent_within_the_budget(seed: int) -> None:
    hedge = Hedge()
    times = serve(hedge, 20_000, stalls=0.01, seed=seed)
    assert 0.03 * 20_000 < hedge.copies <= 0.05 * 20_000
    assert worst(times, 0.01) < 2.0 and hedge.pays
    assert sum(t >= 10 for t in times) < 0.001 * 20_000


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_stalls_copies_do_not_pay_and_are_no_longer_sent(seed: int) -> None:
    hedge = Hedge()
    serve(hedge, 2_000, stalls=0, seed=seed)
    before = hedge.copies
    times = serve(hedge, 20_000, stalls=0, seed=seed + 10)
    alone = serve(Hedge(budget=0), 20_000, stalls=0, seed=seed + 10)
    assert not hedge.pays and hedge.copies - before <= 0.005 * 20_000
    assert 0.98 * worst(alone, 0.01) <= worst(times, 0.01) <= worst(alone, 0.01)


def test_where_the_copy_stalls_with_the_call_it_does_not_pay() -> None:
    hedge = Hedge()
    serve(hedge, 20_000, stalls=0.01, both=1.0)
    assert hedge.copies <= 0.02 * 20_000


def test_copies_come_back_when_calls_begin_to_stall() -> None:
    hedge = Hedge()
    serve(hedge, 5_000, stalls=0)
    assert not hedge.pays
    serve(hedge, 1_000, stalls=0.02, seed=2)
    assert hedge.pays


def test_they_come_back_with_the_second_stall_and_not_a_hundred_calls_later() -> None:
    hedge = Hedge()
    serve(hedge, 5_000, stalls=0)
    assert not hedge.pays
    for _ in range(2):
        hedge.begin()
        hedge.took(10.0)
    serve(hedge, 20, stalls=0, seed=3)
    assert hedge.pays


@pytest.mark.parametrize(("half_life", "few", "enough"), [(1000.0, 480, 620), (8000.0, 3_900, 4_900)])
def test_whether_they_pay_is_judged_by_enough_calls_and_until_then_the_budget_decides(
    half_life: float, few: int, enough: int
) -> None:
    hedge = Hedge(half_life=half_life)
    serve(hedge, few, stalls=0)
    assert hedge.gain is None and hedge.pays and 0 < hedge.copies <= 0.05 * few
    serve(hedge, enough - few, stalls=0, seed=2)
    assert hedge.gain is not None and not hedge.pays


def drawn(draw: random.Random, stalls: float) -> Any:
    async def work() -> A:
        stalled, seconds = draw.random() < stalls, lognormal(draw, 0.5, 0.5)
        await asyncio.sleep(10.0 if stalled else seconds)
        return A()

    return work


@virtual
async def test_runs_that_never_stall_soon_go_alone_and_take_as_long() -> None:
    hedge = Hedge()
    flow = Flow("f", hedged(drawn(random.Random(3), 0), drawn(random.Random(4), 0), hedge))
    times = [(await flow.run()).seconds for _ in range(3_000)]
    same = Flow("f", step(drawn(random.Random(3), 0)))
    alone = [(await same.run()).seconds for _ in range(3_000)]
    assert hedge.copies <= 0.01 * 3_000
    assert all(helped <= lonely + 2e-9 for helped, lonely in zip(times, alone, strict=True))


@virtual
async def test_a_run_feeds_what_is_learned() -> None:
    hedge = Hedge()
    first, copy = drawn(random.Random(3), 0.01), drawn(random.Random(4), 0)

    flow, watcher = Flow("f", hedged(first, copy, hedge)), Watcher()
    times = [(await flow.run(observers=[watcher])).seconds for _ in range(3_000)]
    sent = [e for e in watcher.of(Hedged) if e.sent_at is not None]
    assert len(sent) == hedge.copies <= 0.05 * 3_000 and len(watcher.of(FlowEnded)) == 3_000
    assert worst(times, 0.01) < 2.5 and {"sent_won", "sent_lost"} <= {e.became for e in watcher.of(Hedged)}
