"""Which steps of a turn may be sent twice, and to whom: those that only read, where somebody else can be asked.

Never a step that writes, and only in the dataflow profile: the other two are what it is measured against.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from vital_engine.flow import Flow, Hedge, Load, Step
from vital_engine.nouns import Discarded, Draft, Piece
from vital_engine.ports import LLM, EarlySuggester, Services
from vital_engine.turn import drafted, recalling, replying, retrieving, suggesting
from vital_engine.turn.ahead import replying_anew
from vital_engine.turn.review import assessing, citing, tallying

from .early import load_of
from .reviewers import TwoAccountants, TwoCheckers, TwoJudges
from .settings import TurnSettings

REMEMBERED: Final = 1000.0
"""Turns after which what was learned counts half."""
SENTENCES: Final = 8
"""Of a typical answer: so many calls of a reviewer are one of another step. Those of a turn are alike, and a memory of a
thousand of them would have forgotten most stalls that one turn in a hundred has."""


class Hedges:
    """What the turns of one workflow have learned of each step that has a replica.

    :param services: with ``replicas`` that fail and stall independently of the first ones.
    :param load: how busy the first model is. Where it is too busy all calls are late, and copies would make it worse.
    """

    def __init__(self, services: Services, load: Load) -> None:
        replicas = services.replicas
        self._copies: dict[str, Any] = {}
        if replicas.retriever is not None:
            self._copies["retrieve"] = retrieving(replicas.retriever)
        if replicas.tool_suggester is not None:
            early = isinstance(services.tool_suggester, EarlySuggester)
            self._copies["suggest"] = suggesting(replicas.tool_suggester, early=early)
        if replicas.memory is not None:
            self._copies["recall"] = recalling(replicas.memory)
        self.of = {step: Hedge(half_life=REMEMBERED) for step in self._copies}
        if replicas.llm is not None:
            second = load_of(replicas.llm)
            self._copies["reply"] = partial(_replying, replicas.llm, second)
            self.of["reply"] = Hedge(half_life=REMEMBERED, busy=lambda: max(load.utilisation, second.utilisation))
        self._reviews = self._reviewing(services)

    def _reviewing(self, services: Services) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Steps that read along: each of their calls is hedged, a sentence at a time."""
        first, second, of = services, services.replicas, self.of

        def hedge(step: str) -> Hedge:
            return of.setdefault(step, Hedge(half_life=REMEMBERED * SENTENCES))

        works: dict[str, Callable[..., Awaitable[Any]]] = {}
        if second.checker is not None:
            works["cite"] = citing(TwoCheckers(first.checker, second.checker, hedge("cite")))
        if second.judge is not None:
            works["assess"] = assessing(TwoJudges(first.judge, second.judge, hedge("assess")))
        if second.accountant is not None:
            two = TwoAccountants(first.accountant, second.accountant, hedge("tally"))
            works["tally"] = tallying(two)
        return works

    def over(self, part: Flow | Step[Any], settings: TurnSettings) -> Flow:
        """*part*, with those of its steps hedged that may be."""
        flow = part if isinstance(part, Flow) else Flow(part.name, part)
        if not self.of or not settings.hedging or settings.profile != "dataflow":
            return flow
        return Flow(flow.name, *map(self._hedged, flow.steps), shape=flow.shape)

    def _hedged(self, step: Step[Any]) -> Step[Any]:
        if step.name in self._reviews:
            return step.hedging(self._reviews[step.name])
        if step.name not in self._copies:
            return step
        if step.name != "reply":
            return step.hedged(self._copies[step.name], self.of[step.name])
        return step.hedged(self._copies["reply"](reads_ahead=bool(step.inlets)), self.of["reply"], discarded)


def _replying(llm: LLM, load: Load, *, reads_ahead: bool) -> Callable[..., Awaitable[Draft]]:
    """A copy takes what the first call takes, of which it may have no use."""
    return replying_anew(llm, load) if reads_ahead else replying(llm, load)


def discarded(pieces: Sequence[Piece]) -> Piece:
    """A model's call that was cut off because the other one spoke first: it is paid for, and stands in the ledger."""
    draft = drafted(pieces)
    return Piece(discarded=Discarded("copy", draft.usage, draft.model, draft.provider))
