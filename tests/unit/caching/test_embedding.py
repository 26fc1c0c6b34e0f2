"""One question is embedded once, in whatever thread it is asked for; documents are passed on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vital_engine.errors import RetrievalError
from vital_engine.ports import Embedder
from vital_engine.services.caching import CachedEmbedder
from vital_engine.testing import HashedEmbedder


class Slow(HashedEmbedder):
    """Waits until it is let on, and writes down what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []
        self.going, self.go = threading.Event(), threading.Event()
        self.fails = False

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked.append(tuple(texts))
        self.going.set()
        assert self.go.wait(10)
        if self.fails:
            raise RetrievalError("no memory", service="retrieval")
        return super().embed(texts)


def free() -> Slow:
    embedder = Slow()
    embedder.go.set()
    return embedder


def test_it_is_an_embedder_and_gives_what_the_one_beneath_gives() -> None:
    plain = HashedEmbedder()
    cached = CachedEmbedder(plain, entries=4)
    assert isinstance(cached, Embedder)
    assert (cached.model, cached.dimensions) == (plain.model, plain.dimensions)
    for texts in (["renal dose"], ["renal dose"], ["a", "b"], []):
        assert np.array_equal(cached.embed(texts), plain.embed(texts))


def test_a_question_is_embedded_once_and_several_texts_are_passed_on() -> None:
    counted: list[str] = []
    embedder = free()
    cached = CachedEmbedder(embedder, entries=4, count=counted.append)
    for texts in (["q"], ["q"], ["a", "b"], ["a", "b"], ["q"]):
        cached.embed(texts)
    assert embedder.asked == [("q",), ("a", "b"), ("a", "b")]
    assert counted == ["miss", "hit", "hit"]


def test_what_is_everybodys_cannot_be_written_to() -> None:
    cached = CachedEmbedder(HashedEmbedder(), entries=4)
    with pytest.raises(ValueError, match="read-only"):
        cached.embed(["q"])[0, 0] = 7.0


def test_threads_that_ask_at_the_same_time_share_one_computation() -> None:
    embedder = Slow()
    counted: list[str] = []
    shared = threading.Event()

    def count(outcome: str) -> None:
        counted.append(outcome)
        if counted.count("shared") == 2:
            shared.set()

    cached = CachedEmbedder(embedder, entries=4, count=count)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(cached.embed, ["q"]) for _ in range(3)]
        assert shared.wait(10)
        embedder.go.set()
        first, *others = [each.result() for each in asked]
    assert embedder.asked == [("q",)]
    assert all(other is first for other in others)
    assert sorted(counted) == ["miss", "shared", "shared"]


def test_an_error_reaches_those_who_wait_and_is_not_kept() -> None:
    embedder = free()
    embedder.fails = True
    cached = CachedEmbedder(embedder, entries=4)
    for _ in range(2):
        with pytest.raises(RetrievalError):
            cached.embed(["q"])
    embedder.fails = False
    assert cached.embed(["q"]).shape == (1, embedder.dimensions)
    assert len(embedder.asked) == 3
