"""Words: which of them say nothing by themselves, their stems, and the terms that an index holds of a text.

One stemmer for all: Snowball's English one (Porter2). Three lists of stop words, each within the next, since each
reader was measured with its own: the index keeps nearly every word (a change makes every index anew), the extractive
answerer leaves out the frequent ones, and the hard checks look at content words only.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

import Stemmer

__all__ = ["ANALYSIS", "FUNCTION_WORDS", "LONGEST_TERM", "STOP_WORDS", "stem", "stems", "terms"]

ANALYSIS = "english-porter2-1"
"""The name of the analysis that :func:`terms` is. An index made by another one must be made again."""

LONGEST_TERM = 64
"""Characters of a word that count. Longer "words" are sequences, hashes or encoded files: their head tells them apart."""


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


STOP_WORDS = _set(
    """a an and are as at be but by for if in into is it no not of on or such that the their then there
    these they this to was will with"""
)
"""The 33 English stop words of Lucene: no terms of the index."""

FREQUENT_WORDS = STOP_WORDS | _set(
    """about after all also am any been being between both can could did do does during each from had has have having
    he how its may might more most nor other our over own same she should so some than them those through too under
    until up very we were what when where which while who whom why would you your"""
)
"""Words that :func:`stems` leaves out."""

FUNCTION_WORDS = FREQUENT_WORDS | _set(
    """although among because before cannot doing due either et etc further her here him his however i itself me must
    my neither never none only out per therefore thus upon via whereas whether whose within without"""
)
"""Words without content of their own, negations among them."""

_term = re.compile(r"\b\w\w+\b").findall
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


class _Local(threading.local):
    """A stemmer for each thread: Snowball's object keeps state between calls and is not safe to share."""

    def __init__(self) -> None:
        self.stem = Stemmer.Stemmer("english", 100_000).stemWords


_local = _Local()


def stem(words: Sequence[str]) -> list[str]:
    """The stem of each of *words*, which are lower case. Safe to call from many threads."""
    stemmed: list[str] = _local.stem(words)
    return stemmed


def terms(text: str) -> list[str]:
    """The terms that documents and queries share: those of *text* in order, repeats included; empty for text that
    says nothing (stop words, signs).

    Words of two or more word characters, lower case, without :data:`STOP_WORDS`, stemmed. The order is that of
    ``bm25s``, so that rankings can be compared.
    """
    return stem([word[:LONGEST_TERM] for word in _term(text.lower()) if word not in STOP_WORDS])


def stems(text: str) -> list[str]:
    """The stemmed words of *text* in order, without :data:`FREQUENT_WORDS`; a hyphenated word is one."""
    return stem([word for match in _WORD.findall(text) if (word := match.lower()) not in FREQUENT_WORDS])
