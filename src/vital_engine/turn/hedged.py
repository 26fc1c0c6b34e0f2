"""Which steps of a turn may be sent twice, and to which service: those that only read, where there is a second one.

Never a step that writes, and only in the dataflow profile: the other two are what it is measured against.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from vital_engine.flow import Flow, Hedge, Load, Step, call, either
from vital_engine.nouns import Call, Citation, Discarded, Evidence, LedgerRow, Piece, Scope, Sentence, SentenceSupport
from vital_engine.ports import Accountant, CitationChecker, Judge, Services

from .early import load_of
from .gather import recall, retrieve, suggest
from .plan import ASSESS, CITE, RECALL, REPLY, RETRIEVE, SUGGEST, TALLY, PlannedStep
from .reply import drafted, reply
from .review import assess, cite, cited, priced, supported, tally

HALF_LIFE: Final = 1000.0
"""Turns after which what was learned counts half."""
SENTENCES: Final = 8
"""Of a typical answer: so many calls of a reviewer are one of another step. Those of a turn are alike, and a memory of a
thousand of them would have forgotten most stalls that one turn in a hundred has."""

Work = Callable[..., Awaitable[Any]]


class Hedges:
    """What the turns of one workflow have learned of each step that has a replica.

    :param services: with ``replicas`` that fail and stall independently of the first ones.
    :param load: how busy the first model is. Where it is too busy all calls are late, and hedging would make it worse.
    """

    def __init__(self, services: Services, load: Load) -> None:
        replicas = services.replicas
        self.of: dict[str, Hedge] = {}
        self._seconds: dict[str, Work] = {}  # the same step, asked of the second service
        self._reviews: dict[
            str, Work
        ] = {}  # steps that read along: each of their calls is hedged, a sentence at a time
        if replicas.retriever is not None:
            self._second(RETRIEVE, partial(retrieve, replicas.retriever))
        if replicas.tool_suggester is not None:
            self._second(SUGGEST, partial(suggest, replicas.tool_suggester, services.caller))
        if replicas.memory is not None:
            self._second(RECALL, partial(recall, replicas.memory))
        if replicas.llm is not None:
            second = load_of(replicas.llm)
            busy = lambda: max(load.utilisation, second.utilisation)  # noqa: E731
            # The second call has no share of a question's cost limit.
            self._second(REPLY, partial(reply, replicas.llm, second, None), busy)
        if replicas.checker is not None:
            self._reviews[CITE.name] = partial(cite, TwoCheckers(services.checker, replicas.checker, self._hedge(CITE)))
        if replicas.judge is not None:
            self._reviews[ASSESS.name] = partial(assess, TwoJudges(services.judge, replicas.judge, self._hedge(ASSESS)))
        if replicas.accountant is not None:
            two = TwoAccountants(services.accountant, replicas.accountant, self._hedge(TALLY))
            self._reviews[TALLY.name] = partial(tally, two)

    def _second(self, planned: PlannedStep[Any], work: Work, busy: Callable[[], float] | None = None) -> None:
        assert planned.hedgeable
        self._seconds[planned.name] = work
        self.of[planned.name] = Hedge(half_life=HALF_LIFE, busy=busy)

    def _hedge(self, planned: PlannedStep[Any]) -> Hedge:
        assert planned.hedgeable
        return self.of.setdefault(planned.name, Hedge(half_life=HALF_LIFE * SENTENCES))

    def over(self, part: Flow | Step[Any], *, on: bool) -> Flow:
        """*part*, with hedging for those of its steps that may be hedged.

        :param part: a flow or a step.
        :param on: whether hedging is on.
        """
        flow = part if isinstance(part, Flow) else Flow(part.name, part)
        if not self.of or not on:
            return flow
        return Flow(flow.name, *map(self._hedged, flow.steps), shape=flow.shape)

    def _hedged(self, step: Step[Any]) -> Step[Any]:
        if step.name in self._reviews:
            return step.hedging(self._reviews[step.name])
        if step.name not in self._seconds:
            return step
        lost = discarded if step.name == REPLY.name else None
        return step.hedged(self._seconds[step.name], self.of[step.name], lost)


def discarded(pieces: Sequence[Piece]) -> Piece:
    """A hedged model call that lost: it is paid for, and stands in the ledger."""
    draft = drafted(pieces)
    return Piece(discarded=Discarded("copy", draft.usage, draft.model, draft.provider))


# -- reviewers outside of the process, each with a second, independent one: the first answer about a sentence counts. They
# fulfil the ports of tier 2. One that answers with something else than it promised has failed, and does not win.
class TwoCheckers:
    """Two citation checkers as one."""

    def __init__(self, first: CitationChecker, second: CitationChecker, hedge: Hedge) -> None:
        def asking(checker: CitationChecker) -> Any:
            async def ask(sentence: Sentence, evidence: Evidence, scope: Scope | None) -> Sequence[Citation]:
                return cited(await call(checker.check, sentence, evidence, scope=scope))

            return ask

        self._ask = either(asking(first), asking(second), hedge)

    async def check(self, sentence: Sentence, evidence: Evidence, *, scope: Scope | None = None) -> Sequence[Citation]:
        """See :meth:`vital_engine.ports.CitationChecker.check`."""
        found: Sequence[Citation] = await self._ask(sentence=sentence, evidence=evidence, scope=scope)
        return found


class TwoJudges:
    """Two judges of support as one."""

    def __init__(self, first: Judge, second: Judge, hedge: Hedge) -> None:
        def asking(judge: Judge) -> Any:
            async def ask(sentence: Sentence, evidence: Evidence) -> SentenceSupport:
                return supported(await call(judge.support, sentence, evidence))

            return ask

        self._ask = either(asking(first), asking(second), hedge)

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        """See :meth:`vital_engine.ports.Judge.support`."""
        verdict: SentenceSupport = await self._ask(sentence=sentence, evidence=evidence)
        return verdict


class TwoAccountants:
    """Two accountants as one."""

    def __init__(self, first: Accountant, second: Accountant, hedge: Hedge) -> None:
        def asking(accountant: Accountant) -> Any:
            async def ask(paid: Call) -> LedgerRow:
                return priced(await call(accountant.price, paid))

            return ask

        self._ask = either(asking(first), asking(second), hedge)

    async def price(self, call: Call) -> LedgerRow:
        """See :meth:`vital_engine.ports.Accountant.price`."""
        row: LedgerRow = await self._ask(paid=call)
        return row
