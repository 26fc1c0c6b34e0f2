"""Who answers: the expert that was asked for, or the one whose profile fits the question, or the generalist."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from vital_engine.errors import ConfigError, NotFound, ServiceError
from vital_engine.nouns import Brief, Expert, Question
from vital_engine.ports import Embedder
from vital_engine.services.tools.matching import Match, Profile, Shortlist

from .profiles import shipped_experts

USER_PICKS: Final = frozenset({1, 3})
"""The modes in which the expert is the user's choice."""

DENSE_WEIGHT: Final = 0.8
LEAST_COSINE: Final = 0.30
LEAST_BM25: Final = 3.0
"""What the best profile must reach to be chosen; with an embedder the cosine decides, without one the BM25 score.
Chosen, like the weight, on one half of the questions in tests/unit/experts/questions.yaml."""

_KEPT: Final = 64
_SENTENCE: Final = re.compile(r"(?<=[.:;])\s+(?=[A-Z])")

More = Callable[[str], Awaitable[Sequence[Expert]]]
"""The experts that a tenant keeps in the store."""


class Roster:
    """Fulfils the port Roster.

    :param experts: those of the deployment; the shipped ones if not given.
    :param default: the id of the generalist, who answers when no profile fits.
    :param more: a tenant's own experts; one with a known id takes that one's place, for that tenant.
    """

    def __init__(
        self,
        experts: Sequence[Expert] | None = None,
        *,
        default: str = "research",
        embedder: Embedder | None = None,
        more: More | None = None,
    ) -> None:
        self._experts = tuple(experts) if experts is not None else shipped_experts()
        if default not in {each.id for each in self._experts}:
            raise ConfigError(f"the default expert {default!r} is not in the roster")
        self._default, self._embedder, self._more = default, embedder, more
        # A tenant's profiles change rarely; its index is kept until others were asked for more recently.
        self._shortlists: OrderedDict[tuple[tuple[Expert, ...], bool], Shortlist] = OrderedDict()

    async def experts(self, tenant: str) -> tuple[Expert, ...]:
        """All experts of *tenant*, shipped and own. Raises StoreError if its own cannot be read."""
        own = await self._more(tenant) if self._more is not None else ()
        return tuple(({e.id: e for e in self._experts} | {e.id: e for e in own}).values())

    async def choose(self, question: Question, *, mode: int) -> Brief:
        """The expert for *question*, with a reason, and every candidate's score by each method.

        NotFound if ``question.expert`` does not exist or is not offered in *mode*. A fallback is labelled as one.
        """
        if question.expert is not None:
            return _named(await self.experts(question.tenant), question.expert, mode)
        remark = ""
        try:
            experts = await self.experts(question.tenant)
        except ServiceError as error:
            # The question names nobody: the shipped experts can answer it while the store is away.
            experts, remark = self._experts, f"; the tenant's own experts could not be read ({error.code})"
        default = next(each for each in experts if each.id == self._default)
        if mode in USER_PICKS:
            return Brief(default, f"no expert was named: {default.name} answers{remark}", fallback=True)
        candidates = tuple(e for e in experts if mode in e.modes and e.id != self._default)
        matches, dense, blind = await self._rank(candidates, question.text)
        scores = {m.id: {**m.scores, "fused": m.score} for m in matches}
        best = matches[0] if matches else None
        if best is None or not _fits(best, dense=dense):
            why = f"no profile fits the question: {default.name} answers{_nearest(best)}{blind}{remark}"
            return Brief(default, why, scores, fallback=True)
        chosen = next(each for each in candidates if each.id == best.id)
        return Brief(chosen, f"{chosen.name} fits best{_figures(matches)}{blind}{remark}", scores)

    async def _rank(self, candidates: tuple[Expert, ...], text: str) -> tuple[tuple[Match, ...], bool, str]:
        """The candidates, best first; whether meaning counted; and a remark if it should have."""
        dense = self._embedder is not None
        try:
            return await self._shortlist(candidates, dense=dense).rank(text), dense, ""
        except ServiceError as error:
            by_words = await self._shortlist(candidates, dense=False).rank(text)
            return by_words, False, f"; by words alone, the embedder failed ({error.code})"

    def _shortlist(self, candidates: tuple[Expert, ...], *, dense: bool) -> Shortlist:
        key = (candidates, dense)
        if key not in self._shortlists:
            embedder = self._embedder if dense else None
            self._shortlists[key] = Shortlist([_profile(e) for e in candidates], embedder, dense_weight=DENSE_WEIGHT)
        self._shortlists.move_to_end(key)
        while len(self._shortlists) > _KEPT:
            self._shortlists.popitem(last=False)
        return self._shortlists[key]


def _named(experts: Sequence[Expert], asked: str, mode: int) -> Brief:
    found = next((each for each in experts if each.id == asked), None)
    if found is None:
        raise NotFound(f"there is no expert {asked!r}")
    if mode not in found.modes:
        raise NotFound(f"the expert {asked!r} is not offered in mode {mode}")
    return Brief(found, f"{found.name} was asked for")


def _profile(expert: Expert) -> Profile:
    """A profile whose description is matched sentence by sentence: a question is about one of them, not about all."""
    sentences = _SENTENCE.split(expert.description)
    return Profile(expert.id, f"{expert.name}: {sentences[0]}", tuple(f"{expert.name}: {s}" for s in sentences[1:]))


def _fits(best: Match, *, dense: bool) -> bool:
    return best.scores["dense"] >= LEAST_COSINE if dense else best.scores["lexical"] >= LEAST_BM25


def _figures(matches: Sequence[Match]) -> str:
    best = ", ".join(f"{name} {value:.2f}" for name, value in matches[0].scores.items())
    then = f"; next {matches[1].id} {matches[1].score:.2f}" if len(matches) > 1 else ""
    return f" (score {matches[0].score:.2f}: {best}{then})"


def _nearest(best: Match | None) -> str:
    return f" (nearest {best.id}, score {best.score:.2f})" if best is not None else ""
