"""Text into index terms: the analysis that documents and queries share.

Words of two or more word characters, lower case, without the 33 English stop words of Lucene, stemmed by
Snowball's English stemmer (Porter2). The order is that of ``bm25s``, so that rankings can be compared.
"""

from __future__ import annotations

import re
import threading

import Stemmer

__all__ = ["ANALYSIS", "LONGEST_TERM", "STOP_WORDS", "terms"]

ANALYSIS = "english-porter2-1"
"""The name of this analysis. An index made by another one must be made again."""

LONGEST_TERM = 64
"""Characters of a word that count. Longer "words" are sequences, hashes or encoded files: their head tells them apart."""

_STOP_WORDS = """a an and are as at be but by for if in into is it no not of on or such that the their then there
these they this to was will with"""

STOP_WORDS = frozenset(_STOP_WORDS.split())

_word = re.compile(r"\b\w\w+\b").findall


class _Local(threading.local):
    """A stemmer for each thread: Snowball's object keeps state between calls and is not safe to share."""

    def __init__(self) -> None:
        self.stem = Stemmer.Stemmer("english", 100_000).stemWords


_local = _Local()


def terms(text: str) -> list[str]:
    """The terms of *text* in order, repeats included; empty for text that says nothing (stop words, signs)."""
    words = [word[:LONGEST_TERM] for word in _word(text.lower()) if word not in STOP_WORDS]
    stems: list[str] = _local.stem(words)
    return stems
