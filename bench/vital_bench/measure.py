"""Run turns one after another (or as they arrive), lay each beside its bound from the same draws, and sum them up."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO, TypeAlias

from vital_engine.flow import abandoned, run_in_background
from vital_engine.nouns import Question

from .durations import INPUTS
from .oracle import Bound, bound, cut_off, sent_twice
from .services import STAGE, Stage
from .variants import Times, Turn

LIMITS: dict[str, float] = dict.fromkeys(INPUTS, 5.0)
"""Seconds after which an input is done without, as the engine's own default has it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One turn, measured. ``model``: seconds of its bare model call, nothing read ahead. ``bound``: in any order, of the same
    draws, with the copies that were sent; None for a turn in which a call failed, of which it says nothing. ``in_order``: the
    same where the prompt is read in its fixed order. ``copies``, ``wasted`` (tokens), ``effects``, ``kept``: see Stage."""

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
    """``leaked``: tasks that were still there a second after the last turn."""

    rows: tuple[Row, ...]
    leaked: int


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
    await asyncio.sleep(1.0)
    left = asyncio.all_tasks(loop) - {task for task in (asyncio.current_task(),) if task is not None}
    return Ran(tuple(rows), len(left | {t for t in abandoned if t.get_loop() is loop}))


def _row(stage: Stage, times: Times) -> Row:
    least = in_order = None
    failed = any(stage.drawn.faults) or bool(stage.outages)
    if not failed and times.status == "complete":
        least, in_order = (_least(stage, times, policy) for policy in ("any order", "segments"))
    first = stage.drawn.durations[0]
    seen = (stage.calls, stage.copies, stage.wasted, stage.effects, stage.kept)
    return Row(stage.drawn.number, times, first.reading + first.speech, least, in_order, *seen)


def _least(stage: Stage, times: Times, policy: str) -> Bound:
    first, second = stage.drawn.durations
    second = cut_off(second, {}, times.degraded)  # what was lost is not in its prompt either
    d = sent_twice(first, second, stage.sent, stage.again, copy_spoke=stage.copy_spoke) if stage.sent else first
    return bound(cut_off(d, LIMITS | dict.fromkeys(times.known, 0.0), times.degraded), policy)


# -- in numbers
def quantile(values: Sequence[float], q: float) -> float:
    """The value below which the share *q* of *values* (sorted) lies, by linear interpolation."""
    at = q * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
BEYOND = 9
"""A quantile with fewer values beyond it is not given."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles by name, and the mean. Those for which there are too few values beyond are left out."""

    mean: float
    quantiles: Mapping[str, float]
    longest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One variant on one workload. Times in seconds; shares of all turns.

    ``gap``: of the turns that lost nothing, how far above the bound of any order; ``gap_in_order``: above the bound of
    the prompt's fixed order. ``extra_calls``: copies per call. ``wasted_tokens``: per turn. ``lost``: turns that were
    not kept exactly once; ``duplicate_effects``: calls that wrote beyond one per turn; ``retractions``: turns whose
    reader was shown a word that is not in the answer.
    """

    workload: str
    variant: str
    label: str
    turns: int
    first_token: Spread | None
    last_token: Spread | None
    total: Spread
    gap: Spread | None
    gap_in_order: Spread | None
    complete: float
    degraded: float
    partial: float
    failed: float
    degraded_by: Mapping[str, int]
    extra_calls: float
    wasted_tokens: float
    duplicate_effects: int
    retractions: int
    lost: int
    leaked_tasks: int


def spread(values: Iterable[float | None]) -> Spread | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    enough = {name: q for name, q in QUANTILES.items() if q == 0.5 or len(known) * (1 - q) >= BEYOND}
    return Spread(
        round(sum(known) / len(known), 9),
        {name: round(quantile(known, q), 9) for name, q in enough.items()},
        round(known[-1], 9),
    )


def summarise(workload: str, variant: str, label: str, ran: Ran, *, keeps: bool = True) -> Summary:
    """*keeps*: whether the variant keeps its turns at all."""
    rows: Sequence[Row] = ran.rows
    times = [row.times for row in rows]
    status = Counter(t.status for t in times)
    whole = sum(t.status == "complete" and bool(t.degraded) for t in times)
    total = spread(t.total for t in times)
    assert total is not None, "a run has at least one turn"
    return Summary(
        workload=workload,
        variant=variant,
        label=label,
        turns=len(rows),
        first_token=spread(t.first_token for t in times),
        last_token=spread(t.last_token for t in times),
        total=total,
        gap=spread(row.gap for row in rows),
        gap_in_order=spread(row.gap_in_order for row in rows),
        complete=status["complete"] / len(rows),
        degraded=whole / len(rows),
        partial=status["partial"] / len(rows),
        failed=status["failed"] / len(rows),
        degraded_by=dict(sorted(Counter(step for t in times for step in t.degraded).items())),
        extra_calls=sum(row.copies for row in rows) / max(1, sum(row.calls - row.copies for row in rows)),
        wasted_tokens=sum(row.wasted for row in rows) / len(rows),
        duplicate_effects=sum(max(0, row.effects - 1) for row in rows),
        retractions=sum(t.retracted for t in times),
        lost=sum(row.kept != 1 for row in rows) if keeps else 0,
        leaked_tasks=ran.leaked,
    )


Rows: TypeAlias = Mapping[tuple[str, str], tuple[Row, ...]]
"""(workload, variant) -> its turns: the raw material of the figures."""
COLUMNS = (
    "workload", "variant", "turn", "status", "degraded", "first_token", "last_token", "all", "bound", "bound_in_order", "calls", "copies", "wasted_tokens",
)  # fmt: skip
"""Seconds; empty: there is none."""


def write_rows(of: Rows, file: TextIO) -> None:
    """Every turn of *of* as a line of CSV: with these, any quantile can be worked out again."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for (workload, variant), rows in of.items():
        for row in rows:
            t = row.times
            bounds = [None if each is None else each.total for each in (row.bound, row.in_order)]
            took = (t.first_token, t.last_token, t.total)
            told = (workload, variant, row.number, t.status, " ".join(t.degraded))
            writer.writerow((*told, *took, *bounds, row.calls, row.copies, round(row.wasted, 3)))
