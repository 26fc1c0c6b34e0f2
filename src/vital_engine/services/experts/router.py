"""Who answers: the expert that was asked for, or the one whose profile fits the question, or the generalist."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from vital_engine.errors import ConfigError, NotFound, ServiceError
from vital_engine.nouns import Brief, Expert, Question
from vital_engine.ports import Embedder
from vital_engine.services.caching.cache import LRUCache
from vital_engine.services.ranking import Match, Profile, Shortlist

from .profiles import shipped_experts

USER_PICKS: Final = frozenset({1, 3})
"""The modes in which the expert is the user's choice."""

WORDS_WEIGHT: Final = 0.15
LEAST: Final = 0.25
LEAST_BY_WORDS: Final = 1.0
"""A profile's standing is cosine + WORDS_WEIGHT * BM25, and must reach LEAST; without an embedder it is the BM25 score
alone, and must reach LEAST_BY_WORDS. Chosen on one half of tests/unit/experts/questions.yaml; see bench/tools.py."""

_KEPT: Final = 64
_SENTENCE: Final = re.compile(r"(?<=[.:;])\s+(?=[A-Z])")

More = Callable[[str], Awaitable[Sequence[Expert]]]
"""The experts that a tenant keeps in the store."""


class ExpertRouter:
    """Fulfils the port Roster.

    :param experts: those of the deployment; the shipped ones if not given.
    :param default: the id of the generalist, who competes like the others, and answers when no profile fits.
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
        self._shortlists: LRUCache[tuple[tuple[Expert, ...], bool], Shortlist] = LRUCache(entries=_KEPT)

    async def experts(self, tenant: str) -> tuple[Expert, ...]:
        """All experts of a tenant: the shipped ones and its own.

        :param tenant: the tenant.
        :raises StoreError: its own experts cannot be read.
        """
        own = await self._more(tenant) if self._more is not None else ()
        return tuple(({e.id: e for e in self._experts} | {e.id: e for e in own}).values())

    async def route(self, question: Question, *, mode: int) -> Brief:
        """Choose the expert for *question*.

        :param question: if ``question.expert`` is set, that expert is chosen.
        :param mode: 1 to 4.
        :returns: the expert, a reason, and the score of every candidate by each method; ``fallback`` marks the fallback
            expert.
        :raises NotFound: ``question.expert`` does not exist, or is not offered in *mode*.
        """
        if question.expert is not None:
            return _named(await self.experts(question.tenant), question.expert, mode)
        remark = ""
        try:
            experts = await self.experts(question.tenant)
        except ServiceError as error:
            # The question names no expert: the shipped ones can answer it while the store is away.
            experts, remark = self._experts, f"; the tenant's own experts could not be read ({error.code})"
        default = next(each for each in experts if each.id == self._default)
        if mode in USER_PICKS:
            return Brief(default, f"no expert was named: {default.name} answers{remark}", fallback=True)
        candidates = tuple(e for e in experts if mode in e.modes)
        standings, least, blind = await self._standings(candidates, question.text)
        scores = {s.id: {**s.scores, "fused": s.score} for s in standings}
        best = standings[0] if standings else None
        if best is None or best.score < least:
            nearest = f" (nearest {best.id}, {best.score:.2f} of {least:g})" if best is not None else ""
            why = f"no profile fits the question: {default.name} answers{nearest}{blind}{remark}"
            return Brief(default, why, scores, fallback=True)
        chosen = next(each for each in candidates if each.id == best.id)
        return Brief(chosen, f"{chosen.name} fits best{_figures(standings)}{blind}{remark}", scores)

    async def _standings(self, candidates: tuple[Expert, ...], text: str) -> tuple[list[Match], float, str]:
        """The candidates, best first; what the best must reach; and a remark if meaning should have counted."""
        remark = ""
        if self._embedder is not None:
            try:
                matches = await self._shortlist(candidates, dense=True).rank(text)
            except ServiceError as error:
                remark = f"; by words alone, as the embedder failed ({error.code})"
            else:
                return _sorted(matches, lambda s: s["dense"] + WORDS_WEIGHT * s["lexical"]), LEAST, ""
        matches = await self._shortlist(candidates, dense=False).rank(text)
        return _sorted(matches, lambda s: s["lexical"]), LEAST_BY_WORDS, remark

    def _shortlist(self, candidates: tuple[Expert, ...], *, dense: bool) -> Shortlist:
        key = (candidates, dense)
        shortlist = self._shortlists.get(key)
        if shortlist is None:
            shortlist = Shortlist([_profile(e) for e in candidates], self._embedder if dense else None)
            self._shortlists.put(key, shortlist)
        return shortlist


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


def _sorted(matches: Sequence[Match], standing: Callable[[Mapping[str, float]], float]) -> list[Match]:
    """By absolute score: the matching's own is relative to the best, and says nothing of whether that fits."""
    scored = [Match(m.id, standing(m.scores), m.scores) for m in matches]
    return sorted(scored, key=lambda m: -m.score)


def _figures(standings: Sequence[Match]) -> str:
    best = ", ".join(f"{name} {value:.2f}" for name, value in standings[0].scores.items())
    then = f"; next {standings[1].id} {standings[1].score:.2f}" if len(standings) > 1 else ""
    return f" ({standings[0].score:.2f}: {best}{then})"
