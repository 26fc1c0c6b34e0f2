"""The ways to run a turn that are measured side by side: this engine with its features switched off in turn, and what one
would write by hand on the same services. Data: each names what the oracle may allow it, and what its figures are called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from vital_engine import nouns
from vital_engine.errors import ServiceError
from vital_engine.modes import Finished, Mode2AutomaticWorkflow, Token
from vital_engine.nouns import Answer
from vital_engine.ports import Services
from vital_engine.text.sentences import split
from vital_engine.turn import compose, drafted


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the question was asked until the first token, the last token, and all that is known of the answer.

    ``status``: complete, partial or failed. ``degraded``: the steps that did without their own product. ``retracted``: its
    reader was shown a word that is not in the answer. ``known``: the inputs that were had from an earlier turn.
    """

    first_token: float | None
    last_token: float | None
    total: float
    status: str = "complete"
    degraded: tuple[str, ...] = ()
    retracted: bool = False
    known: tuple[str, ...] = ()


Turn: TypeAlias = Callable[[nouns.Question], Awaitable[Times]]
"""One way to run a turn, set up: called once for each."""

# -- by hand: a tier of calls run one after another, all at once without limits, as the seed was reported (all of a tier is
# -- given up if it is not done within its limit), or with a limit for each call. None reads along, or reads ahead.
TIER1_SECONDS, TIER2_SECONDS = 5.0, 2.0


@dataclass(slots=True)
class _Clock:
    began: float
    first: float | None = None
    last: float | None = None

    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self.began, 9)


Calls: TypeAlias = Sequence[tuple[str, Awaitable[Any], Any]]
"""(step, call, what is given where it fails)."""
Tier: TypeAlias = Callable[[Calls, float, list[str]], Awaitable[list[Any]]]
"""Runs calls within a limit; the steps that failed are added to the list."""


async def in_turn(calls: Calls, within: float, lost: list[str]) -> list[Any]:
    results = []
    for call in calls:
        results += await unlimited([call], within, lost)
    return results


async def unlimited(calls: Calls, within: float, lost: list[str]) -> list[Any]:
    del within
    return _or_else(await asyncio.gather(*(call for _, call, _ in calls), return_exceptions=True), calls, lost)


async def as_batch(calls: Calls, within: float, lost: list[str]) -> list[Any]:
    batch = asyncio.gather(*(call for _, call, _ in calls), return_exceptions=True)
    try:
        results = await asyncio.wait_for(batch, within)
    except TimeoutError:  # what had been done by then is given up with the rest
        lost += [step for step, _, _ in calls]
        return [otherwise for _, _, otherwise in calls]
    return _or_else(results, calls, lost)


async def by_itself(calls: Calls, within: float, lost: list[str]) -> list[Any]:
    limited = [asyncio.wait_for(_awaited(call), within) for _, call, _ in calls]
    return _or_else(await asyncio.gather(*limited, return_exceptions=True), calls, lost)


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


def _or_else(results: Sequence[Any], calls: Calls, lost: list[str]) -> list[Any]:
    given = []
    for result, (step, _, otherwise) in zip(results, calls, strict=True):
        failed = isinstance(result, ServiceError | TimeoutError)
        if isinstance(result, BaseException) and not failed:
            raise result
        lost += [step] * failed
        given.append(otherwise if failed else result)
    return given


def by_hand(services: Services, tier: Tier) -> Callable[[nouns.Question], Awaitable[Times]]:
    """A turn whose tiers are run by *tier*."""

    async def turn(question: nouns.Question) -> Times:
        clock, lost = _Clock(asyncio.get_running_loop().time()), list[str]()
        brief = await services.router.route(question, mode=2)
        scope = nouns.Scope(question.tenant, question.user)
        inputs: list[tuple[str, Awaitable[Any], Any]] = [
            ("retrieve", services.retriever.search(question.text, k=8, scope=scope), nouns.Evidence.missing()),
            ("suggest", services.tool_suggester.suggest(question, brief), nouns.ToolSuggestions.missing()),
            ("recall", services.memory.recall(question), nouns.Memory.missing()),
        ]
        evidence, suggestions, memory = await tier(inputs, TIER1_SECONDS, lost)
        draft = await _spoken(
            services, clock, question, brief, evidence=evidence, suggestions=suggestions, memory=memory
        )
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
    services: Services, clock: _Clock, question: nouns.Question, brief: nouns.Brief, **found: Any
) -> nouns.Draft:
    scope = nouns.Scope(question.tenant, question.user)
    results = tuple([await services.caller.call(p, scope=scope) for p in found["suggestions"].tool_calls])
    prompt = compose(question, brief, tool_results=nouns.ToolResults(results), **found)
    pieces: list[nouns.Piece] = []
    try:
        async for piece in services.llm.stream(prompt):
            if piece.text:
                clock.last = clock.now()
                clock.first = clock.last if clock.first is None else clock.first
            pieces.append(piece)
    except ServiceError as error:
        return drafted(pieces, error)
    return drafted(pieces)


