"""What the engine itself costs: CPU, calls and passes of the event loop of ten empty steps and of a whole turn of mode 2 over
services that do nothing, CPU of a token, and a thousand turns at once. Of this machine, and of whatever else runs on it."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from vital_engine import nouns
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.ports import Services

from .meter import Turn, burst, calls, cpu_us, iterations
from .peers.flow import Question, flow_of
from .peers.plain import ten_gathered
from .peers.shapes import TEN

Cost: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]
"""``ten steps``, ``whole turn``, ``at once`` -> who -> figure -> value."""
QUESTION = nouns.Question(text="What was found?", tenant="t1", user="u1")
PER_SENTENCE = 20
"""Tokens of a sentence."""
FEW, MANY = PER_SENTENCE, 26 * PER_SENTENCE
"""Tokens of the two turns between whose costs the cost of a token lies."""
AT_ONCE = 1000
IN_FLIGHT = 300
"""Turns at once whose memory is counted: enough to be divided by, few enough that all wait for the model together."""
ROUNDS = 3
TENTH: Mapping[str, float] = {
    "retrieve": 0.05, "suggest": 0.03, "recall": 0.02, "reply": 0.15, "assess": 0.01, "cite": 0.015, "tally": 0.005,
}  # fmt: skip
"""Seconds of the seed profile, divided by ten; a turn without barriers takes 0.215."""


# -- services that do next to nothing, so that what a whole turn takes beside them is the engine's own
_BRIEF = nouns.Brief(nouns.Expert("idle", "Idle", "Says what it is asked to say.", "Say what you are asked to say."))
_EVIDENCE = nouns.Evidence((nouns.Passage("p1", "It was found.", "d1", start=0, end=13),))
_SPENT = nouns.Usage(input=100, output=20)


@dataclass(frozen=True, slots=True)
class _Idle:
    """Each method answers at once, or after a sleep."""

    seconds: Mapping[str, float]
    sentences: int

    async def route(self, question: nouns.Question, *, mode: int) -> nouns.Brief:
        return _BRIEF

    async def search(self, query: str, *, k: int, scope: nouns.Scope) -> nouns.Evidence:
        await self._sleep("retrieve")
        return _EVIDENCE

    async def suggest(self, question: nouns.Question, brief: nouns.Brief) -> nouns.ToolSuggestions:
        await self._sleep("suggest")
        return nouns.ToolSuggestions()

    async def recall(self, question: nouns.Question) -> nouns.Memory:
        await self._sleep("recall")
        return nouns.Memory()

    async def call(self, tool_call: nouns.ToolCall, **_: Any) -> nouns.ToolResult:
        return nouns.ToolResult(tool_call, "done")

    async def check(self, sentence: nouns.Sentence, evidence: nouns.Evidence, **_: Any) -> Sequence[nouns.Citation]:
        await self._sleep("cite", self.sentences)
        return ()

    async def support(self, sentence: nouns.Sentence, evidence: nouns.Evidence) -> nouns.SentenceSupport:
        await self._sleep("assess", self.sentences)
        return nouns.SentenceSupport(sentence.index, None)

    async def price(self, call: nouns.Call) -> nouns.LedgerRow:
        await self._sleep("tally", self.sentences)
        return nouns.LedgerRow(call, Decimal(0), "local")

    async def _sleep(self, step: str, parts: int = 1) -> None:
        if (seconds := self.seconds.get(step, 0.0)) > 0:
            await asyncio.sleep(seconds / parts)


class Speaker:
    """*tokens* pieces in sentences of :data:`PER_SENTENCE`, all after *seconds*; one per pass of the loop, without timers: the
    dearest way in which a model can speak, since all that read along are woken for each piece."""

    def __init__(self, tokens: int, seconds: float = 0.0) -> None:
        def word(i: int) -> str:
            if (i + 1) % PER_SENTENCE == 0 or i == tokens - 1:
                return " end."
            return " word" if i % PER_SENTENCE else " Word"

        first = nouns.Piece("Word", model="idle", provider="idle")
        self.pieces = [first, *(nouns.Piece(word(i)) for i in range(1, tokens))]
        self._seconds = seconds

    async def stream(self, prompt: nouns.Prompt | None) -> AsyncIterator[nouns.Piece]:
        if self._seconds:
            await asyncio.sleep(self._seconds)
        for piece in self.pieces:
            await asyncio.sleep(0)
            yield piece
        yield nouns.Piece(usage=_SPENT, model="idle", provider="idle", finish="stop")


def idle(tokens: int = PER_SENTENCE, seconds: Mapping[str, float] | None = None) -> Services:
    """Services for a turn whose model says *tokens* tokens. *seconds*: by step, how long each sleeps; none if not said."""
    sleeps = seconds or {}
    one = _Idle(sleeps, max(1, -(-tokens // PER_SENTENCE)))
    return Services(
        router=one,
        retriever=one,
        tool_suggester=one,
        memory=one,
        caller=one,
        llm=Speaker(tokens, sleeps.get("reply", 0.0)),
        checker=one,
        judge=one,
        accountant=one,
        grader=lambda *_, **__: nouns.Quality(),
    )


# -- turns
async def nothing(step: str, *inputs: str) -> str:
    """A step that does nothing."""
    return ""


def on_flow() -> Turn:
    """Ten steps that do nothing, on the executor alone."""
    flow, question = flow_of(TEN, None), Question()
    return lambda: flow.run(question, within=60.0)


def on_gather() -> Turn:
    """The least that any engine on asyncio could cost: nothing is limited, contained or measured."""
    return ten_gathered(nothing)


LANGGRAPH = importlib.util.find_spec("langgraph") is not None


def on_langgraph() -> Turn:
    from .peers.langgraph import langgraph

    return langgraph("ten")


def executed(tokens: int = FEW, *, seconds: Mapping[str, float] | None = None, watched: bool = False) -> Turn:
    """A whole turn of mode 2 that is not read. *watched*: under the default watchers, the metrics of the process."""
    workflow = Mode2AutomaticWorkflow(idle(tokens, seconds), watchers=None if watched else ())
    return lambda: workflow.execute(QUESTION)


def streamed(tokens: int = FEW) -> Turn:
    """A turn under the default watchers whose events are read as they come."""
    workflow = Mode2AutomaticWorkflow(idle(tokens))

    async def turn() -> object:
        last: object = None
        async for event in workflow.stream(QUESTION):
            last = event
        return last

    return turn


def spoken(tokens: int = FEW) -> Turn:
    """The model alone: what of a turn is not the engine's."""
    model = Speaker(tokens)

    async def turn() -> object:
        return [piece async for piece in model.stream(None)]

    return turn


