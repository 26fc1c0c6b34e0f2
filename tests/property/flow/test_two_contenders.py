"""Whatever two contenders do, a reader hears exactly one of them, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vital_engine.flow import Done, Flow, Hedge, Policy, Stream, StreamOpened, abandoned, either, run_virtual, step

#: Tenths of a second, so that things happen at the same moment now and then.
WAIT = st.integers(0, 12).map(lambda tenths: tenths / 10)


@dataclass(frozen=True)
class Made:
    by: str


@dataclass(frozen=True)
class Script:
    """Waits and what is pushed after each (aside or not), then how it ends. ``stubborn``: cancelled, it says one word more."""

    acts: tuple[tuple[float, bool], ...]
    last: float
    fails: bool
    stubborn: bool = False


SCRIPTS = st.builds(
    Script, st.lists(st.tuples(WAIT, st.booleans()), max_size=5).map(tuple), WAIT, st.booleans(), st.booleans()
)


def playing(name: str, script: Script) -> Any:
    async def work(out: Stream[Made]) -> Made:
        try:
            for i, (wait, metadata) in enumerate(script.acts):
                await asyncio.sleep(wait)
                out.push((name, i, metadata), metadata=metadata)
            await asyncio.sleep(script.last)
        except asyncio.CancelledError:
            if script.stubborn:
                out.push(("late", name))
            raise
        if script.fails:
            raise ValueError(name)
        return Made(name)

    return work


def lost(items: Sequence[Any]) -> Any:
    return ("lost", *items[-1])


@given(SCRIPTS, SCRIPTS, WAIT.filter(bool), st.none() | WAIT.filter(bool), st.booleans())
def test_a_reader_hears_exactly_one(
    first: Script, copy: Script, after: float, within: float | None, cancelled: bool
) -> None:
    async def turn() -> None:
        hedge, streams = Hedge(after=after), []
        hedge._tokens = 4.0
        racing = step(playing("first", first)).named("racing").hedged(playing("copy", copy), hedge, lost)
        flow = Flow("f", racing if cancelled else racing.under(Policy(within)))
        told = [streams.append]
        task = asyncio.ensure_future(flow.run(observers=told))
        done, _ = await asyncio.wait({task}, timeout=within if cancelled else None)
        if not done:
            task.cancel()
            await asyncio.wait({task})
        live = next(event.stream for event in streams if isinstance(event, StreamOpened))
        heard = [item for item in live.items if item[0] not in ("lost", "late")]
        late = {item[1] for item in live.items if item[0] == "late"}
        assert late <= {
            name for name, _, metadata in heard if not metadata
        }  # only who had the word may have the last one
        assert len({name for name, _, _ in heard}) <= 1
        assert [i for _, i, _ in heard] == list(range(len(heard)))  # all of it, in its order
        assert sum(item[0] == "lost" for item in live.items) <= 1
        if done and task.result().degraded == {}:
            winner = task.result()[Made].by
            script = first if winner == "first" else copy
            assert heard == [(winner, i, metadata) for i, (_, metadata) in enumerate(script.acts)]
        assert live.ended and not abandoned
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(turn())


# -- calls inside a step that reads along
@dataclass(frozen=True)
class Said:
    words: int


#: Seconds of a call, and whether it fails after that; for each word, the first call and its copy.
CALLS = st.lists(st.tuples(*[st.tuples(WAIT, st.booleans())] * 2), min_size=1, max_size=5)


def one(first: tuple[float, bool], copy: tuple[float, bool], after: float) -> tuple[float, str | None]:
    """Seconds of a hedged call by arithmetic alone, and who answers it; None: nobody."""
    seconds, fails = first
    if seconds < after:
        return seconds, None if fails else "first"
    answers = [(s, who) for s, broken, who in ((*first, "first"), (after + copy[0], copy[1], "copy")) if not broken]
    return min(answers) if answers else (max(seconds, after + copy[0]), None)


@given(CALLS, WAIT.filter(bool), WAIT)
def test_each_call_takes_as_long_as_the_faster_of_two_and_their_order_is_kept(
    calls: list[tuple[tuple[float, bool], tuple[float, bool]]], after: float, each: float
) -> None:
    # Nothing is asked of two that answer at the same moment.
    calls = [((seconds + 0.05 / (i + 2), fails), copy) for i, ((seconds, fails), copy) in enumerate(calls)]

    def answering(which: int) -> Any:
        async def answer(word: int) -> str:
            seconds, fails = calls[word][which]
            await asyncio.sleep(seconds)
            if fails:
                raise ValueError(word)
            return ("first", "copy")[which]

        return answer

    async def speak(out: Stream[Said]) -> Said:
        for word in range(len(calls)):
            await asyncio.sleep(each)
            out.push(word)
        return Said(len(calls))

    hedge = Hedge(after=after, budget=1.0)
    hedge._tokens = 10.0
    ask = either(answering(0), answering(1), hedge)

    async def fold(said: Stream[Said], out: Stream[Made]) -> Made:
        async for word in said:
            out.push(await ask(word=word))
        return Made("all")

    async def turn() -> None:
        heard: list[StreamOpened] = []
        run = await Flow("f", step(speak), step(fold).hedging(fold)).run(observers=[heard.append])
        done, expected = 0.0, list[str]()
        for word, (first, copy) in enumerate(calls):
            seconds, who = one(first, copy, after)
            done = max(done, each * (word + 1)) + seconds
            if who is None:
                break
            expected.append(who)
        live = next(event.stream for event in heard if isinstance(event, StreamOpened) and event.step == "fold")
        assert list(live.items) == expected
        outcome = run.outcomes[Made]
        assert isinstance(outcome, Done) == (len(expected) == len(calls))
        assert abs(outcome.ended - done) < 1e-6
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()} and not abandoned

    run_virtual(turn())
