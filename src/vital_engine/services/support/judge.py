"""The judge of support that ships with the package: small, fast, and honest about how little it understands.

Which sentences of an answer claim something (the others need no citation and get no score); which sentence of a
passage carries a claim, and how well: the one reading that citations and support share.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.nouns import TOOL_RESULT, Evidence, Passage, Sentence, SentenceSupport
from vital_engine.ports import Embedder, Vectors
from vital_engine.services.checks import Check, agree, hard_checks, wording
from vital_engine.services.checks.alignment import COPY, align
from vital_engine.services.checks.markers import Part, find, parts, without_markers
from vital_engine.text.sentences import split

from .model import SupportModel, bundled, choice_features, support_features

__all__ = [
    "ALTERED",
    "THRESHOLD",
    "VERBATIM",
    "LogisticJudge",
    "Match",
    "Matcher",
    "SentenceSource",
    "claims_something",
    "is_not_found",
]

_NOT_FOUND = re.compile(
    r"\bnot\s+(?:be\s+)?found\s+in\s+the\s+(?:document|passage|evidence|source|text)s?"
    r"|\b(?:documents?|passages?|evidence|sources?|context|information)\b[^.]{0,60}?\b(?:do(?:es)?\s+not|don['’]t"
    r"|doesn['’]t|did\s+not)\s+(?:\w+\s+)?(?:contain|mention|say|address|answer|include|provide|cover|discuss|state)\b"
    r"|\b(?:i|we)\s+(?:could\s+not|couldn['’]t|cannot|can['’]t|was\s+unable\s+to|were\s+unable\s+to|did\s+not)\s+"
    r"(?:find|answer|determine|locate|search)\b"
    r"|\bno\s+(?:relevant\s+)?(?:documents?|passages?|information|evidence)\s+(?:was|were|is|are)\s+(?:found|available"
    r"|provided)\b"
    r"|\b(?:documents|knowledge base)\s+could\s+not\s+be\s+searched\b",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"^(?:sure|certainly|of course|hello|hi|thank you|thanks|please|i hope|let me|here (?:is|are)|in summary:?$|note:?$"
    r"|sources?:?$|references?:?$|would you|do you|if you (?:have|would|need|want))\b",
    re.IGNORECASE,
)


def is_not_found(text: str) -> bool:
    """Whether *text* says that the documents do not answer: an honest sentence, and no claim about the world."""
    return _NOT_FOUND.search(text) is not None


def claims_something(text: str) -> bool:
    """Whether *text*, a sentence of an answer, states something that evidence could carry.

    No claim: a heading, a label ("Results:"), a question, a word to the reader, a "not found in the documents",
    a rule or a bare marker, a tool's result quoted as such.
    """
    plain = without_markers(text).strip().strip("*_ ").strip()
    if len(re.findall(r"[^\W\d_]{2,}", plain)) < 2:
        return False
    if plain.startswith(("#", TOOL_RESULT)) or plain.endswith(("?", ":")):
        return False
    return not is_not_found(plain) and _ADDRESSED.match(plain) is None


VERBATIM = 0.99
"""Score, by rule, of a claim that stands in the passage word for word. Not 1: that a text says it does not make it so."""

ALTERED = 0.05
"""Most that a copy with a changed figure, negation or direction can score, by rule: the model has never seen such."""

THRESHOLD = 0.5
"""Score from which on support is more likely than not, under the mixture that the model was calibrated for."""

_FEWEST = 3  # words that a verbatim claim has at least: less is found anywhere


Offload = Callable[..., Awaitable[Any]]
"""Calls a function with arguments somewhere else, as ``asyncio.to_thread`` does."""


class SentenceSource(Protocol):
    """Sentences of passages with unit vectors, as :class:`..retrieval.sentence_vectors.SentenceVectors` keeps them."""

    def of_all(self, passages: Sequence[Passage]) -> Sequence[tuple[Sequence[Sentence], Vectors]]:
        """The sentences of each passage, and their vectors.

        :param passages: what was retrieved.
        :returns: for each passage its sentences and unit vectors of shape (sentences, dimensions).
        """


@dataclass(frozen=True, slots=True)
class Match:
    """A claim and the stretch of a passage that best carries it: ``passage.text[start:end] == quote``.

    ``verbatim``: it stands there word for word; ``altered``: it would, but for something that a check objects to.
    """

    passage: Passage
    start: int
    end: int
    quote: str
    score: float
    checks: tuple[Check, ...]
    verbatim: bool = False
    altered: bool = False

    @property
    def carries(self) -> bool:
        """Whether the quote may be shown as carrying the claim: no check objects, and the score is high enough."""
        return agree(self.checks) and self.score >= THRESHOLD


class Matcher:
    """Reads a claim against passages. Blocks (a few milliseconds): call it in a thread. Safe in many threads.

    :param embedder: vectors of claims; None leaves the lexical model, which is worse (``model`` names which).
    :param sentences: vectors of the passages' sentences, of the same embedder; both or none.
    """

    def __init__(self, embedder: Embedder | None = None, sentences: SentenceSource | None = None) -> None:
        if (embedder is None) != (sentences is None):
            raise TypeError("an embedder needs a source of sentence vectors, and the other way round")
        self._model: SupportModel = bundled(embedder.model if embedder else "")
        dense = bool(self._model.embedder)
        self._embedder, self._sentences = (embedder, sentences) if dense else (None, None)
        self._vector = lru_cache(maxsize=512)(self._embed)

    @property
    def model(self) -> str:
        """Which coefficients score, such as "scifact-1/dense"."""
        return self._model.name

    def matches(self, claim: str, passages: Sequence[Passage]) -> list[Match]:
        """The best match in each of *passages* that has a sentence, in their order. *claim* bears no markers.

        :raises RetrievalError: the embedder failed.
        """
        read = self._read(passages)
        vector = self._vector(claim) if self._sentences is not None and passages else None
        found = []
        for passage, (sentences, vectors) in zip(passages, read, strict=True):
            if sentences:
                cosines = None if vector is None or vectors is None else np.asarray(vectors, np.float64) @ vector
                found.append(self._match(claim, passage, sentences, cosines))
        return found

    def best(self, claim: str, passages: Sequence[Passage]) -> Match | None:
        """The best of :meth:`matches`, the first of equals; None if no passage has a sentence.

        If none carries the claim, one that says the contrary in its words goes before one that says nothing of it.
        """
        matches = self.matches(claim, passages)
        best = max(matches, key=lambda m: m.score, default=None)
        if best is None or best.carries:
            return best
        return next((m for m in matches if m.altered), best)

    def _read(self, passages: Sequence[Passage]) -> Sequence[tuple[Sequence[Sentence], Vectors | None]]:
        if self._sentences is not None:
            return self._sentences.of_all(passages)
        return [(split(p.text), None) for p in passages]

    def _embed(self, claim: str) -> NDArray[np.float64]:
        assert self._embedder is not None
        return np.asarray(self._embedder.embed([claim])[0], np.float64)

    def _match(
        self, claim: str, passage: Passage, sentences: Sequence[Sentence], cosines: NDArray[np.float64] | None
    ) -> Match:
        texts = [s.text for s in sentences]
        rows = choice_features(claim, texts, cosines, opening=passage.start == 0)
        logits = self._model.choice.logits(rows)
        verbatim = _verbatim(claim, passage, sentences)
        first, last = verbatim or (_choice(claim, texts, logits),) * 2
        start, end = sentences[first].start, sentences[last].end
        quote, context = passage.text[start:end], f"{passage.title} {passage.text}"
        checks = hard_checks(claim, quote, context)
        if verbatim and agree(checks):
            return Match(passage, start, end, quote, VERBATIM, checks, verbatim=True)
        row = support_features(claim, context, float(logits[first : last + 1].max()), checks, cosines, first)
        score = min(self._model.support.probability(row), VERBATIM)
        altered = not agree(checks) and align(claim, quote).copied
        return Match(passage, start, end, quote, min(score, ALTERED) if altered else score, checks, altered=altered)


def _choice(claim: str, texts: Sequence[str], logits: NDArray[np.float64]) -> int:
    """The sentence of which *claim* is a copy, if there is one, or else the one that the model chooses."""
    near = [i for i, text in enumerate(texts) if wording(claim, text) >= COPY]
    copies = {i: align(claim, texts[i]).share for i in near if align(claim, texts[i]).copied}
    return max(copies, key=lambda i: copies[i]) if copies else int(np.argmax(logits))


def _verbatim(claim: str, passage: Passage, sentences: Sequence[Sentence]) -> tuple[int, int] | None:
    """The first and last sentence in which *claim* stands word for word, or None."""
    wanted = claim.strip().rstrip(".!?;: ")
    if len(wanted.split()) < _FEWEST:
        return None
    place = find(wanted, passage.text)
    if place is None:  # copies often leave out the source's own references
        bare = (without_markers(s.text).rstrip(".!?;: ") for s in sentences)
        return next(((i, i) for i, text in enumerate(bare) if text == wanted), None)
    inside = [i for i, s in enumerate(sentences) if s.start < place[1] and place[0] < s.end]
    return (inside[0], inside[-1]) if inside else None


class LogisticJudge:
    """Implements :class:`~vital_engine.ports.Judge` with a logistic regression and hard checks.

    The judge compares each part of a sentence with the passages that it cites, or with all passages if it cites none
    that exist; the least supported part decides. The score is the chance of support, calibrated on scientific claims
    (``bench/support.py`` prints how well). ``checks`` holds the results of the hard checks on the best quote, and
    "verbatim" if the sentence is a copy.

    The score is None if the sentence claims nothing or the search failed (``evidence.failed``). It is 0 if the search
    found nothing.
    """

    def __init__(self, matcher: Matcher, *, offload: Offload = asyncio.to_thread) -> None:
        self._matcher, self._offload = matcher, offload

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        """:raises RetrievalError: the embedder failed."""
        if evidence.failed or not claims_something(sentence.text):
            return SentenceSupport(sentence.index, None)
        if not evidence.passages:
            return SentenceSupport(sentence.index, 0.0)
        judged: SentenceSupport = await self._offload(self._judge, sentence, evidence)
        return judged

    def _judge(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        worst: Match | None = None
        checks = dict[str, bool]()
        for part in parts(sentence.text, [p.text for p in evidence.passages]):
            match = self._matcher.best(part.claim, _cited(part, evidence))
            if match is None:
                return SentenceSupport(sentence.index, 0.0)
            for check in match.checks:
                checks[check.name] = checks.get(check.name, True) and check.agrees
            checks["verbatim"] = checks.get("verbatim", True) and match.verbatim
            worst = match if worst is None or match.score < worst.score else worst
        assert worst is not None
        if not checks["verbatim"]:  # most sentences are no copies: that is no objection
            del checks["verbatim"]
        return SentenceSupport(sentence.index, worst.score, worst.passage.id, worst.quote, checks)


def _cited(part: Part, evidence: Evidence) -> tuple[Passage, ...]:
    numbers = part.marker.numbers if part.marker else ()
    return tuple(evidence.passages[n - 1] for n in numbers if 1 <= n <= len(evidence.passages)) or evidence.passages
