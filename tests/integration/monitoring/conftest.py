"""A whole turn as a flow of the real nouns, with scripted times, and a reader of what /metrics shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from seed_profile import SEED
from vital_engine.flow import DATAFLOW, Flow, Policy, Shape, Stream, step
from vital_engine.monitoring import render
from vital_engine.nouns import (
    Brief,
    Citations,
    Cost,
    Draft,
    Evidence,
    Expert,
    Memory,
    Piece,
    Question,
    Support,
    ToolSuggestions,
    Usage,
)

CANARY = "CANARY-7f3a"
"""Stands for what must never leave a turn by way of a log or a trace."""

Script = Mapping[str, Any]


async def _act(script: Script, name: str) -> None:
    act = script.get(name, SEED.get(name, 0.0))
    if isinstance(act, BaseException):
        raise act
    if act == "hang":
        await asyncio.Event().wait()
    if act == "deaf":
        loop = asyncio.get_running_loop()
        until = loop.time() + 8.0
        while loop.time() < until:
            try:
                await asyncio.sleep(until - loop.time())
            except asyncio.CancelledError:
                continue
        return
    await asyncio.sleep(act)


def turn_flow(script: Script | None = None, *, shape: Shape = DATAFLOW, within: float | None = 5.0) -> Flow:
    """SPEC's seed profile: three steps, the model, three steps. *script*: step -> seconds, an error, hang or deaf."""
    acts: Script = script or {}

    async def brief(question: Question) -> Brief:
        return Brief(Expert("cardiology", "Cardiologist", "hearts", "be exact"))

    async def retrieve(question: Question, brief: Brief) -> Evidence:
        await _act(acts, "retrieve")
        return Evidence()

    async def suggest(question: Question, brief: Brief) -> ToolSuggestions:
        await _act(acts, "suggest")
        return ToolSuggestions()

    async def recall(question: Question) -> Memory:
        await _act(acts, "recall")
        return Memory()

    async def reply(evidence: Evidence, suggestions: ToolSuggestions, memory: Memory, out: Stream[Draft]) -> Draft:
        for _ in range(10):
            out.push(Piece(CANARY))
            await _act({"reply": acts.get("reply", SEED["reply"] / 10)}, "reply")
        usage = Usage(input=900, output=120, cached=600, reasoning=20)
        return Draft(CANARY, "small-1", "openai", usage=usage)

    async def cite(evidence: Evidence, draft: Stream[Draft]) -> Citations:
        await draft.result()
        await _act(acts, "cite")
        return Citations()

    async def assess(evidence: Evidence, draft: Stream[Draft]) -> Support:
        await draft.result()
        await _act(acts, "assess")
        return Support()

    async def tally(draft: Draft) -> Cost:
        await _act(acts, "tally")
        return Cost()

    tier1, tier2 = Policy(within, tier="tier1"), Policy(within, tier="tier2")
    return Flow(
        "turn",
        step(brief).under(Policy(tier="brief")),
        step(retrieve).fallback(Evidence.missing()).under(tier1),
        step(suggest).fallback(ToolSuggestions.missing()).under(tier1),
        step(recall).fallback(Memory.missing()).under(tier1),
        step(reply).under(Policy(tier="reply")),
        step(cite).fallback(Citations.missing()).under(tier2),
        step(assess).fallback(Support.missing()).under(tier2),
        step(tally).fallback(Cost.missing()).under(tier2),
        shape=shape,
    )


@pytest.fixture
def question() -> Question:
    return Question(f"What of {CANARY}?", "tenant-1", f"user {CANARY}", run_id="run-1")


@pytest.fixture
def build() -> Callable[..., Flow]:
    return turn_flow


@pytest.fixture
def canary() -> str:
    return CANARY


class Scrape:
    """What /metrics showed: sample -> value. ``scrape - earlier``: what has changed."""

    def __init__(self, values: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
        self.values = values

    def __call__(self, name: str, **labels: str) -> float:
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def __sub__(self, earlier: Scrape) -> Scrape:
        return Scrape({key: value - earlier.values.get(key, 0.0) for key, value in self.values.items()})

    def changed(self, name: str) -> dict[tuple[str, ...], float]:
        """Label values, in the order of the labels' names -> what has changed, of one metric."""
        return {
            tuple(value for _, value in sorted(labels)): round(delta, 6)
            for (sample, labels), delta in self.values.items()
            if sample == name and delta
        }


@pytest.fixture
def scrape() -> Callable[[], Scrape]:
    def read() -> Scrape:
        text = render()[0].decode()
        return Scrape(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
        )

    return read
