"""Chunks: exact spans, whole sentences, even sizes, headings with what follows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.services.retrieval.chunking import TARGET_TOKENS, chunk
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.reading import Document, read
from vital_engine.text.sentences import split
from vital_engine.text.tokens import estimate_word_pieces

SENTENCE = "The serum concentration of examplomycin rose in all patients after the third dose."  # 13 words


def document(text: str, name: str = "a.md") -> Document:
    [found] = read(text.encode(), name=name)
    return found


PARTS = st.sampled_from(
    [SENTENCE, "Methods", "- an item", "It fell [1].", "e.g.", "---", "1. Take it.", "x" * 500, "Dr. Who"]
)


@given(
    parts=st.lists(st.tuples(PARTS, st.sampled_from([" ", "\n", "\n\n"])), min_size=1, max_size=60),
    target=st.integers(16, 120),
    overlap=st.integers(0, 2),
)
def test_chunks_are_exact_ordered_and_lose_no_sentence(parts: list[tuple[str, str]], target: int, overlap: int) -> None:
    given = document("".join(part + gap for part, gap in [*parts, ("End.", "")]), "a.txt")
    found, seen = chunk(given, target_tokens=target, overlap=overlap), set[tuple[int, int]]()
    for index, piece in enumerate(found):
        assert piece.index == index and piece.document == given.id
        assert piece.text == given.text[piece.start : piece.end]
        assert piece.sentences == tuple((s.start, s.end) for s in split(piece.text))
        own = {(piece.start + a, piece.start + b) for a, b in piece.sentences}
        assert overlap or seen.isdisjoint(own)
        fresh = [given.text[a:b] for a, b in sorted(own - seen)]
        assert len(fresh) == 1 or sum(map(estimate_word_pieces, fresh)) <= target
        seen |= own
    assert seen == {(s.start, s.end) for s in split(given.text)}


def test_what_fits_stays_whole_and_the_title_stays_outside() -> None:
    [only] = chunk(document(f"# Fever\n\n{SENTENCE} {SENTENCE}\n\nMethods\n\n{SENTENCE}"))
    assert only.title == "Fever" and "Fever" not in only.text
    assert only.with_title == f"Fever\n{only.text}"


def test_parts_are_even_rather_than_full_and_a_rest() -> None:
    sizes = [len(piece.sentences) for piece in chunk(document(" ".join([SENTENCE] * 20)), target_tokens=240)]
    assert sum(sizes) == 20 and max(sizes) - min(sizes) <= 1


def test_a_cut_falls_between_paragraphs_where_it_can() -> None:
    text = "\n\n".join(" ".join([SENTENCE] * 4) for _ in range(4))
    found = chunk(document(text), target_tokens=150)
    assert [piece.text.count("\n\n") for piece in found] == [1, 1]


def test_a_heading_goes_with_what_follows_it() -> None:
    text = "\n\n".join(f"Section {n}\n\n" + " ".join([SENTENCE] * 5) for n in range(4))
    found = chunk(document(text), target_tokens=100)
    assert [piece.text.split("\n")[0] for piece in found] == ["Section 0", "Section 1", "Section 2", "Section 3"]


def test_overlap_repeats_the_sentences_before() -> None:
    numbered = " ".join(f"Number {n} was a rather long sentence about the dose." for n in range(12))
    plain, lapped = (chunk(document(numbered), target_tokens=60, overlap=o) for o in (0, 1))
    assert len(plain) == len(lapped) > 1
    assert lapped[0].text == plain[0].text
    assert all(
        piece.text.startswith(before.text.rsplit(". ", 1)[1]) for before, piece in zip(plain, lapped[1:], strict=False)
    )


def test_the_page_is_where_a_chunk_begins(documents: Path) -> None:
    [leaflet] = read(documents / "leaflet.pdf")
    assert [piece.page for piece in chunk(leaflet, target_tokens=80)] == [1, 3]
    assert chunk(document("No pages."))[0].page is None


def test_a_chunk_of_the_usual_size_is_read_whole_by_the_embedder(minilm: MiniLM) -> None:
    text = " ".join([SENTENCE] * 60)
    assert all(minilm.count(piece.text) < minilm.max_tokens for piece in chunk(document(text)))
    assert estimate_word_pieces(text) == pytest.approx(60 * (minilm.count(SENTENCE) - 2), rel=0.15)
    assert minilm.max_tokens > TARGET_TOKENS


@pytest.mark.parametrize(("target", "overlap"), [(15, 0), (220, -1)])
def test_impossible_sizes_are_refused(target: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        chunk(document("x"), target_tokens=target, overlap=overlap)
