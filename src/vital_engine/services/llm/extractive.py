"""An answer without a language model: the sentences of the evidence that answer best, word for word, each cited.

It invents nothing, costs nothing and is there in milliseconds: the default where no model is configured, and the
floor where one has failed. What it cannot do is reason, add up or rephrase, and it does not pretend to.

Sentences are ranked by a weighted sum of features: those of extractive summarisation since Luhn (1958) and Edmundson
(1969), which are words shared with the question, cue words and position; to which the cosine of sentence vectors and
the rank of the passage are added.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import RetrievalError
from vital_engine.nouns import TOOL_RESULT, Evidence, Passage, Piece, Prompt, Sentence, ToolResults
from vital_engine.ports import Embedder
from vital_engine.text.sentences import split
from vital_engine.text.tokens import estimate_usage
from vital_engine.text.words import stems

__all__ = [
    "FEATURES",
    "MODEL",
    "NOT_FOUND",
    "NOT_SEARCHED",
    "PROVIDER",
    "Candidate",
    "Extractive",
    "Overlap",
    "SentenceSource",
    "Weights",
    "asks_for_an_effect",
    "candidates_of",
    "features",
    "question_terms",
]

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


def question_terms(question: str) -> frozenset[str]:
    """The content terms of a question.

    :param question: its text.
    :returns: stemmed terms without frequent words.
    """
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


log = logging.getLogger(__name__)

MODEL, PROVIDER = "extractive", "vital"

NOT_FOUND = "The answer was not found in the documents."
NOT_SEARCHED = "The documents could not be searched, so this question cannot be answered from them."

_SUPPORT = [FEATURES.index("passage_cosine"), FEATURES.index("passage_overlap")]
_LONGEST_RESULT = 600  # characters of a tool's result that are quoted
_REFERENCES = re.compile(r"\s*\[\s*\d[\d\s,;–-]*\]")
_ENDED = re.compile(r"""[.!?…][)\]}"'”’»]*(?: \[\d+\])?$""")
_LETTERS = re.compile(r"[^\W\d_]")


class SentenceSource(Protocol):
    """Sentences of passages with their unit vectors ``[n, dimensions]``, of the same model as the embedder's."""

    def of_all(self, passages: Sequence[Passage]) -> Sequence[tuple[Sequence[Sentence], NDArray[np.float32]]]:
        """The sentences of each passage, and their vectors.

        :param passages: what was retrieved.
        :returns: for each passage its sentences and unit vectors of shape (sentences, dimensions).
        """


@dataclass(frozen=True, slots=True)
class Weights:
    """How sentences are ranked, and when a passage carries an answer at all.

    :param values: of :data:`FEATURES`, in order.
    :param support: of a passage's best cosine and of its share of the question's terms.
    :param threshold: the least support of a passage from which sentences are quoted.
    """

    values: tuple[float, ...]
    support: tuple[float, float]
    threshold: float

    def __post_init__(self) -> None:
        if len(self.values) != len(FEATURES):
            raise ValueError(f"{len(FEATURES)} weights are needed, not {len(self.values)}")


# Chosen on the even half of 600 PubMedQA questions (bench/extractive.py). Least squares against the words of the
# experts' answers gave the weights of cosine and overlap. It cares little for position and would rather quote
# aims, which repeat the words of the question; those two and the cue words are set by hand, so that results are
# said and aims are not: aims are 3 instead of 17 of 100 sentences, for 2 of 100 of the experts' words.
# The thresholds let 2 (lexical: 4) of 100 questions that could be answered go unanswered.
WITH_VECTORS = Weights((0.18, 0.20, 0.20, 0.15, 0.05, 0.10, 0.08, -0.12, -0.03), support=(1.0, 0.5), threshold=0.75)
LEXICAL = Weights((0.0, 0.30, 0.0, 0.30, 0.10, 0.10, 0.08, -0.12, -0.03), support=(0.0, 1.0), threshold=0.38)


