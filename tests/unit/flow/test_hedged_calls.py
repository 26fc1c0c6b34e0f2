"""A step that reads a stream and asks somebody about each item of it: each call may have a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from vital_engine.errors import FlowError
from vital_engine.flow import Degraded, Done, Flow, Hedge, Hedged, Policy, Step, Stream, abandoned, either, step

from .things import A, B, C, Watcher, deaf, virtual


async def said(out: Stream[A]) -> A:
    for i in range(3):
        await asyncio.sleep(1.0)
        out.push(str(i))
    return A()


def answering(name: str, seconds: Mapping[str, float], log: list[str] | None = None) -> Callable[..., Any]:
    """Answers with its name after *seconds* (by what it is asked; 0.1 otherwise)."""

    async def answer(what: str) -> str:
        try:
            await asyncio.sleep(seconds.get(what, 0.1))
        except asyncio.CancelledError:
            if log is not None:
                log.append(f"{name} {what}")
            raise
        return f"{what} by {name}"

    return answer


def folding(ask: Callable[..., Any]) -> Callable[..., Any]:
    async def fold(a: Stream[A], out: Stream[B]) -> B:
        async for what in a:
            out.push(await ask(what=what))
        return B(", ".join(out.items))

    return fold


def ready(after: float = 0.5) -> Hedge:
    hedge = Hedge(after=after)
    hedge._tokens = 10.0
    return hedge


def asked(first: Any, copy: Any, hedge: Hedge | None = None) -> Step[B]:
    return step(folding(first)).hedging(folding(either(first, copy, hedge or ready())))


@virtual
async def test_the_call_that_stalls_is_answered_by_the_other_and_its_place_is_kept() -> None:
    log: list[str] = []
    hedge, watcher = ready(), Watcher()
    fold = asked(answering("first", {"1": 9.0}, log), answering("copy", {}), hedge)
    run = await Flow("f", step(said), fold).run(observers=[watcher])
    assert run[B] == B("0 by first, 1 by copy, 2 by first")
    assert run.seconds == pytest.approx(3.1)
    assert watcher.of(Hedged) == [Hedged("f", "fold", "sent_won", 2.5, 2.6)]
    assert log == ["first 1"] and (hedge.calls, hedge.copies) == (3, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_each_step_is_told_of_under_its_own_name() -> None:
    async def other(a: Stream[A]) -> C:
        return C(", ".join([await also(what=what) async for what in a]))

    def slow() -> Any:
        return answering("first", {"2": 9.0})

    also = either(slow(), answering("copy", {}), ready(0.7))
    watcher = Watcher()
    both = Flow("f", step(said), asked(slow(), answering("copy", {})), step(other).hedging(other))
    await both.run(observers=[watcher])
    assert [(e.step, e.sent_at) for e in watcher.of(Hedged)] == [("fold", 3.5), ("other", 3.7)]


@virtual
async def test_a_step_that_does_not_say_so_tells_nobody() -> None:
    watcher = Watcher()
    ask = either(answering("first", {"0": 9.0}), answering("copy", {}), ready())
    run = await Flow("f", step(said), step(folding(ask))).run(observers=[watcher])
    assert run[B].made.startswith("0 by copy") and not watcher.of(Hedged)


@virtual
async def test_what_cuts_the_step_cuts_the_call_and_its_copy() -> None:
    log: list[str] = []
    watcher, hedge = Watcher(), ready()
    fold = asked(answering("first", {"2": 9.0}, log), answering("copy", {"2": 9.0}, log), hedge)
    run = await Flow("f", step(said), fold.fallback(B("none")).under(Policy(2.0))).run(observers=[watcher])
    outcome = run.outcomes[B]
    assert isinstance(outcome, Degraded) and outcome.reason == "timeout" and outcome.ended == 5.0
    assert sorted(log) == ["copy 2", "first 2"] and [e.became for e in watcher.of(Hedged)] == ["sent_cancelled"]
    assert not abandoned and asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_a_loser_that_is_deaf_is_left_behind_after_the_grace_of_its_step() -> None:
    async def stubborn(what: str) -> str:
        await deaf(50)
        return what

    fold = asked(stubborn, answering("copy", {})).under(Policy(grace=0.2))
    run = await Flow("f", step(said), fold).run()
    assert run[B] == B("0 by copy, 1 by copy, 2 by copy") and isinstance(run.outcomes[B], Done)
    assert len(abandoned) == 2  # the last one still has its grace
    await asyncio.sleep(0.2)
    assert len(abandoned) == 3
    await asyncio.sleep(100)
    assert not abandoned


def test_work_that_needs_or_makes_something_else_is_refused() -> None:
    async def other(a: Stream[A]) -> C:
        return C(a.value.made if a.value else "")

    wrong: Any = other
    with pytest.raises(FlowError, match="is not the same call as 'fold': its outlet differ"):
        asked(answering("first", {}), answering("copy", {})).hedging(wrong)
