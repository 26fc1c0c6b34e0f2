"""Services that do next to nothing, so that what a whole turn takes beside them is the engine's own.

Each fulfils its port and answers at once, or after a sleep. The model gives one piece per pass of the event loop, without
timers: that is the dearest way in which a model can speak, since whoever reads along is woken for each piece.
"""

# ruff: noqa: ARG002  (what does nothing uses nothing)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vital_engine.nouns import (
    Brief,
    Call,
    Citation,
    Evidence,
    Expert,
    LedgerRow,
    Memory,
    Passage,
    Piece,
    Prompt,
    Quality,
    Question,
    Scope,
    Sentence,
    SentenceSupport,
    ToolCall,
    ToolResult,
    ToolSuggestions,
    Usage,
)
from vital_engine.ports import Services

QUESTION = Question(text="What was found?", tenant="t1", user="u1")
PER_SENTENCE = 20
"""Tokens of a sentence."""
TENTH: Mapping[str, float] = {
    "retrieve": 0.05,
    "suggest": 0.03,
    "recall": 0.02,
    "reply": 0.15,
    "assess": 0.01,
    "cite": 0.015,
    "tally": 0.005,
}
"""Seconds of the seed profile, divided by ten; a turn without barriers takes 0.215."""

_BRIEF = Brief(Expert("idle", "Idle", "Says what it is told to say.", "You say what you are told to say."))
_EVIDENCE = Evidence((Passage("p1", "It was found.", "d1", start=0, end=13),))
_SPENT = Usage(input=100, output=20)


@dataclass(frozen=True, slots=True)
class _Idle:
    seconds: Mapping[str, float]
    sentences: int

    async def route(self, question: Question, *, mode: int) -> Brief:
        return _BRIEF

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        await self._sleep("retrieve")
        return _EVIDENCE

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        await self._sleep("suggest")
        return ToolSuggestions()

    async def recall(self, question: Question) -> Memory:
        await self._sleep("recall")
        return Memory()

    async def call(self, tool_call: ToolCall, **_: Any) -> ToolResult:
        return ToolResult(tool_call, "done")

    async def check(self, sentence: Sentence, evidence: Evidence, **_: Any) -> Sequence[Citation]:
        await self._sleep("cite", self.sentences)
        return ()

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        await self._sleep("assess", self.sentences)
        return SentenceSupport(sentence.index, None)

    async def price(self, call: Call) -> LedgerRow:
        await self._sleep("tally", self.sentences)
        return LedgerRow(call, Decimal(0), "local")

    async def _sleep(self, step: str, parts: int = 1) -> None:
        if (seconds := self.seconds.get(step, 0.0)) > 0:
            await asyncio.sleep(seconds / parts)


class Speaker:
    """*tokens* pieces in sentences of :data:`PER_SENTENCE`, all after *seconds*; one per pass of the loop."""

    def __init__(self, tokens: int, seconds: float = 0.0) -> None:
        self.pieces = [
            Piece(
                " end."
                if (i + 1) % PER_SENTENCE == 0 or i == tokens - 1
                else " Word"
                if i % PER_SENTENCE == 0
                else " word"
            )
            for i in range(tokens)
        ]
        self.pieces[0] = Piece("Word", model="idle", provider="idle")
        self._seconds = seconds

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        if self._seconds:
            await asyncio.sleep(self._seconds)
        for piece in self.pieces:
            await asyncio.sleep(0)
            yield piece
        yield Piece(usage=_SPENT, model="idle", provider="idle", finish="stop")


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
        grader=lambda *_, **__: Quality(),
    )
