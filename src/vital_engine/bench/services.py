"""The services of the benchmark: deterministic fulfilments of the real ports, in drawn time.

They do nothing but take their time, fail as drawn, and write down what they were asked: what is measured is the engine.
:mod:`vital_engine.testing` has scripted services that also do the real work of a review; these are lean, since a tail
is seen only over many thousand turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from vital_engine.nouns import (
    Brief,
    Call,
    Citation,
    Citations,
    Draft,
    Effect,
    Evidence,
    Expert,
    LedgerRow,
    Memory,
    Quality,
    Question,
    Scope,
    Sentence,
    SentenceSupport,
    Support,
    ToolCall,
    ToolResult,
    ToolSuggestions,
    TurnRecord,
)
from vital_engine.ports import Replicas, Services

from .model import Model
from .stage import FIRST, SECOND, STAGE, take

_BRIEF = Brief(Expert("simulated", "Simulated", "Answers as drawn.", "Answer as drawn."), "simulated")


WRITES = frozenset({Effect.KEYED_WRITE, Effect.EFFECT})


class _Roster:
    async def route(self, question: Question, *, mode: int) -> Brief:  # noqa: ARG002
        return _BRIEF


class _Inputs:
    """Fulfils the ports of tier 1: Retriever, Suggester and MemoryStore."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:  # noqa: ARG002
        stage = STAGE.get()
        d, fault = stage.call("retrieve", self._attempt)
        await take(d.retrieve, fault)
        return stage.found.evidence

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:  # noqa: ARG002
        stage = STAGE.get()
        d, fault = stage.call("suggest", self._attempt)
        await take(d.suggest, fault)
        return stage.found.suggestions

    async def recall(self, question: Question) -> Memory:  # noqa: ARG002
        stage = STAGE.get()
        d, fault = stage.call("recall", self._attempt)
        await take(d.recall, fault)
        return stage.found.memory


class _Caller:
    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:  # noqa: ARG002
        STAGE.get().effects += tool_call.effect in WRITES
        return ToolResult(tool_call, "done", "What the simulated tool says.")


class _Reviews:
    """Fulfils the ports of tier 2, sentence by sentence. *outside*: by calls to somebody else."""

    def __init__(self, attempt: int, *, outside: bool) -> None:
        self._attempt, self._outside = attempt, outside

    async def check(
        self,
        sentence: Sentence,
        evidence: Evidence,  # noqa: ARG002
        *,
        scope: Scope | None = None,  # noqa: ARG002
    ) -> Sequence[Citation]:
        await self._take("cite", sentence.index)
        return ()

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:  # noqa: ARG002
        await self._take("assess", sentence.index)
        return SentenceSupport(sentence.index, 1.0)

    async def price(self, call: Call) -> LedgerRow:
        # What is priced is the call and not a sentence, one price after another; a copy is of the last one.
        asked = len(STAGE.get().reviews["tally"])
        await self._take("tally", asked if self._attempt == FIRST else asked - 1)
        return LedgerRow(call, Decimal(0))

    async def _take(self, step: str, sentence: int) -> None:
        await take(*STAGE.get().review(step, sentence, self._attempt, outside=self._outside))


class _Turns:
    async def begin(self, question: Question, *, mode: int) -> None: ...

    async def save(self, turn: TurnRecord) -> None:  # noqa: ARG002
        STAGE.get().kept += 1


def _grade(
    citations: Citations,  # noqa: ARG001
    support: Support,  # noqa: ARG001
    evidence: Evidence,  # noqa: ARG001
    draft: Draft,  # noqa: ARG001
    steps: float,  # noqa: ARG001
) -> Quality:
    return Quality()


def simulated(
    *,
    by_token: bool = False,
    capacity: int | None = None,
    replicas: bool = False,
    reviews_outside: bool = False,
) -> Services:
    """Services that take as long as was drawn for the turn of :data:`STAGE`.

    :param capacity: answers that a model makes at once.
    :param replicas: whether there is a second retriever, suggester, memory and model.
    :param reviews_outside: reviews are calls to somebody else, of whom there then is a second one as well.
    """
    inputs, reviews = _Inputs(FIRST), _Reviews(FIRST, outside=reviews_outside)
    services = Services(
        router=_Roster(),
        retriever=inputs,
        tool_suggester=inputs,
        memory=inputs,
        caller=_Caller(),
        llm=Model(FIRST, by_token=by_token, capacity=capacity),
        checker=reviews,
        judge=reviews,
        accountant=reviews,
        grader=_grade,
        turns=_Turns(),
    )
    if not replicas:
        return services
    second = _Inputs(SECOND)
    both = Replicas(second, second, second, Model(SECOND, by_token=by_token, capacity=capacity))
    if reviews_outside:
        reviewer = _Reviews(SECOND, outside=True)
        both = replace(both, checker=reviewer, judge=reviewer, accountant=reviewer)
    return replace(services, replicas=both)
