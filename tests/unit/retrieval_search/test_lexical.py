"""BM25 is bm25s's, whatever the segments; deletions, merges and pruning change nothing in it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vital_engine.services.retrieval.lexical import (
    LENGTH,
    POSTING,
    Postings,
    Segment,
    alive,
    examine,
    pack,
    rank,
    slots_of_dead,
    unpack,
    unpack_lengths,
)

Terms = list[str]
Stored = tuple[bytes, dict[str, bytes]]

passages = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=30)


def stored(corpus: Sequence[Terms], sizes: Sequence[int], start: int = 0) -> list[Stored]:
    """The corpus as segments of the given sizes, the last one taking what is left."""
    segments, at = [], 0
    for size in [*sizes, len(corpus)]:
        batch = corpus[at : at + size]
        if batch:
            packed = pack(batch)
            segments.append((packed.lengths_at(start + at), dict(packed.postings_at(start + at))))
        at += len(batch)
    return segments


def merged(segments: Sequence[Stored]) -> Stored:
    """What the database does to merge: bytes, one after the other."""
    terms = {term for _, postings in segments for term in postings}
    return b"".join(lengths for lengths, _ in segments), {
        term: b"".join(postings.get(term, b"") for _, postings in segments) for term in terms
    }


def loaded(segments: Sequence[Stored], dead: Sequence[int] = ()) -> list[Segment]:
    found = []
    for packed, postings in segments:
        ordinals, lengths = unpack_lengths(packed)
        gone = slots_of_dead(np.array(sorted(dead), np.uint32), ordinals)
        by_term = {term: Postings(*unpack(of, ordinals)) for term, of in postings.items()}
        found.append(Segment(ordinals, lengths, by_term, gone))
    return found


def reference(corpus: Sequence[Terms], query: Terms) -> dict[int, float]:
    """The scores of bm25s, by place."""
    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index([list(terms) for terms in corpus], show_progress=False)
    known = [term for term in query if term in index.vocab_dict]
    scores = index.get_scores(known) if known else np.zeros(len(corpus))
    return {place: float(score) for place, score in enumerate(scores) if score > 0}


def as_dict(segments: Sequence[Segment], query: Terms, depth: int = 1000) -> dict[int, float]:
    return rank(query, segments, depth).as_dict()


@settings(max_examples=150)
@given(
    corpus=passages.filter(any),
    query=st.lists(st.sampled_from("abcdefghz"), max_size=6),
    sizes=st.lists(st.integers(1, 9), max_size=5),
    start=st.integers(0, 2**31),
)
def test_scores_are_those_of_bm25s_however_the_corpus_is_cut(
    corpus: list[Terms], query: Terms, sizes: list[int], start: int
) -> None:
    expected = {place + start: score for place, score in reference(corpus, query).items()}
    segments = stored(corpus, sizes, start)
    assert as_dict(loaded(segments), query) == pytest.approx(expected, rel=1e-5)
    assert as_dict(loaded([merged(segments)]), query) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=150)
@given(corpus=passages, query=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6), data=st.data())
def test_the_dead_leave_no_trace_in_scores(corpus: list[Terms], query: Terms, data: st.DataObject) -> None:
    dead = data.draw(st.sets(st.integers(0, len(corpus) - 1)))
    living = [place for place in range(len(corpus)) if place not in dead]
    if not any(corpus[place] for place in living):
        return
    alone = reference([corpus[place] for place in living], query)
    expected = {living[place]: score for place, score in alone.items()}
    segments = stored(corpus, [4, 4])
    assert as_dict(loaded(segments, sorted(dead)), query) == pytest.approx(expected, rel=1e-5)

    gone = np.array(sorted(dead), np.uint32)
    compacted = [
        (alive(lengths, gone, LENGTH), {t: p for t, of in postings.items() if (p := alive(of, gone, POSTING))})
        for lengths, postings in segments
    ]
    assert as_dict(loaded(compacted), query) == pytest.approx(expected, rel=1e-5)


def zipf(seed: int, size: int, words: int) -> list[Terms]:
    """Passages whose words are as unevenly common as those of a language."""
    chance = random.Random(seed)
    weights = [1 / (n + 1) for n in range(words)]
    names = [f"w{n}" for n in range(words)]
    return [chance.choices(names, weights, k=chance.randint(1, 60)) for _ in range(size)]


@pytest.mark.parametrize("seed", range(6))
def test_leaving_out_postings_that_cannot_matter_changes_neither_ranks_nor_scores(seed: int) -> None:
    corpus = zipf(seed, 3000, 800)
    chance = random.Random(seed + 100)
    dead = chance.sample(range(len(corpus)), 300)
    segments = loaded(stored(corpus, [1000, 700]), dead)
    for _ in range(20):
        query = [f"w{int(chance.paretovariate(0.5)) % 800}" for _ in range(8)]
        everything = rank(query, segments, len(corpus))
        best = rank(query, segments, 10)
        assert best.ordinals.tolist() == everything.ordinals[:10].tolist()
        assert best.scores == pytest.approx(everything.scores[:10], rel=1e-6)
        assert not set(everything.ordinals.tolist()) & set(dead)


@settings(max_examples=100)
@given(
    corpus=passages.filter(any),
    query=st.lists(st.sampled_from("abcdefghz"), max_size=6),
    sizes=st.lists(st.integers(1, 9)),
)
def test_any_passage_can_be_examined_with_the_score_that_ranking_gives_it(
    corpus: list[Terms], query: Terms, sizes: list[int]
) -> None:
    segments = loaded(stored(corpus, sizes, 7))
    asked = [*reversed(range(7, 7 + len(corpus))), 10_000]
    scores, coverage = examine(query, segments, asked)
    ranked = as_dict(segments, query)
    assert scores.tolist() == pytest.approx([ranked.get(ordinal, 0.0) for ordinal in asked], rel=1e-5)
    somewhere = {term for terms in corpus for term in terms} & set(query)
    for ordinal, share in zip(asked, coverage.tolist(), strict=True):
        holds = somewhere & set(corpus[ordinal - 7]) if ordinal < 10_000 else set()
        assert (share > 0) == bool(holds)
        assert (share == pytest.approx(1.0)) == (bool(somewhere) and holds == somewhere)


def test_equal_scores_come_in_the_order_of_ordinals() -> None:
    assert rank(["a"], loaded(stored([["a", "b"]] * 50, [7])), 5).ordinals.tolist() == [0, 1, 2, 3, 4]


def test_nothing_to_find() -> None:
    corpus = loaded(stored([["a"], []], [1]))
    for query in ([], ["unknown"]):
        assert len(rank(query, corpus, 5).ordinals) == 0
    assert len(rank(["a"], [], 5).ordinals) == 0
    assert len(rank(["a"], loaded(stored([["a"]], []), [0]), 5).ordinals) == 0


def test_a_frequency_saturates_and_does_not_wrap() -> None:
    often = as_dict(loaded(stored([["a"] * 256 + ["b"], ["a", *["c"] * 256]], [])), ["a"])
    assert often[0] > often[1]