class Extractive:
    """Fulfils :class:`vital_engine.ports.LLM` without a model.

    :param embedder: for the vectors of questions, and of sentences where *vectors* is None. Without one, words decide.
    :param vectors: where vectors of sentences are kept; embedding the sentences of eight abstracts costs 0.3 s.
    :param most: sentences of an answer, at most.
    :param near: a sentence is said if its score reaches this share of the best one's.
    :param alike: two sentences that share this much of their words (Jaccard) say the same.
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        *,
        vectors: SentenceSource | None = None,
        most: int = 4,
        near: float = 0.75,
        alike: float = 0.6,
    ) -> None:
        self.model, self.provider = MODEL, PROVIDER
        self._embedder, self._vectors = embedder, vectors
        self._most, self._near, self._alike = most, near, alike

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer with sentences of the evidence, one piece per sentence.

        The last piece carries an estimated usage; it costs nothing. If the embedder fails, words alone decide.

        :param prompt: the question and its evidence.
        :returns: pieces, see :meth:`vital_engine.ports.LLM.stream`.
        """
        said = tool_results(prompt.tool_results)
        if prompt.evidence.failed:
            said.append(NOT_SEARCHED)
        else:
            said += await asyncio.to_thread(self._quotes, prompt.question.text, prompt.evidence) or [NOT_FOUND]
        text = ""
        for sentence in said:
            # what ends without a full stop (a list item, a cut passage) would else run into the next sentence
            gap = "" if not text else " " if _ENDED.search(text) else "\n"
            text += gap + sentence
            yield Piece(gap + sentence, model=MODEL, provider=PROVIDER)
        yield Piece(usage=estimate_usage(prompt, text), model=MODEL, provider=PROVIDER, finish="stop")

    def _quotes(self, question: str, evidence: Evidence) -> list[str]:
        """Sentences with their markers, in the order in which they are to be read; none where support is weak."""
        if not evidence.passages:
            return []
        cosines: NDArray[np.float32] | None = None
        try:
            sentences, cosines = self._near_to(question, evidence.passages)
        except RetrievalError as error:
            log.warning("the embedder failed: sentences are ranked by their words", extra={"code": error.code})
            sentences = [split(passage.text) for passage in evidence.passages]
        candidates, kept = candidates_of(sentences)
        if not candidates:
            return []
        weights = LEXICAL if cosines is None else WITH_VECTORS
        cosines = None if cosines is None else cosines[kept]
        table = features(question, candidates, cosines)
        support = table[:, _SUPPORT] @ np.array(weights.support, np.float32)
        scores = np.where(support >= weights.threshold, table @ np.array(weights.values, np.float32), -np.inf)
        return [f"{_clean(c.sentence.text)} [{c.passage + 1}]" for c in self._chosen(candidates, scores)]

    def _near_to(
        self, question: str, passages: Sequence[Passage]
    ) -> tuple[list[Sequence[Sentence]], NDArray[np.float32] | None]:
        """The sentences of each passage, and the cosine of each sentence with the question, if anything embeds."""
        if self._embedder is None:
            return [split(passage.text) for passage in passages], None
        asked = np.asarray(self._embedder.embed([question]), np.float32)[0]
        if self._vectors is not None:
            entries = self._vectors.of_all(passages)
            return [sentences for sentences, _ in entries], np.concatenate([matrix for _, matrix in entries]) @ asked
        cut: list[Sequence[Sentence]] = [split(passage.text) for passage in passages]
        matrix = self._embedder.embed([sentence.text for sentences in cut for sentence in sentences])
        return cut, np.asarray(matrix, np.float32) @ asked

    def _chosen(self, candidates: Sequence[Candidate], scores: NDArray[np.floating]) -> list[Candidate]:
        """The best sentences that do not repeat each other; passages by their best sentence, sentences as they stand."""
        order = sorted(range(len(candidates)), key=lambda i: (-scores[i], i))
        best = float(scores[order[0]])
        if best == -np.inf:
            return []
        least = best - (1.0 - self._near) * abs(best)
        chosen: list[int] = []
        words: list[set[str]] = []
        for index in order:
            if len(chosen) == self._most or float(scores[index]) < least:
                break
            mine = set(stems(candidates[index].sentence.text))
            if all(len(mine & other) < self._alike * len(mine | other) for other in words):
                chosen.append(index)
                words.append(mine)
        passages = list(dict.fromkeys(candidates[i].passage for i in chosen))
        return [candidates[i] for i in sorted(chosen, key=lambda i: (passages.index(candidates[i].passage), i))]


def candidates_of(passages: Sequence[Sequence[Sentence]]) -> tuple[list[Candidate], list[int]]:
    """The sentences that can be quoted, and which ones of all sentences, in order, these are.

    A question asks instead of saying, and a heading or a row of figures says nothing by itself.
    """
    found: list[Candidate] = []
    kept: list[int] = []
    row = 0
    for number, sentences in enumerate(passages):
        last = max(1, len(sentences) - 1)
        for place, sentence in enumerate(sentences):
            if _speaks(sentence.text):
                found.append(Candidate(sentence, number, place / last))
                kept.append(row)
            row += 1
    return found, kept


def tool_results(tool_results: ToolResults) -> list[str]:
    """A sentence for each tool that gave a result, which is quoted as it came, on one line."""
    said = []
    for tool_result in tool_results.results:
        if tool_result.status != "done" or not tool_result.text.strip():
            continue
        text = " ".join(tool_result.text.split())
        text = text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT].rstrip()}…"
        said.append(
            f"{TOOL_RESULT} {tool_result.tool_call.tool}: {text}{'' if text.endswith(('.', '!', '…')) else '.'}"
        )
    return said


def _speaks(text: str) -> bool:
    return len(text.split()) >= 4 and not text.rstrip().endswith("?") and len(_LETTERS.findall(text)) >= len(text) / 3


def _clean(text: str) -> str:
    """*text* without the reference numbers of its own document: here they would read as citations of ours."""
    return _REFERENCES.sub("", text)
