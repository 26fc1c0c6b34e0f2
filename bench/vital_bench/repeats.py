"""W7: questions that come again, a few of them often, over documents that change now and then.

Cold and warm are told apart: a question that this run has not seen cannot be known from before.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vital_engine.flow import run_in_background, run_virtual
from vital_engine.nouns import Brief, Evidence, Memory, Passage, Question, Scope, ToolCall, ToolSuggestions
from vital_engine.ports import Services
from vital_engine.services.caching import Cache, CachedRetriever, CachedToolSuggester

from .draws import Draws, Odds, draw
from .goals import Figure, of_summary
from .measure import Ran, Row, run_turns, spread, summarise
from .services import STAGE, Found, Stage, simulated
from .variants import SEGMENTS, Variant
from .workloads import HALF, SIGMA

QUESTIONS, SKEW = 1000, 1.1
"""How many different questions there are; the n-th most frequent comes in proportion to n ** -SKEW."""
CHANGE, TOUCHED = 0.02, 0.2
"""How often a turn comes after the documents have changed; the share of questions whose passages that changes."""
VERSION_SECONDS = 0.005
"""To ask which version of the documents is searched: what a cache costs, hit or miss."""
MISSING = ("conversation", "tools")
"""The questions belong to no conversation, and no tool is proposed: nothing of that is in the prompt."""
CACHED = replace(SEGMENTS, name="+ caches", label="cached")
"""Searches and menus are known from earlier turns."""
VARIANTS = (SEGMENTS, CACHED)


@dataclass(slots=True)
class World:
    """Which question each turn asks, and what there is to find for it then: a function of the seed."""

    draws: Draws
    _weights: list[float] = field(
        default_factory=lambda: list(itertools.accumulate(n**-SKEW for n in range(1, QUESTIONS + 1)))
    )
    _changes: list[int] = field(default_factory=list)
    _looked: int = 0

    def question(self, turn: int) -> int:
        at = self.draws.call(turn, "question", 1).long * self._weights[-1]
        return bisect.bisect_left(self._weights, at)

    def changes(self, turn: int) -> int:
        """How often the documents have changed until *turn*."""
        while self._looked <= turn:
            if self.draws.call(self._looked, "change", 1).long < CHANGE:
                self._changes.append(self._looked)
            self._looked += 1
        return bisect.bisect_right(self._changes, turn)

    def found(self, turn: int) -> Found:
        question, changes = self.question(turn), self.changes(turn)
        touched = sum(self.draws.call(change, f"touched {question}", 1).long < TOUCHED for change in range(changes))
        text = f"What answers question {question} after {touched} changes."
        passage = Passage(f"passage-{question}-{touched}", text)
        return Found(Evidence((passage,), index_version=str(changes)), ToolSuggestions(), Memory())

    def stage(self, turn: int) -> Stage:
        drawn = draw(replace(HALF, missing=MISSING), Odds(SIGMA), self.draws, turn)
        return Stage(drawn, found=self.found(turn))


@dataclass(frozen=True, slots=True)
class _Versioned:
    """The simulated retriever and suggester, as a cache wants them: they say what they would search, and offer."""

    services: Services

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        found = await self.services.retriever.search(query, k=k, scope=scope)
        assert isinstance(found, Evidence), "the simulated retriever gives Evidence"
        return found

    async def version(self, *, scope: Scope) -> str:
        await asyncio.sleep(VERSION_SECONDS)
        return STAGE.get().found.evidence.index_version

    definitions = "simulated"

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        return await self.services.tool_suggester.suggest(question, brief)

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        return tool_call


def _services(variant: Variant) -> Services:
    services = simulated()
    if variant is not CACHED:
        return services
    versioned = _Versioned(services)
    searches: Cache[Any, Evidence] = Cache("searches", entries=QUESTIONS, start=run_in_background)
    suggestions: Cache[Any, ToolSuggestions] = Cache("menus", entries=QUESTIONS, start=run_in_background)
    return replace(
        services,
        retriever=CachedRetriever(versioned, searches),
        tool_suggester=CachedToolSuggester(versioned, suggestions),
    )


def repeats(turns: int, seed: int) -> Iterator[Figure]:
    """The figures of W7: all turns, and cold and warm ones apart."""
    for variant in VARIANTS:
        world = World(Draws(seed))
        ran = run_virtual(_run(variant, world, turns))
        yield from of_summary(summarise("W7", variant.name, variant.label, ran))
        yield from _apart(variant, world, ran)


async def _run(variant: Variant, world: World, turns: int) -> Ran:
    def ask(turn: int) -> Question:
        return Question(f"question {world.question(turn)}", tenant="bench", user="bench")

    return await run_turns(variant.turn(_services(variant)), world.stage, range(turns), ask=ask)


def _apart(variant: Variant, world: World, ran: Ran) -> Iterator[Figure]:
    def median(name: str, values: Sequence[float], unit: str) -> Iterator[Figure]:
        if over := spread(values):
            yield Figure("W7", variant.name, name, over.quantiles["p50"], unit, variant.label)

    seen: set[int] = set()
    rows: dict[str, list[Row]] = {"cold": [], "warm": []}
    for row in ran.rows:
        question = world.question(row.number)
        rows["warm" if question in seen else "cold"].append(row)
        seen.add(question)
    yield Figure("W7", variant.name, "warm turns", len(rows["warm"]) / len(ran.rows), "share", variant.label)
    for state, some in rows.items():
        yield from median(f"all p50, {state}", [row.times.total for row in some], "s")
        yield from median(f"all / bare model call p50, {state}", [row.times.total / row.model for row in some], "ratio")
    yield from median("all / bare model call p50", [row.times.total / row.model for row in ran.rows], "ratio")
    least = [row.bound.total / row.model for row in ran.rows if row.bound is not None]
    yield from median("bound / bare model call p50", least, "ratio")
