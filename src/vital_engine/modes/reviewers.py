"""Reviewers outside of the process, each with a second, independent one: whoever answers first about a sentence has answered.

They fulfil the ports of tier 2, for steps that hedge their calls (:meth:`.flow.Step.hedging`). One that answers with
something else than it promised has failed, and does not win.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vital_engine.flow import Hedge, call, either
from vital_engine.nouns import Call, Citation, Evidence, LedgerRow, Scope, Sentence, SentenceSupport
from vital_engine.ports import Accountant, CitationChecker, Judge
from vital_engine.turn.review import cited, priced, supported


class TwoCheckers:
    def __init__(self, first: CitationChecker, second: CitationChecker, hedge: Hedge) -> None:
        def asking(checker: CitationChecker) -> Any:
            async def ask(sentence: Sentence, evidence: Evidence, scope: Scope | None) -> Sequence[Citation]:
                return cited(await call(checker.check, sentence, evidence, scope=scope))

            return ask

        self._ask = either(asking(first), asking(second), hedge)

    async def check(self, sentence: Sentence, evidence: Evidence, *, scope: Scope | None = None) -> Sequence[Citation]:
        found: Sequence[Citation] = await self._ask(sentence=sentence, evidence=evidence, scope=scope)
        return found


class TwoJudges:
    def __init__(self, first: Judge, second: Judge, hedge: Hedge) -> None:
        def asking(judge: Judge) -> Any:
            async def ask(sentence: Sentence, evidence: Evidence) -> SentenceSupport:
                return supported(await call(judge.support, sentence, evidence))

            return ask

        self._ask = either(asking(first), asking(second), hedge)

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        verdict: SentenceSupport = await self._ask(sentence=sentence, evidence=evidence)
        return verdict


class TwoAccountants:
    def __init__(self, first: Accountant, second: Accountant, hedge: Hedge) -> None:
        def asking(accountant: Accountant) -> Any:
            async def ask(paid: Call) -> LedgerRow:
                return priced(await call(accountant.price, paid))

            return ask

        self._ask = either(asking(first), asking(second), hedge)

    async def price(self, call: Call) -> LedgerRow:
        row: LedgerRow = await self._ask(paid=call)
        return row
