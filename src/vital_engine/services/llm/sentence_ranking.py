"""Which sentences of the evidence answer a question best: features of each, and their weighted sum.

The features are those of extractive summarisation since Luhn (1958) and Edmundson (1969): words shared with the
question, cue words, position; to which the cosine of sentence vectors and the rank of the passage are added.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import Stemmer
from numpy.typing import NDArray

from vital_engine.nouns import Sentence

__all__ = ["FEATURES", "Candidate", "Overlap", "asks_for_an_effect", "features", "question_terms", "stems"]

FEATURES = ("cosine", "overlap", "passage_cosine", "passage_overlap", "rank", "position", "result", "background", "odd")
"""The columns of :func:`features`, each from 0 to 1 (cosines from -1 to 1):

* ``cosine``: of the sentence's vector and the question's.
* ``overlap``: the share of the question's terms, weighted by rarity, that the sentence holds.
* ``passage_cosine``, ``passage_overlap``: the best cosine and the overlap of its whole passage.
* ``rank``: 1 for the first passage retrieved, 1/2 for the second, and so on.
* ``position``: 0 for a passage's first sentence, 1 for its last.
* ``result``: it speaks like a result or a conclusion, and the question asks for an effect.
* ``background``: it speaks like an aim or a background.
* ``odd``: it is shorter than 6 words or longer than 60.
"""

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_STOP = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "being",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "during",
        "each",
        "for",
        "from",
        "had",
        "has",
        "have",
        "having",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "might",
        "more",
        "most",
        "no",
        "nor",
        "not",
        "of",
        "on",
        "or",
        "other",
        "our",
        "over",
        "own",
        "same",
        "she",
        "he",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)
_EFFECT = re.compile(
    r"\b(affect\w*|associat\w*|benefi\w*|better|caus\w*|compar\w*|contribut\w*|correlat\w*|differ\w*|effect\w*|effic\w*|"
    r"enhanc\w*|impact\w*|improv\w*|increas\w*|decreas\w*|influenc\w*|lead|leads|predict\w*|prevent\w*|promot\w*|"
    r"reduc\w*|relat\w*|risk\w*|role|safe\w*|superior|useful\w*|valid\w*|worse\w*|necessary|need\w*|help\w*)\b"
    r"|^\s*(are|can|could|do|does|did|has|have|is|should|was|were|will|would)\b",
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"\b(conclu\w+|suggest(?:s|ed|ing)?|indicat(?:e|es|ed|ing)|demonstrat\w+|show(?:s|ed|n)?|found|reveal\w*|observed|"
    r"significant(?:ly)?|associat(?:ed|ion)|correlat(?:ed|ion)|no (?:significant )?difference|increased|decreased|"
    r"reduced|improved|higher|lower|compared (?:with|to)|versus|result(?:s|ed)?|p\s*[<=>]|odds ratio|hazard ratio|"
    r"confidence interval)\b|\bp\s*[<=>]|\d\s?%",
    re.IGNORECASE,
)
_BACKGROUND = re.compile(
    r"\b(aim(?:s|ed)?|objective|purpose|hypothesi[sz]\w*|we sought|to (?:determine|assess|evaluate|investigate|examine|"
    r"explore|compare|test|identify)|little is known|remains? (?:unclear|unknown|controversial)|background|"
    r"were (?:recruited|randomi[sz]ed|enrolled|included)|was (?:performed|conducted|carried out))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that could be quoted. ``passage`` counts from 0, ``place`` is 0 to 1 within its passage."""

    sentence: Sentence
    passage: int
    place: float


def stems(text: str) -> list[str]:
    """The stemmed words of *text* (Snowball's English stemmer), without the frequent ones."""
    words = [word for word in (match.lower() for match in _WORD.findall(text)) if word not in _STOP]
    # the stemmer keeps state and is not safe to share between threads; making one costs microseconds
    stemmed: list[str] = Stemmer.Stemmer("english").stemWords(words)
    return stemmed


def question_terms(question: str) -> frozenset[str]:
    return frozenset(stems(question))


def asks_for_an_effect(question: str) -> bool:
    """Whether the question wants a finding (does A change B?) rather than a description."""
    return _EFFECT.search(question) is not None


class Overlap:
    """Shares of a question's terms, weighted by how rare they are among the sentences at hand.

    The weight is BM25's: ``log(1 + (n - df + 0.5) / (df + 0.5))``; a term that stands nowhere weighs as much as
    one that stands once, so that a question about something else has a small share everywhere.
    """

    def __init__(self, terms: frozenset[str], texts: Sequence[frozenset[str]]) -> None:
        count = Counter(term for text in texts for term in text & terms)
        size = len(texts)
        self._weights = {t: math.log(1 + (size - max(1, count[t]) + 0.5) / (max(1, count[t]) + 0.5)) for t in terms}
        self._total = sum(self._weights.values())

    def of(self, text: frozenset[str]) -> float:
        """From 0 to 1."""
        return sum(w for t, w in self._weights.items() if t in text) / self._total if self._total else 0.0


def features(
    question: str, candidates: Sequence[Candidate], cosines: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """One row per candidate, :data:`FEATURES` wide. *cosines* is None where nothing embeds: its columns are 0."""
    words = [frozenset(stems(c.sentence.text)) for c in candidates]
    overlap = Overlap(question_terms(question), words)
    effect = asks_for_an_effect(question)
    passages = sorted({c.passage for c in candidates})
    whole = {
        p: overlap.of(frozenset().union(*(w for w, c in zip(words, candidates, strict=True) if c.passage == p)))
        for p in passages
    }
    near = [float(x) for x in cosines] if cosines is not None else [0.0] * len(candidates)
    nearest = {p: max(x for x, c in zip(near, candidates, strict=True) if c.passage == p) for p in passages}
    rows = [
        (
            cosine,
            overlap.of(terms),
            nearest[c.passage],
            whole[c.passage],
            1.0 / (c.passage + 1),
            c.place,
            float(effect and _RESULT.search(c.sentence.text) is not None),
            float(_BACKGROUND.search(c.sentence.text) is not None),
            float(not 6 <= len(c.sentence.text.split()) <= 60),
        )
        for c, terms, cosine in zip(candidates, words, near, strict=True)
    ]
    return np.array(rows, np.float32).reshape(len(rows), len(FEATURES))