def through_langgraph(tokens: int = FEW, *, kept: bool = False) -> Turn:
    """A turn as a LangGraph graph. *kept*: with checkpoints, in memory."""
    from langgraph.checkpoint.memory import InMemorySaver

    workflow = Mode2AutomaticWorkflow(idle(tokens), profile="tiers", watchers=())
    graph, threads = workflow.build_graph().compile(checkpointer=InMemorySaver() if kept else None), itertools.count()
    return lambda: graph.ainvoke({"question": QUESTION}, {"configurable": {"thread_id": str(next(threads))}})


ALONE = "model alone"
WAYS: dict[str, Callable[[int], Turn]] = {
    ALONE: spoken,
    "turn": executed,
    "turn, watched": lambda tokens: executed(tokens, watched=True),
    "turn, watched and streamed": streamed,
}
if LANGGRAPH:
    WAYS["turn through LangGraph"] = through_langgraph
    WAYS["the same, with checkpoints"] = partial(through_langgraph, kept=True)


def asleep_on_flow() -> Turn:
    """The ten steps of a turn, each asleep as long as the profile says."""
    flow, question = flow_of(TEN, _asleep), Question()
    return lambda: flow.run(question, within=60.0)


async def _asleep(step: str, *inputs: str) -> str:
    if seconds := TENTH.get(step, 0.0):
        await asyncio.sleep(seconds)
    return ""


# -- what they cost
def measure_cost(many: int = AT_ONCE, rounds: int = ROUNDS) -> Cost:
    """*many*: begun at once, of which the best of *rounds* counts."""
    return {"ten steps": ten_steps(), "whole turn": dict(_whole(rounds)), "at once": dict(_at_once(many, rounds))}


def ten_steps() -> dict[str, dict[str, float]]:
    """Engine -> ``cpu_us``, ``calls`` and ``iterations`` of a ten-step turn; only the installed ones."""
    engines = {"flow": on_flow(), "gather": on_gather()} | ({"langgraph": on_langgraph()} if LANGGRAPH else {})
    return {
        name: {"cpu_us": cpu_us(turn), "calls": calls(turn), "iterations": iterations(turn)}
        for name, turn in engines.items()
    }


def _whole(rounds: int) -> Iterator[tuple[str, dict[str, float]]]:
    alone = 0.0
    for name, way in WAYS.items():
        few, many = (cpu_us(way(tokens), rounds) for tokens in (FEW, MANY))
        token_us = (many - few) / (MANY - FEW)
        alone = alone or token_us
        net = round(token_us - (0.0 if name == ALONE else alone), 2)
        yield name, {"cpu_us": few, "calls": calls(way(FEW)), "iterations": iterations(way(FEW)), "token_us": net}


def _at_once(many: int, rounds: int) -> Iterator[tuple[str, dict[str, float]]]:
    for name, turn in (
        ("plain gather", ten_gathered(_asleep)),
        ("flow of ten steps", asleep_on_flow()),
        ("mode 2, no watchers", executed(seconds=TENTH)),
        ("mode 2, watched", executed(seconds=TENTH, watched=True)),
    ):
        best = burst(turn, many, rounds)
        cpu = round(1e6 * best["cpu_seconds"] / many, 1)
        kb = kilobytes_in_flight(turn, min(many, IN_FLIGHT))
        kept = {key: best[key] for key in ("turns_per_second", "p50_ms", "p99_ms")}
        yield name, {**kept, "cpu_us": cpu, "kb_per_turn": kb}


def kilobytes_in_flight(turn: Turn, turns: int) -> float:
    """Memory of a turn while the model is asked: what Python has allocated for *turns* of them, by turn, in KB."""

    async def count() -> float:
        for _ in range(20):
            await turn()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            all_ = asyncio.gather(*(turn() for _ in range(turns)))
            await asyncio.sleep(0.12 + turns / 2000)
            during = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        await all_
        return (during - before) / turns / 1024

    return round(asyncio.run(count()), 1)