async def _each(said: Sequence[nouns.Sentence], work: Callable[[nouns.Sentence], Awaitable[object]]) -> None:
    for sentence in said:
        await work(sentence)


def _paid(question: nouns.Question, draft: nouns.Draft) -> nouns.Call:
    return nouns.Call(question.run_id, "reply", draft.model, draft.provider, draft.usage)


# -- this engine
Label: TypeAlias = Literal["lossless", "cached"]
"""``lossless``: every word was made of what this turn found. ``cached``: something was known from an earlier turn."""


@dataclass(frozen=True, slots=True)
class Variant:
    """``allows``: which of the oracle's policies it is the measure of. ``ours``: settings of this engine's workflow;
    else ``by_hand``. ``copies``: whether calls may be sent to a second, independent service."""

    name: str
    allows: str
    ours: Mapping[str, Any] | None = None
    by_hand: Callable[[Services], Turn] | None = None
    label: Label = "lossless"
    copies: bool = False

    def turn(self, services: Services) -> Turn:
        """Set up: one workflow for all turns, so that what it learns from one serves the next."""
        if self.by_hand is not None:
            return self.by_hand(services)
        return engine(Mode2AutomaticWorkflow(services, watchers=(), **(self.ours or {})), read=self.copies)


def engine(workflow: Mode2AutomaticWorkflow, *, read: bool) -> Turn:
    """*read*: its words are read as they come, and compared with those of the answer: two models may have spoken."""

    async def turn(question: nouns.Question) -> Times:
        if not read:
            return times_of(await workflow.execute(question))
        shown, answers = list[str](), list[Answer]()
        async for event in workflow.stream(question):
            if isinstance(event, Token):
                shown.append(event.text)
            elif isinstance(event, Finished):
                answers.append(event.answer)
        (answer,) = answers
        return replace(times_of(answer), retracted="".join(shown) != answer.text)

    return turn


def times_of(answer: Answer) -> Times:
    t = answer.timing
    known = [name for name, noun in (("retrieve", answer.evidence), ("suggest", _menu(answer))) if noun.cached]
    return Times(t.first_token, t.last_token, t.total, answer.status, tuple(answer.degraded), known=tuple(known))


def _menu(answer: Answer) -> nouns.ToolSuggestions:
    suggestions = getattr(answer.outcomes.get("suggest"), "value", None)
    return suggestions if isinstance(suggestions, nouns.ToolSuggestions) else nouns.ToolSuggestions()


SEQUENTIAL = Variant("sequential", "sequential", {"profile": "sequential", "hedging": False})
TIERS = Variant("tiers", "tiers", {"profile": "tiers", "hedging": False})
STREAM = Variant("+ tier 2 reads along", "stream", {"prefill": "off", "hedging": False})
PREFIX = Variant("+ prefix read ahead", "prefix", {"prefill": "prefix", "hedging": False})
SEGMENTS = Variant("+ segments read ahead", "segments", {"prefill": "segments", "hedging": False})
HEDGED = Variant("+ hedging", "segments", {}, copies=True)
BY_HAND = (
    Variant("asyncio, one by one", "sequential", by_hand=lambda s: by_hand(s, in_turn)),
    Variant("asyncio, gather", "tiers", by_hand=lambda s: by_hand(s, unlimited)),
    Variant("asyncio, the seed", "tiers", by_hand=lambda s: by_hand(s, as_batch)),
    Variant("asyncio, a limit each", "tiers", by_hand=lambda s: by_hand(s, by_itself)),
)
LADDER = (SEQUENTIAL, TIERS, STREAM, PREFIX, SEGMENTS)
"""Each does what the one before it does, and one thing more."""
ALL = (*BY_HAND, *LADDER, HEDGED)
BY_NAME: Mapping[str, Variant] = {variant.name: variant for variant in ALL}
