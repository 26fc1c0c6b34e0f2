"""Which of a few short profiles a question is about: words (BM25) and meaning (cosine), fused by score.

For rosters of tools and experts: tens to hundreds of profiles, held in memory. The fusion is the convex
combination of Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (TOIS 2023):
it keeps how far apart two scores are, which ranks forget and which short profiles need.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bm25s
import numpy as np
from numpy.typing import NDArray

from vital_engine.ports import Embedder
from vital_engine.text.words import stem

# bm25s sets its own logger to DEBUG when it is imported.
logging.getLogger("bm25s").setLevel(logging.WARNING)

DENSE_WEIGHT = 0.9
"""Share of meaning in the fused score, chosen on one half of MetaTool's questions (bench/tools.py); the rest is words."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-/]+")


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be chosen. ``text`` describes it; each of ``examples`` is a question that it should be chosen for."""

    id: str
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A profile's standing. ``score``: fused, 0 to 1; ``scores``: "lexical" (raw BM25) and "dense" (cosine)."""

    id: str
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)


def words(name: str) -> str:
    """A name as the words that it is made of: ``airQuality_forecast`` -> ``air Quality forecast``."""
    return " ".join(_CAMEL.sub(" ", name).split())


class Shortlist:
    """Ranks profiles for a question. Indexes and vectors are made once, on first use, in a thread."""

    def __init__(
        self, profiles: Sequence[Profile], embedder: Embedder | None = None, *, dense_weight: float = DENSE_WEIGHT
    ) -> None:
        self.profiles = tuple(profiles)
        self._embedder = embedder
        self._weight = dense_weight if embedder is not None else 0.0
        self._made = threading.Lock()
        self._index: Any = None
        self._vectors: NDArray[np.float32] | None = None
        self._owner: NDArray[np.intp] = np.empty(0, np.intp)

    async def rank(self, question: str) -> tuple[Match, ...]:
        """Every profile, best first; equal ones in the order given. Raises what the embedder raises."""
        if not self.profiles:
            return ()
        return await asyncio.to_thread(self.rank_now, question)

    def rank_now(self, question: str) -> tuple[Match, ...]:
        """As :meth:`rank`, in the calling thread: it computes, and the first call embeds every profile."""
        self._prepare()
        lexical = self._lexical(question)
        dense = self._dense(question)
        top = float(lexical.max(initial=0.0))
        fused = (1.0 - self._weight) * (lexical / top if top > 0 else lexical)
        if dense is not None:
            fused = fused + self._weight * np.clip(dense, 0.0, 1.0)
        order = np.argsort(-fused, kind="stable")
        return tuple(self._match(int(i), float(fused[i]), lexical, dense) for i in order)

    def _match(self, i: int, score: float, lexical: NDArray[np.float32], dense: NDArray[np.float32] | None) -> Match:
        scores = {"lexical": float(lexical[i])}
        if dense is not None:
            scores["dense"] = float(dense[i])
        return Match(id=self.profiles[i].id, score=score, scores=scores)

    def _prepare(self) -> None:
        with self._made:
            if self._index is not None:
                return
            if self._embedder is not None:
                texts = [text for p in self.profiles for text in (p.text, *p.examples)]
                owner = [i for i, p in enumerate(self.profiles) for _ in (p.text, *p.examples)]
                self._vectors = np.asarray(self._embedder.embed(texts), np.float32)
                self._owner = np.asarray(owner, np.intp)
            index = bm25s.BM25(method="lucene")
            index.index([self._tokens(" ".join((p.text, *p.examples))) for p in self.profiles], show_progress=False)
            self._index = index

    def _lexical(self, question: str) -> NDArray[np.float32]:
        known = [token for token in self._tokens(question) if token in self._index.vocab_dict]
        if not known:
            return np.zeros(len(self.profiles), np.float32)
        return np.asarray(self._index.get_scores(known), np.float32)

    def _dense(self, question: str) -> NDArray[np.float32] | None:
        """The cosine of the question with the nearest text of each profile."""
        if self._embedder is None or self._vectors is None:
            return None
        asked = np.asarray(self._embedder.embed([question]), np.float32)[0]
        best = np.full(len(self.profiles), -1.0, np.float32)
        np.maximum.at(best, self._owner, self._vectors @ asked)
        return best

    @staticmethod
    def _tokens(text: str) -> list[str]:
        tokens = bm25s.tokenize([words(text)], stopwords="en", stemmer=stem, return_ids=False, show_progress=False)
        return list(tokens[0])
