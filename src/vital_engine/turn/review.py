"""Tier 2: citations, support and cost, all at once. Each is a fold over the sentences of the draft as they come.

So each gives the same on a stream as on the whole text, and after the last token only the last sentence is left to do.
What is known early is streamed on (``out``), for whoever watches.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, Live, Policy, call, step
from vital_engine.nouns import (
    Call,
    Citation,
    Citations,
    Cost,
    Draft,
    Evidence,
    LedgerRow,
    Question,
    Scope,
    Sentence,
    SentenceSupport,
    Support,
)
from vital_engine.ports import Accountant, CitationChecker, Judge, Services
from vital_engine.sentences import SentenceStream

from .reply import drafted


def review(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 2. *within*: seconds that each may take after the last token."""
    policy = Policy(within=within, tier="tier2")
    return Flow(
        "tier2",
        step(citing(services.checker)).or_else(Citations.missing()).under(policy),
        step(assessing(services.judge)).or_else(Support.missing()).under(policy),
        step(tallying(services.accountant)).or_else(Cost.missing()).under(policy),
        given=(Question, Evidence, Draft),
    )


def assessing(judge: Judge) -> Callable[..., Awaitable[Support]]:
    async def assess(evidence: Evidence, draft: Live[Draft]) -> Support:
        judged = []
        async for sentence in sentences(draft):
            verdict = await call(judge.support, sentence, evidence)
            if not isinstance(verdict, SentenceSupport):
                raise WrongType(f"the judge gave a {type(verdict).__name__}", service="judge")
            judged.append(verdict)
        return Support(tuple(judged))

    return assess


def citing(checker: CitationChecker) -> Callable[..., Awaitable[Citations]]:
    async def cite(question: Question, evidence: Evidence, draft: Live[Draft], out: Live[Citations]) -> Citations:
        scope = Scope(question.tenant, question.user)
        async for sentence in sentences(draft):
            found = await call(checker.check, sentence, evidence, scope=scope)
            if not isinstance(found, Sequence) or not all(isinstance(c, Citation) for c in found):
                raise WrongType(f"the citation checker gave a {type(found).__name__}", service="citations")
            for citation in found:
                out.push(citation)
        return Citations(tuple(out.items))

    return cite


def tallying(accountant: Accountant) -> Callable[..., Awaitable[Cost]]:
    async def tally(question: Question, draft: Live[Draft], out: Live[Cost]) -> Cost:
        row: LedgerRow | None = None
        async for _ in sentences(draft):
            row = await _price(accountant, _paid(question, draft))
            out.push(Cost((row,)))
        if row is None or row.call.status == "running":  # the end came after the last sentence
            row = await _price(accountant, _paid(question, draft))
        return Cost((row,))

    return tally


async def _price(accountant: Accountant, paid: Call) -> LedgerRow:
    row = await call(accountant.price, paid)
    if not isinstance(row, LedgerRow):
        raise WrongType(f"the accountant gave a {type(row).__name__}", service="cost")
    return row


def _paid(question: Question, draft: Live[Draft]) -> Call:
    """The model call: an estimate while it runs, as the server reported it once it has ended."""
    whole = draft.value
    said = drafted(draft.items) if whole is None else whole
    status = "running" if whole is None else "partial" if whole.error else "done"
    return Call(question.run_id, "reply", said.model, said.provider, said.usage, status)


async def sentences(draft: Live[Draft]) -> AsyncIterator[Sentence]:
    """The sentences of a draft as soon as each is known."""
    cut = SentenceStream()
    async for batch in draft.batches():
        for sentence in cut.feed("".join(piece.text for piece in batch)):
            yield sentence
    for sentence in cut.close():
        yield sentence
