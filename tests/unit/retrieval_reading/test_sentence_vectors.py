"""Sentence vectors: right, kept, bounded, and computed once however many ask."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from vital_engine.errors import RetrievalError
from vital_engine.nouns import Passage
from vital_engine.services.retrieval.sentence_vectors import SentenceVectors, embed_packed, pack, unpack
from vital_engine.testing import HashedEmbedder
from vital_engine.text.sentences import split


class Counting(HashedEmbedder):
    """Counts its calls, waits for a gate, and fails when told to."""

    def __init__(self) -> None:
        super().__init__(64)
        self.texts: list[str] = []
        self.calls = 0
        self.gate = threading.Event()
        self.gate.set()
        self.failing = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        self.texts += texts
        self.gate.wait(10)
        if self.failing:
            raise RetrievalError("broken")
        return super().embed(texts)


TEXT = "Fever fell. The rash stayed [1]."


def test_the_sentences_of_a_passage_and_their_vectors() -> None:
    vectors = SentenceVectors(HashedEmbedder(64), 4)
    sentences, rows = vectors.of(Passage("p", TEXT))
    assert sentences == tuple(split(TEXT)) and vectors.model == "hashed-stems-64"
    assert np.array_equal(rows, HashedEmbedder(64).embed([s.text for s in sentences]))
    assert vectors.of(Passage("empty", ""))[1].shape == (0, 64)


def test_a_passage_is_embedded_once_and_again_when_its_text_changes() -> None:
    embedder = Counting()
    vectors = SentenceVectors(embedder, 4)
    found = vectors.of_all([Passage("p", TEXT), Passage("q", "One."), Passage("p", TEXT)])
    assert embedder.calls == 1 and len(embedder.texts) == 3 and found[0] is found[2]
    vectors.of(Passage("p", TEXT, score=0.5))
    assert embedder.calls == 1
    vectors.of(Passage("p", "Another text."))
    assert embedder.calls == 2


def test_the_least_recently_used_goes_first() -> None:
    embedder = Counting()
    vectors = SentenceVectors(embedder, 2)
    for name in ("a", "b", "a", "c"):
        vectors.of(Passage(name, TEXT))
    assert len(vectors) == 2 and embedder.calls == 3
    vectors.of(Passage("a", TEXT))
    assert embedder.calls == 3
    vectors.of(Passage("b", TEXT))
    assert embedder.calls == 4


def test_more_passages_at_once_than_are_kept() -> None:
    embedder = Counting()
    vectors = SentenceVectors(embedder, 1, within=5.0)
    found = vectors.of_all([Passage(name, TEXT) for name in ("a", "b", "a")])
    assert found[0] is found[2] and len(vectors) == 1 and embedder.calls == 1


def test_primed_vectors_are_used_and_those_that_do_not_fit_are_computed() -> None:
    embedder = Counting()
    vectors = SentenceVectors(embedder, 2)
    rows = np.eye(2, 64, dtype=np.float32)
    vectors.prime(Passage("p", TEXT), b"".join(pack(rows)))
    assert np.array_equal(vectors.of(Passage("p", TEXT))[1], rows) and embedder.calls == 0
    for wrong in (b"", b"".join(pack(np.eye(3, 64, dtype=np.float32))), bytes(2 * 63)):
        vectors.prime(Passage("q", TEXT), wrong)
        assert np.array_equal(
            vectors.of(Passage("q", TEXT))[1], HashedEmbedder(64).embed([s.text for s in split(TEXT)])
        )
        vectors = SentenceVectors(embedder, 2)
    assert embedder.calls == 3
    with pytest.raises(ValueError, match="capacity"):
        SentenceVectors(embedder, 0)


def test_only_what_was_not_primed_is_embedded_and_its_failure_does_not_touch_the_rest() -> None:
    embedder = Counting()
    embedder.failing = True
    vectors = SentenceVectors(embedder, 4)
    kept = Passage("p", TEXT)
    vectors.prime(kept, b"".join(pack(np.eye(2, 64, dtype=np.float32))))
    with pytest.raises(RetrievalError, match="broken"):
        vectors.of_all([Passage("q", "One. Two."), kept])
    assert embedder.texts == ["One.", "Two."]
    assert len(vectors.of(kept)[0]) == 2 and embedder.calls == 1


def test_no_more_passages_wait_than_there_is_room_for() -> None:
    embedder = Counting()
    vectors = SentenceVectors(embedder, 2)
    packed = b"".join(pack(np.eye(2, 64, dtype=np.float32)))
    for name in ("a", "b", "a", "c"):
        vectors.prime(Passage(name, TEXT), packed)
    vectors.of_all([Passage("a", TEXT), Passage("c", TEXT)])
    assert embedder.calls == 0
    vectors.of(Passage("b", TEXT))
    assert embedder.calls == 1


def test_packed_vectors_come_back_at_length_one_and_hardly_turned() -> None:
    rows = np.random.default_rng(3).normal(size=(500, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[7] = 0
    packed = pack(rows)
    assert {len(row) for row in packed} == {384}
    back = unpack(b"".join(packed), 500, 384)
    assert back is not None and back.dtype == np.float32 and not back[7].any()
    rest = np.delete(np.arange(500), 7)
    assert np.allclose(np.linalg.norm(back[rest], axis=1), 1, atol=1e-6)
    assert np.sum(back[rest] * rows[rest], axis=1).min() > 0.9998
    assert unpack(b"".join(packed), 499, 384) is None
    assert unpack(b"", 0, 384) is not None


def test_a_sentence_that_recurs_is_embedded_once_and_a_text_without_any_has_none() -> None:
    embedder = Counting()
    packed = embed_packed(embedder, ["Fever fell. It rose.", "It rose. Fever fell.", "--", ""])
    assert embedder.texts == ["Fever fell.", "It rose."]
    assert [len(p) for p in packed] == [128, 128, 0, 0] and packed[0] == packed[1][64:] + packed[1][:64]
    assert embed_packed(embedder, ["--"]) == [b""] and embedder.calls == 1


def test_two_threads_that_miss_at_once_compute_once() -> None:
    embedder = Counting()
    embedder.gate.clear()
    vectors = SentenceVectors(embedder, 2)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(vectors.of, Passage("p", TEXT)) for _ in range(4)]
        embedder.gate.set()
        found = [a.result(10) for a in asked]
    assert embedder.calls == 1 and all(f is found[0] for f in found)


def test_a_wait_for_another_thread_has_a_limit() -> None:
    embedder = Counting()
    embedder.gate.clear()
    vectors = SentenceVectors(embedder, 2, within=0.01)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(vectors.of, Passage("p", TEXT))
        while not embedder.calls:
            pass
        with pytest.raises(RetrievalError, match=r"within 0\.01 s"):
            vectors.of(Passage("p", TEXT))
        embedder.gate.set()
        assert len(first.result(10)[0]) == 2


def test_a_failure_is_not_kept() -> None:
    embedder = Counting()
    embedder.failing = True
    vectors = SentenceVectors(embedder, 2)
    with pytest.raises(RetrievalError, match="broken"):
        vectors.of(Passage("p", TEXT))
    embedder.failing = False
    assert len(vectors.of(Passage("p", TEXT))[0]) == 2
