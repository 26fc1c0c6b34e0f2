"""Turns of other shapes, built on the flow alone: W1b, where one input needs another, and W6, where many experts speak
over the same evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from vital_engine.flow import Done, Flow, Stream, gather_outcomes, step
from vital_engine.nouns import Citations, Cost, Draft, Evidence, Memory, Support, ToolSuggestions

from .draws import Draws, Odds, draw
from .durations import Durations
from .oracle import bound
from .services import until
from .workloads import OPAQUE, SIGMA


async def retrieve(d: Durations) -> Evidence:
    await asyncio.sleep(d.retrieve)
    return Evidence()


async def recall(d: Durations) -> Memory:
    await asyncio.sleep(d.recall)
    return Memory()


async def suggest(d: Durations, memory: Memory) -> ToolSuggestions:
    await asyncio.sleep(d.suggest)
    return ToolSuggestions()


async def reply(
    d: Durations,
    evidence: Evidence,
    suggestions: ToolSuggestions,
    out: Stream[Draft],
) -> Draft:
    began = asyncio.get_running_loop().time() + d.reading
    for sentence in range(d.sentences):
        await until(began + d.speech * (sentence + 1) / d.sentences)
        out.push(sentence)
    return Draft("said")


async def cite(d: Durations, draft: Stream[Draft]) -> Citations:
    await _along(d, "cite", draft)
    return Citations()


async def assess(d: Durations, draft: Stream[Draft]) -> Support:
    await _along(d, "assess", draft)
    return Support()


async def tally(d: Durations, draft: Stream[Draft]) -> Cost:
    await _along(d, "tally", draft)
    return Cost()


async def _along(d: Durations, review: str, draft: Stream[Draft]) -> None:
    async for sentence in draft:
        await asyncio.sleep(d.check(review, sentence))


async def cite_whole(d: Durations, draft: Draft) -> Citations:
    await asyncio.sleep(d.result("cite"))
    return Citations()


async def assess_whole(d: Durations, draft: Draft) -> Support:
    await asyncio.sleep(d.result("assess"))
    return Support()


async def tally_whole(d: Durations, draft: Draft) -> Cost:
    await asyncio.sleep(d.result("tally"))
    return Cost()


_FIRST = (step(retrieve), step(recall), step(suggest), step(reply))
UNEVEN = Flow("uneven", *_FIRST, step(cite_whole), step(assess_whole), step(tally_whole), given=(Durations,))
UNEVEN_ALONG = Flow("uneven, reading along", *_FIRST, step(cite), step(assess), step(tally), given=(Durations,))


@dataclass(frozen=True, slots=True)
class Shaped:
    """One turn of another shape: seconds measured, and the least that its longest chain takes."""

    name: str
    measured: float
    least: float

    @property
    def gap(self) -> float:
        return round(self.measured / self.least - 1, 12) + 0.0  # no -0.0


async def uneven(turns: int, seed: int) -> list[Shaped]:
    """W1b: suggest waits for recall (200 + 300 ms) beside retrieve (500 ms). The first turn of each is the seed profile;
    the others are drawn around it."""
    draws, shaped = Draws(seed), []
    for flow, allows in ((UNEVEN, "tiers"), (UNEVEN_ALONG, "stream")):
        for number in range(turns):
            d = draw(OPAQUE, Odds(SIGMA) if number else Odds(), draws, number).durations[0]
            run = await flow.run(d)
            chained = replace(d, suggest=d.recall + d.suggest)
            shaped.append(Shaped(flow.name, run.seconds, bound(chained, allows).total))
    return shaped


@dataclass(frozen=True, slots=True)
class Panel:
    """``legs``: seconds that each expert takes. ``merge``: to make one answer of theirs."""

    retrieve: float
    legs: tuple[float, ...]
    merge: float


@dataclass(frozen=True, slots=True)
class Opinions:
    count: int


@dataclass(frozen=True, slots=True)
class Merged:
    count: int


async def consult(panel: Panel) -> Evidence:
    await asyncio.sleep(panel.retrieve)
    return Evidence()


async def opine(panel: Panel, evidence: Evidence) -> Opinions:
    async def leg(seconds: float) -> Evidence:
        await asyncio.sleep(seconds)
        return evidence

    legs = [partial(leg, seconds) for seconds in panel.legs]
    outcomes = await gather_outcomes(legs, width=len(legs), within=120.0)
    return Opinions(sum(isinstance(outcome, Done) for outcome in outcomes))


async def merge(panel: Panel, opinions: Opinions) -> Merged:
    await asyncio.sleep(panel.merge)
    return Merged(opinions.count)


FAN_OUT = Flow("fan-out", step(consult), step(opine), step(merge), given=(Panel,))
EXPERTS = (4, 8, 16, 50)
MERGE_SECONDS = 0.2


async def fan_out(turns: int, seed: int, *, stall: float, experts: Sequence[int] = EXPERTS) -> list[Shaped]:
    """W6: retrieve, then 4, 8, 16 or 50 experts of about 1500 ms each, then one merge of 200 ms."""
    draws, shaped = Draws(seed), []
    for count in experts:
        for number in range(turns):
            legs = (_leg(draws, number, expert, stall) for expert in range(count))
            panel = Panel(OPAQUE.retrieve, tuple(legs), MERGE_SECONDS)
            run = await FAN_OUT.run(panel)
            if run[Merged].count != count:
                raise AssertionError("an expert was lost")
            shaped.append(Shaped(f"{count} experts", run.seconds, panel.retrieve + max(panel.legs) + panel.merge))
    return shaped


def _leg(draws: Draws, number: int, expert: int, stall: float) -> float:
    odds = Odds({"reply": SIGMA["reply"]}, stall=stall, stalling=("reply",))
    # An expert's leg is a turn of its own, as far as its luck goes.
    return draw(OPAQUE, odds, draws, number * 1000 + expert).durations[0].result("reply")
