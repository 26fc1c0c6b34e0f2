"""Tier 2: citations, support and cost, all at once. Each is a fold over the sentences of the draft as they come.

So each gives the same on a stream as on the whole text, and after the last token only the last sentence is left to do.
Each streams what it knows early into ``out``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, Stream, call
from vital_engine.nouns import (
    Call,
    Citation,
    Citations,
    Cost,
    Discarded,
    Draft,
    Evidence,
    LedgerRow,
    Piece,
    Question,
    Scope,
    Sentence,
    SentenceSupport,
    Support,
    ToolSuggestions,
    Usage,
)
from vital_engine.ports import Accountant, CitationChecker, Judge, Services
from vital_engine.text.sentences import SentenceStream
from vital_engine.text.tokens import weigh

from .plan import ASSESS, CITE, REPLY, TALLY, TIER2


def review(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 2.

    :param services: the services.
    :param within: seconds that each step may take after the last token.
    """
    return Flow(
        TIER2,
        CITE.of(partial(cite, services.checker), within=within),
        ASSESS.of(partial(assess, services.judge), within=within),
        TALLY.of(partial(tally, services.accountant), within=within),
        given=(Question, Evidence, Draft),
    )


async def assess(judge: Judge, evidence: Evidence, draft: Stream[Draft]) -> Support:
    """How well the evidence supports each sentence of *draft*."""
    judged = [supported(await call(judge.support, each, evidence)) async for each in sentences(draft)]
    return Support(tuple(judged))


async def cite(
    checker: CitationChecker, question: Question, evidence: Evidence, draft: Stream[Draft], out: Stream[Citations]
) -> Citations:
    """The citations of *draft*, each streamed on as soon as its sentence is checked."""
    scope = Scope(question.tenant, question.user)
    async for sentence in sentences(draft):
        for citation in cited(await call(checker.check, sentence, evidence, scope=scope)):
            out.push(citation)
    return Citations(tuple(out.items))


async def tally(
    accountant: Accountant,
    question: Question,
    draft: Stream[Draft],
    out: Stream[Cost],
    suggestions: ToolSuggestions | None = None,
) -> Cost:
    """What the turn's calls cost: an estimate with each sentence, what the server reported at the end."""
    row: LedgerRow | None = None
    before = [await _price(accountant, paid) for paid in suggestions.calls] if suggestions is not None else []
    running = _Running()
    async for sentence in sentences(draft):
        row = await _price(accountant, _paid(question, draft.value or running.said(draft.items, sentence)))
        out.push(Cost((row, *before)))
    if row is None or row.call.status == "running":  # the end came after the last sentence
        row = await _price(accountant, _paid(question, draft.value or running.said(draft.items)))
    thrown_away = draft.value.discarded if draft.value is not None else ()
    return Cost((row, *before, *[await _price(accountant, paid) for paid in discarded(question, thrown_away)]))


def cited(found: Any) -> Sequence[Citation]:
    """:raises WrongType: these are no citations."""
    if not isinstance(found, Sequence) or not all(isinstance(c, Citation) for c in found):
        raise WrongType(f"the citation checker gave a {type(found).__name__}", service="citations")
    return found


def supported(verdict: Any) -> SentenceSupport:
    """:raises WrongType: this is no verdict."""
    if not isinstance(verdict, SentenceSupport):
        raise WrongType(f"the judge gave a {type(verdict).__name__}", service="judge")
    return verdict


def priced(row: Any) -> LedgerRow:
    """:raises WrongType: this is no row of the ledger."""
    if not isinstance(row, LedgerRow):
        raise WrongType(f"the accountant gave a {type(row).__name__}", service="cost")
    return row


async def _price(accountant: Accountant, paid: Call) -> LedgerRow:
    return priced(await call(accountant.price, paid))


def _paid(question: Question, said: Draft | _Running) -> Call:
    """The model call: an estimate while it runs, as the server reported it once it has ended."""
    status = "running" if isinstance(said, _Running) else "partial" if said.error else "done"
    return Call(question.run_id, REPLY.name, said.model, said.provider, said.usage, status)


def discarded(question: Question, calls: Sequence[Discarded]) -> list[Call]:
    """The paid calls of a turn whose words are not part of the answer."""
    return [
        Call(f"{question.run_id}/{i}", one.why, one.model, one.provider, one.usage, "discarded")
        for i, one in enumerate(calls, start=1)
    ]


class _Running:
    """What a draft has used so far: from sentence to sentence, so that its cost grows with the text and not faster."""

    __slots__ = ("_at", "_output", "_reported", "model", "provider")

    def __init__(self) -> None:
        self._at, self._output = 0, 0.0
        self._reported: Usage | None = None
        self.model = self.provider = ""

    def said(self, pieces: Sequence[Piece], sentence: Sentence | None = None) -> _Running:
        """With *sentence*, and with what has come since the last one."""
        for piece in pieces[self._at :]:
            self._reported = piece.usage or self._reported
            self.model = piece.model or self.model
            self.provider = piece.provider or self.provider
        self._at = len(pieces)
        if sentence is not None:
            self._output += weigh(sentence.text)
        return self

    @property
    def usage(self) -> Usage | None:
        """As the model's server reported it, or with what has been said as an estimate."""
        known = self._reported
        if known is not None and known.estimated and not known.output:
            return replace(known, output=ceil(self._output))
        return known


class _Sentences:
    """A fold: the sentences of a draft's pieces."""

    __slots__ = ("_cut",)

    def __init__(self) -> None:
        self._cut = SentenceStream()

    def feed(self, pieces: Sequence[Piece], /) -> list[Sentence]:
        return self._cut.feed("".join([piece.text for piece in pieces]))

    def close(self) -> list[Sentence]:
        return self._cut.close()


def sentences(draft: Stream[Draft]) -> AsyncIterator[Sentence]:
    """The sentences of a draft as soon as each is known. Cut once for all who read them."""
    return aiter(draft.pipe(_Sentences))
