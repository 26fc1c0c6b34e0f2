"""Sentences: the rules by example, and streaming as a property of every chunking."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.text.sentences import LONGEST, SentenceStream, split

WHOLE = [
    "The dose was 3.5 mg (p < .05) in vitro.",
    "Drugs, e.g. aspirin, i.e. ASA, were compared vs. Placebo tablets.",
    "See Fig. 3 and Figs. 4-6, Eq. 2, and ref. 7.",
    "Smith et al. [4] reported E. coli and S. aureus in 12 samples.",
    "J. A. Smith and Dr. R. Brown wrote it (No. 12, pp. 3-9).",
    "The U.S. Food and Drug Administration gave i.v. Morphine approval.",
    "Rates were low. [1]",
    "Rates were low [1, 2].",
    "Rates were low.[1]-[3]",
    "Rates were low. [1], [2][^3].",
    'He wrote: "It is low."',
    "The effect was large (see the table below.)",
    "1. Take one tablet",
    "- a list item without an end",
    "The mean (SD) was 0.05).",
    "Visit example.org or version 2.0.1 now.",
    "The temp. was stable... and stayed so.",
]


@pytest.mark.parametrize("sentence", WHOLE)
def test_one_sentence_stays_whole(sentence: str) -> None:
    assert [s.text for s in split(sentence)] == [sentence]
    assert [s.text for s in split(f"{sentence}\nThe next was high.")] == [sentence, "The next was high."]


@pytest.mark.parametrize("sentence", [s for s in WHOLE if s[-1] in ".])" and s[-2] != ")"])
def test_the_next_sentence_is_cut_off_on_the_same_line(sentence: str) -> None:
    assert [s.text for s in split(f"{sentence} The next was high.")] == [sentence, "The next was high."]


@pytest.mark.parametrize("sentence", WHOLE)
def test_character_by_character_gives_the_same(sentence: str) -> None:
    text, stream = f"{sentence} The next was high. {sentence}", SentenceStream()
    assert [s for c in text for s in stream.feed(c)] + stream.close() == split(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mRNA rose. mRNA fell. p53 did not. α-Synuclein did.", 4),
        ("It was hepatitis B. Vaccination helped.", 2),
        ("This was shown by Smith et al. However, it failed.", 2),
        ("They live in the U.S. The rest do not.", 2),
        ("Is it safe? Yes! We think so.", 3),
        ("In all, 12 died in 2010. 45 patients were left.", 2),
        ("It fell (p = .04). [3] Others did not.", 2),
        ("It fell.[2]Others did not.", 2),
        ("# Results\nIt fell.\n\n* one\n* two\n---\n", 4),
        ("a\r\nb\r\n", 2),
        ("", 0),
        (" \n\t--- \n•\n", 0),
        ("It fell. • Another point", 2),
        ("It fell." + " " * 60 + "then rose.", 2),
    ],
)
def test_how_many(text: str, expected: int) -> None:
    assert len(split(text)) == expected


def test_a_marker_stays_with_the_sentence_before_it() -> None:
    assert [s.text for s in split("Low. [1] High [2]. Mid.[3] End. [Note] Last.")] == [
        "Low. [1]",
        "High [2].",
        "Mid.[3]",
        "End.",
        "[Note] Last.",
    ]


def test_a_sentence_is_given_as_soon_as_it_is_known() -> None:
    stream = SentenceStream()
    assert stream.feed("Rates were low.") == []
    assert stream.feed(" ") == []
    assert [s.text for s in stream.feed("T")] == ["Rates were low."]
    assert [s.text for s in stream.feed("hey rose. [1")] == []
    assert [s.text for s in stream.feed("]\n")] == ["They rose. [1]"]
    assert stream.feed("- item") == []
    last = stream.close()
    assert [(s.text, s.start, s.end, s.index) for s in last] == [("- item", 31, 37, 2)]
    assert stream.close() == []


def test_a_sentence_has_an_upper_length_and_loses_nothing() -> None:
    text = "word " * 2000
    found = split(text)
    assert all(len(s.text) <= LONGEST for s in found)
    assert "".join(s.text for s in found).replace(" ", "") == text.replace(" ", "")
    assert [len(s.text) for s in split("x" * (2 * LONGEST + 1))] == [LONGEST, LONGEST, 1]


FRAGMENTS = st.sampled_from(
    [
        *[
            "A.",
            "Mr.",
            "E.",
            "et",
            "al.",
            "e.g.",
            "i.v.",
            "U.S.",
            "No.",
            "5",
            "p53",
            "mRNA",
            "α",
            "the",
            "The",
            "we",
            "low",
        ],
        *[
            "[1]",
            "[2, 3]",
            "[",
            "]",
            "[1]-[3]",
            "[^2]",
            "(",
            ")",
            ".",
            "!",
            "?",
            "…",
            '"',
            "”",
            ",",
            "high.",
            "1.",
            "-",
            "•",
        ],
        *["\n", "\r\n", ". [4]"],
    ]
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=4), max_size=40).flatmap(
    lambda parts: st.sampled_from(["", " ", "  "]).map(lambda gap: gap.join(parts))
)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=12))
def test_any_chunking_gives_the_same_sentences(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(c for c in cuts if c <= len(text)), len(text)]
    for pieces in ([text[a:b] for a, b in pairwise(edges)], list(text)):
        stream = SentenceStream()
        found = [s for piece in pieces for s in stream.feed(piece)] + stream.close()
        assert found == split(text)


@given(text=TEXTS)
def test_offsets_are_exact_and_no_word_is_lost(text: str) -> None:
    found, covered = split(text), set[int]()
    for index, sentence in enumerate(found):
        assert sentence.index == index
        assert text[sentence.start : sentence.end] == sentence.text == sentence.text.strip()
        assert covered.isdisjoint(range(sentence.start, sentence.end))
        covered.update(range(sentence.start, sentence.end))
    assert all(not c.isalnum() for at, c in enumerate(text) if at not in covered)


@pytest.mark.parametrize("length", [LONGEST - 1, LONGEST, LONGEST + 1])
def test_chunking_does_not_matter_at_the_upper_length(length: int) -> None:
    text = ("ab " * LONGEST)[:length] + ". [1] The end e.g. here"
    stream = SentenceStream()
    assert [s for c in text for s in stream.feed(c)] + stream.close() == split(text)
