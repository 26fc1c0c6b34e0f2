"""Run turns one after another (or as they arrive), and lay each beside its bound from the same draws."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vital_engine.flow import abandoned, run_in_background
from vital_engine.nouns import Question

from .durations import INPUTS
from .oracle import Bound, bound, cut_off, sent_twice
from .stage import STAGE, Stage
from .times import Times, Turn

LIMITS: dict[str, float] = dict.fromkeys(INPUTS, 5.0)
"""Seconds after which an input is done without, as the engine's own default has it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One turn, measured. ``model``: seconds of its bare model call, nothing read ahead. ``bound``: in any order, of the same draws, with the copies that were sent;
    None for a turn in which a call failed, of which it says nothing. ``in_order``: the same where the
    prompt is read in its fixed order. ``copies``, ``wasted`` (tokens), ``effects``, ``kept``: see Stage."""

    number: int
    times: Times
    model: float
    bound: Bound | None
    in_order: Bound | None
    calls: int
    copies: int
    wasted: float
    effects: int
    kept: int

    @property
    def gap(self) -> float | None:
        """How far above its bound, as a share of that; None for a turn that is not whole."""
        return _gap(self.times, self.bound)

    @property
    def gap_in_order(self) -> float | None:
        return _gap(self.times, self.in_order)


def _gap(times: Times, least: Bound | None) -> float | None:
    if least is None or times.degraded or times.status != "complete":
        return None
    return times.total / least.total - 1


@dataclass(frozen=True, slots=True)
class Ran:
    """``leaked``: tasks that were still there a second after the last turn. ``seconds``: of the run, on its own clock."""

    rows: tuple[Row, ...]
    leaked: int
    seconds: float


async def run_turns(
    turn: Turn,
    staged: Callable[[int], Stage],
    numbers: Iterable[int],
    *,
    arrivals: Callable[[int], float] | None = None,
    ask: Callable[[int], Question] | None = None,
) -> Ran:
    """Run the turns *numbers*, one after another; with *arrivals* (number -> seconds after the one before) as they come,
    whether or not those before have ended.

    :param staged: what was drawn for a turn.
    :param ask: its question, where that matters.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int) -> Row:
        stage = staged(number)
        STAGE.set(stage)
        question = ask(number) if ask else Question(f"turn {number}", tenant="bench", user="bench")
        return _row(stage, await turn(question))

    if arrivals is None:
        rows = [await one(number) for number in numbers]
    else:
        tasks = []
        for number in numbers:
            await asyncio.sleep(arrivals(number))
            tasks.append(run_in_background(one(number), name=f"turn {number}"))
        rows = [await task for task in tasks]
    ended = loop.time()
    await asyncio.sleep(1.0)
    left = asyncio.all_tasks(loop) - {task for task in (asyncio.current_task(),) if task is not None}
    return Ran(tuple(rows), len(left | {t for t in abandoned if t.get_loop() is loop}), round(ended - began, 9))


def _row(stage: Stage, times: Times) -> Row:
    least = in_order = None
    failed = any(f for f in stage.drawn.faults) or bool(stage.outages)
    if not failed and times.status == "complete":
        least, in_order = (_least(stage, times, policy) for policy in ("any order", "segments"))
    first = stage.drawn.durations[0]
    model = first.reading + first.speech
    return Row(
        stage.drawn.number,
        times,
        model,
        least,
        in_order,
        stage.calls,
        stage.copies,
        stage.wasted,
        stage.effects,
        stage.kept,
    )


def _least(stage: Stage, times: Times, policy: str) -> Bound:
    first, second = stage.drawn.durations
    second = cut_off(second, {}, times.degraded)  # what was lost is not in its prompt either
    d = sent_twice(first, second, stage.sent, stage.again, copy_spoke=stage.copy_spoke) if stage.sent else first
    d = cut_off(d, LIMITS | dict.fromkeys(times.known, 0.0), times.degraded)
    return bound(d, policy)


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which the share *q* of *values* (sorted) lies, by linear interpolation."""
    at = q * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)
