"""What a turn leans on: one page of Protocols, each with one method and nothing to inherit.

Any object with the method fulfils the port. The method may be ``async def``, or a plain ``def``: a plain
one may block, and is run in a thread. What it raises is an outcome of its own step and of nothing else.
A deterministic fulfilment of each ships in :mod:`vital_engine.testing`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .nouns import (
    Brief,
    Call,
    Citation,
    Citations,
    Draft,
    Evidence,
    Finding,
    Kept,
    LedgerRow,
    Memory,
    Menu,
    Passage,
    Piece,
    Prompt,
    Proposal,
    Quality,
    Question,
    Scope,
    Sentence,
    SentenceSupport,
    Support,
)


@runtime_checkable
class Roster(Protocol):
    """Who answers. Obeys ``question.expert`` if it is set (NotFound if there is none of that name)."""

    async def choose(self, question: Question, *, mode: int) -> Brief: ...


@runtime_checkable
class Retriever(Protocol):
    """Passages for a query, best first, at most *k*; an empty sequence if there is nothing. May return Evidence."""

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage] | Evidence: ...


@runtime_checkable
class Suggester(Protocol):
    """Tool calls worth making for this question, best first, only from the expert's allowed tools."""

    async def suggest(self, question: Question, brief: Brief) -> Menu: ...


@runtime_checkable
class MemoryStore(Protocol):
    """Earlier turns of the question's conversation, and what is known of its user."""

    async def recall(self, question: Question) -> Memory: ...


@runtime_checkable
class Caller(Protocol):
    """Makes one approved call. Raises ToolError where the tool fails."""

    async def call(self, proposal: Proposal, *, scope: Scope) -> Finding: ...


@runtime_checkable
class LLM(Protocol):
    """A model's answer as it comes. Raises ModelError; closing the iterator must stop the model."""

    def stream(self, prompt: Prompt) -> AsyncIterator[Piece]: ...


@runtime_checkable
class CitationChecker(Protocol):
    """The citations of one sentence, each marker tied to a passage and a span, with a verdict."""

    async def check(self, sentence: Sentence, evidence: Evidence) -> Sequence[Citation]: ...


@runtime_checkable
class Judge(Protocol):
    """How well the evidence carries one sentence."""

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport: ...


@runtime_checkable
class Accountant(Protocol):
    """The price of one call, from its usage, model and date; unknown stays None."""

    async def price(self, call: Call) -> LedgerRow: ...


class Grader(Protocol):
    """How good an answer is: a pure function, without waiting. ``degraded``: step -> reason code."""

    def __call__(
        self,
        citations: Citations,
        support: Support,
        evidence: Evidence,
        draft: Draft,
        degraded: Mapping[str, str],
    ) -> Quality: ...


@runtime_checkable
class Register(Protocol):
    """Writes down that a turn has begun, before anybody is told so."""

    async def begin(self, question: Question, *, mode: int) -> None: ...


@runtime_checkable
class Keeper(Protocol):
    """Keeps a finished turn exactly once: the answer, its ledger and its receipt in one transaction."""

    async def keep(self, turn: Kept) -> None: ...


@runtime_checkable
class Embedder(Protocol):
    """Unit vectors of texts, one row each, float32; ``model`` names whose they are. May block."""

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class Vectors(Protocol):
    """A two-dimensional float32 array, as numpy makes it."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, index: int, /) -> Sequence[float]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Who fulfils each port. ``register`` and ``keeper`` may be absent: then nothing is kept."""

    roster: Roster
    retriever: Retriever
    suggester: Suggester
    memory: MemoryStore
    caller: Caller
    llm: LLM
    checker: CitationChecker
    judge: Judge
    accountant: Accountant
    grader: Grader
    register: Register | None = None
    keeper: Keeper | None = None
