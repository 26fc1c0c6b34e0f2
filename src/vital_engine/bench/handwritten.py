"""What one would write by hand, on the same services: the engine has to be better than these.

A tier is run by :func:`in_turn`: one call after another; :func:`unlimited`: all at once, for as long as it takes;
:func:`as_batch`: the seed as it was reported, where all of a tier is given up if it is not done within its limit (5 s,
2 s); :func:`by_itself`: with a limit for each call instead. None of them reads along, or reads ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vital_engine.errors import ServiceError
from vital_engine.nouns import (
    Brief,
    Call,
    Draft,
    Evidence,
    Memory,
    Piece,
    Question,
    Scope,
    Sentence,
    ToolResults,
    ToolSuggestions,
)
from vital_engine.ports import Services
from vital_engine.text.sentences import split
from vital_engine.turn import compose, drafted

from .times import Times

T = TypeVar("T")
TIER1_SECONDS = 5.0
TIER2_SECONDS = 2.0


@dataclass(slots=True)
class _Clock:
    began: float
    first: float | None = None
    last: float | None = None

    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self.began, 9)


Tier = Callable[[Sequence[tuple[str, Awaitable[Any], Any]], float, list[str]], Awaitable[list[Any]]]
"""Runs calls, (step, call, stand-in), within a limit; whoever fails is named in the list, and its stand-in is given."""


async def in_turn(calls: Sequence[tuple[str, Awaitable[Any], Any]], within: float, lost: list[str]) -> list[Any]:
    results = []
    for call in calls:
        results += await unlimited([call], within, lost)
    return results


async def unlimited(calls: Sequence[tuple[str, Awaitable[Any], Any]], within: float, lost: list[str]) -> list[Any]:
    del within
    results = await asyncio.gather(*(call for _, call, _ in calls), return_exceptions=True)
    return [
        _or_else(result, step, otherwise, lost) for result, (step, _, otherwise) in zip(results, calls, strict=True)
    ]


async def as_batch(calls: Sequence[tuple[str, Awaitable[Any], Any]], within: float, lost: list[str]) -> list[Any]:
    batch = asyncio.gather(*(call for _, call, _ in calls), return_exceptions=True)
    try:
        results = await asyncio.wait_for(batch, within)
    except TimeoutError:  # what had been done by then is given up with the rest
        lost += [step for step, _, _ in calls]
        return [otherwise for _, _, otherwise in calls]
    return [
        _or_else(result, step, otherwise, lost) for result, (step, _, otherwise) in zip(results, calls, strict=True)
    ]


async def by_itself(calls: Sequence[tuple[str, Awaitable[Any], Any]], within: float, lost: list[str]) -> list[Any]:
    limited = [asyncio.wait_for(_awaited(call), within) for _, call, _ in calls]
    results = await asyncio.gather(*limited, return_exceptions=True)
    return [
        _or_else(result, step, otherwise, lost) for result, (step, _, otherwise) in zip(results, calls, strict=True)
    ]


async def _awaited(call: Awaitable[T]) -> T:
    return await call


def _or_else(result: Any, step: str, otherwise: Any, lost: list[str]) -> Any:
    if isinstance(result, ServiceError | TimeoutError):
        lost.append(step)
        return otherwise
    if isinstance(result, BaseException):
        raise result
    return result


def by_hand(services: Services, tier: Tier) -> Callable[[Question], Awaitable[Times]]:
    """A turn whose tiers are run by *tier*."""

    async def turn(question: Question) -> Times:
        clock, lost = _Clock(asyncio.get_running_loop().time()), list[str]()
        brief = await services.router.route(question, mode=2)
        scope = Scope(question.tenant, question.user)
        inputs: list[tuple[str, Awaitable[Any], Any]] = [
            ("retrieve", services.retriever.search(question.text, k=8, scope=scope), Evidence.missing()),
            ("suggest", services.tool_suggester.suggest(question, brief), ToolSuggestions.missing()),
            ("recall", services.memory.recall(question), Memory.missing()),
        ]
        evidence, suggestions, memory = await tier(inputs, TIER1_SECONDS, lost)
        draft = await _spoken(services, clock, question, brief, evidence, suggestions, memory)
        if draft.error:
            status = "partial" if draft.text else "failed"
            return Times(clock.first, clock.last, clock.now(), status, tuple(lost))
        said = split(draft.text)
        reviews: list[tuple[str, Awaitable[Any], Any]] = [
            ("cite", _each(said, lambda s: services.checker.check(s, evidence)), None),
            ("assess", _each(said, lambda s: services.judge.support(s, evidence)), None),
            ("tally", _each(said, lambda _: services.accountant.price(_paid(question, draft))), None),
        ]
        await tier(reviews, TIER2_SECONDS, lost)
        return Times(clock.first, clock.last, clock.now(), "complete", tuple(lost))

    return turn


async def _spoken(
    services: Services,
    clock: _Clock,
    question: Question,
    brief: Brief,
    evidence: Evidence,
    suggestions: ToolSuggestions,
    memory: Memory,
) -> Draft:
    tool_results = ToolResults(
        tuple([await services.caller.call(p, scope=Scope("bench", "bench")) for p in suggestions.tool_calls])
    )
    prompt = compose(
        question, brief, evidence=evidence, suggestions=suggestions, memory=memory, tool_results=tool_results
    )
    pieces: list[Piece] = []
    try:
        async for piece in services.llm.stream(prompt):
            if piece.text:
                clock.last = clock.now()
                clock.first = clock.last if clock.first is None else clock.first
            pieces.append(piece)
    except ServiceError as error:
        return drafted(pieces, error)
    return drafted(pieces)


async def _each(said: Sequence[Sentence], work: Callable[[Sentence], Awaitable[object]]) -> None:
    for sentence in said:
        await work(sentence)


def _paid(question: Question, draft: Draft) -> Call:
    return Call(question.run_id, "reply", draft.model, draft.provider, draft.usage)
