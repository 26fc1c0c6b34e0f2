"""The terms of a text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import bm25s
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.text.words import LONGEST_TERM, STOP_WORDS, terms

TEXT = "Do mutations causing low HDL-C promote increased carotid intima-media thickness? Müller's β-blockers, 40mg/day."


def test_terms_are_stemmed_words_without_stop_words() -> None:
    assert terms("The patients were treated with beta-blockers and it is not known.") == [
        *("patient", "were", "treat", "beta", "blocker", "known")
    ]


@given(st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), max_size=80))
def test_terms_are_those_of_bm25s(text: str) -> None:
    for given_text in (text, TEXT):
        theirs = bm25s.tokenize(
            given_text, stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
        )
        assert terms(given_text) == theirs[0]


def test_text_that_says_nothing_has_no_terms() -> None:
    for text in ("", " \n", " ".join(STOP_WORDS), "? - !", "a b c"):
        assert terms(text) == []


def test_a_very_long_word_is_cut_alike_in_documents_and_queries() -> None:
    assert [len(term) for term in terms("q" * 100_000)] == [LONGEST_TERM]


def test_threads_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({tuple(found) for found in pool.map(terms, [TEXT] * 500)}) == 1
