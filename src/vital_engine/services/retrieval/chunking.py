"""Documents to chunks: whole sentences, cut where the text itself pauses, of even size.

A chunk is the unit of search and of citation. Its title is carried beside its text, never inside, so that
``chunk.text == document.text[chunk.start:chunk.end]`` and a quote can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from vital_engine.nouns import Sentence
from vital_engine.text.sentences import split
from vital_engine.text.tokens import estimate_word_pieces

from .reading import Document

__all__ = ["TARGET_TOKENS", "Chunk", "chunk"]

TARGET_TOKENS = 220
"""What MiniLM reads whole. Dense search alone, with titles: SciFact nDCG@10 .666 in 2.0 chunks an abstract, against
.650 at 480 tokens, where 9 of 10 abstracts stay whole but their ends are not read, and .641 for abstracts uncut.
PubMedQA: .986, against .988 at 480."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """``document.text[start:end]``, the page that it begins on (None where there are none), and the sentences in
    it as spans of *its own* text, so that ``split(chunk.text)`` has the same."""

    document: str
    index: int
    title: str
    text: str
    start: int
    end: int
    page: int | None
    sentences: tuple[tuple[int, int], ...]

    @property
    def with_title(self) -> str:
        """What an embedder or a lexical index reads."""
        return f"{self.title}\n{self.text}" if self.title else self.text


def chunk(document: Document, *, target_tokens: int = TARGET_TOKENS, overlap: int = 0) -> list[Chunk]:
    """The chunks of *document*, in order, each of about *target_tokens* word pieces (:func:`~vital_engine.text.tokens.estimate_word_pieces`) or less.

    Sections under a heading stay together where they fit, and are joined while several fit; what does not fit is
    cut at sentences into even parts, preferably where a paragraph ends. A heading goes with what follows it. Only
    a single sentence longer than the target makes a longer chunk.

    :param overlap: sentences of the chunk before that are repeated at the beginning of a chunk of the same section.
    :raises ValueError: *target_tokens* is below 16 or *overlap* is negative.
    """
    if target_tokens < 16 or overlap < 0:
        raise ValueError(f"target_tokens {target_tokens} must be at least 16, and overlap {overlap} at least 0")
    groups = _joined(_sections(_units(document.text)), target_tokens)
    found = list[Chunk]()
    for group in groups:
        for first, last in _even(group, target_tokens):
            begin = max(0, first - overlap)
            found.append(_made(document, len(found), [unit.sentence for unit in group[begin:last]]))
    return found


@dataclass(frozen=True, slots=True)
class _Unit:
    sentence: Sentence
    tokens: int
    opens: bool  # it begins a paragraph
    heading: bool


_ENDED = re.compile(r"[.!?:;,…][\"'”’)\]]*(?:\s*\[[\d ,;–-]+\])*$")


def _units(text: str) -> list[_Unit]:
    sentences, found = split(text), list[_Unit]()
    for at, sentence in enumerate(sentences):
        before = text[sentences[at - 1].end : sentence.start] if at else "\n\n"
        after = text[sentence.end : sentences[at + 1].start] if at + 1 < len(sentences) else ""
        opens = "\n\n" in before
        short = len(sentence.text) <= 90 and not _ENDED.search(sentence.text)
        heading = opens and short and "\n" in after and sentence.text[:1] not in "-•*"
        found.append(_Unit(sentence, estimate_word_pieces(sentence.text), opens, heading))
    return found


def _sections(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    """Runs of units, each begun by its heading or headings."""
    section: list[_Unit] = []
    for unit in units:
        if unit.heading and section and not all(u.heading for u in section):
            yield section
            section = []
        section.append(unit)
    if section:
        yield section


def _joined(sections: Iterable[list[_Unit]], target: int) -> Iterator[list[_Unit]]:
    """*sections*, neighbours joined while they fit together."""
    group: list[_Unit] = []
    for section in sections:
        if group and _size(group) + _size(section) > target:
            yield group
            group = []
        group = group + section
    if group:
        yield group


def _size(units: Iterable[_Unit]) -> int:
    return sum(unit.tokens for unit in units)


def _even(units: Sequence[_Unit], target: int) -> Iterator[tuple[int, int]]:
    """Cuts *units* into as few parts as the target allows, of like size: pairs of first and behind-last index."""
    first, left = 0, _size(units)
    while first < len(units):
        goal = left / ceil(left / target)
        last, size = first, 0
        best, best_cost = first + 1, float("inf")
        while last < len(units) and (last == first or size + units[last].tokens <= target):
            size += units[last].tokens
            last += 1
            cost = _cost(units, last, size, goal, target)
            if cost <= best_cost and not units[last - 1].heading:
                best, best_cost = last, cost
        yield first, best
        left -= _size(units[first:best])
        first = best


def _cost(units: Sequence[_Unit], last: int, size: int, goal: float, target: int) -> float:
    """How bad it is to cut before ``units[last]``: far from the goal, or within a paragraph."""
    if last == len(units):
        return 0.0
    return abs(size - goal) / target + (0.0 if units[last].opens else 0.15)


def _made(document: Document, index: int, sentences: Sequence[Sentence]) -> Chunk:
    start, end = sentences[0].start, sentences[-1].end
    page = next((p.number for p in document.pages if p.start <= start < p.end), None)
    spans = tuple((s.start - start, s.end - start) for s in sentences)
    return Chunk(document.id, index, document.title, document.text[start:end], start, end, page, spans)
