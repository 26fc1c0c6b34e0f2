"""Vectors on disk: the same, once, and never in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vital_engine.services.caching import cached
from vital_engine.services.caching.cached import KeptVectors
from vital_engine.testing import HashedEmbedder


class Counting(HashedEmbedder):
    calls = 0

    def embed(self, texts):
        self.calls += 1
        return super().embed(texts)


TEXTS = ["biostatistics", "pharmacovigilance", "quality"]


def test_a_list_is_embedded_once_for_all_processes(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    given = KeptVectors(first, tmp_path).embed(TEXTS)
    again = KeptVectors(second, tmp_path).embed(TEXTS)
    assert (first.calls, second.calls) == (1, 0)
    assert np.array_equal(given, again)
    assert np.array_equal(given, HashedEmbedder().embed(TEXTS))


def test_other_texts_and_another_order_are_another_list(tmp_path: Path) -> None:
    embedder = Counting()
    vectors = KeptVectors(embedder, tmp_path)
    vectors.embed(TEXTS)
    assert np.array_equal(vectors.embed(TEXTS[::-1]), HashedEmbedder().embed(TEXTS[::-1]))
    vectors.embed([*TEXTS, "more"])
    assert embedder.calls == 3


def test_a_question_is_not_kept(tmp_path: Path) -> None:
    KeptVectors(Counting(), tmp_path).embed(["what is wrong with me?"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no vectors", b"\x93NUMPY\x01\x00broken"])
def test_a_broken_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    vectors = KeptVectors(Counting(), tmp_path)
    good = vectors.embed(TEXTS)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(content)
    assert np.array_equal(vectors.embed(TEXTS), good)
    assert np.array_equal(KeptVectors(Counting(), tmp_path).embed(TEXTS), good)


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert KeptVectors(Counting(), blocked).embed(TEXTS).shape == (3, 384)


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "MOST", 3)
    vectors = KeptVectors(Counting(), tmp_path)
    for i in range(6):
        vectors.embed([*TEXTS, str(i)])
    assert len(list(tmp_path.iterdir())) == 3
