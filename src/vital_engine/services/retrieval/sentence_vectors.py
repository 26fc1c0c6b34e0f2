"""The sentences of passages with their vectors, computed once per passage and text.

The extractive answerer and the judge of support read the same passages within one turn, and popular passages
come again in later ones. About 15 KB a passage (10 sentences of 384 float32).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import RetrievalError
from vital_engine.nouns import Passage, Sentence
from vital_engine.ports import Embedder
from vital_engine.sentences import split

__all__ = ["SentenceVectors"]

Entry = tuple[tuple[Sentence, ...], NDArray[np.float32]]
_Key = tuple[str, bytes]


class SentenceVectors:
    """A cache of the least recently used kind, safe to use from many threads; two that miss the same passage
    at once compute it once.

    :param embedder: whose vectors; all of one SentenceVectors are of one model.
    :param capacity: passages kept, at least 1.
    :param within: seconds that a thread waits for another's computation of the same passage.
    """

    def __init__(self, embedder: Embedder, capacity: int = 2048, *, within: float = 30.0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._embedder, self._capacity, self._within = embedder, capacity, within
        self._entries: OrderedDict[_Key, Future[Entry]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        return self._embedder.model

    def of(self, passage: Passage) -> Entry:
        """The sentences of ``passage.text`` (offsets into it) and their unit vectors ``[n, dimensions]``.

        Blocks while it embeds. RetrievalError where the embedder fails or takes longer than ``within``.
        """
        return self.of_all([passage])[0]

    def of_all(self, passages: Sequence[Passage]) -> list[Entry]:
        """:meth:`of` for each passage, with all that is missing embedded in one batch."""
        mine: dict[_Key, tuple[Future[Entry], str]] = {}
        waiting: list[Future[Entry]] = []
        with self._lock:
            for passage in passages:
                key = _key(passage.id, passage.text)
                future = self._entries.get(key)
                if future is None:
                    future = self._entries[key] = Future()
                    mine[key] = future, passage.text
                self._entries.move_to_end(key)
                waiting.append(future)
        if mine:
            self._compute(mine)
        try:
            return [future.result(self._within) for future in waiting]
        except FutureTimeout as error:
            raise RetrievalError(
                f"sentence vectors were not there within {self._within} s", service="retrieval"
            ) from error

    def prime(self, passage_id: str, text: str, vectors: NDArray[np.float32]) -> None:
        """Keeps *vectors* that were computed before, as at ingest: one row per sentence of ``split(text)``.
        ValueError if the rows are not as many, or not of the embedder's dimensions."""
        sentences = tuple(split(text))
        if vectors.shape != (len(sentences), self._embedder.dimensions):
            raise ValueError(f"{vectors.shape} vectors for {len(sentences)} sentences of {passage_id!r}")
        future: Future[Entry] = Future()
        future.set_result((sentences, np.asarray(vectors, np.float32)))
        with self._lock:
            self._entries[_key(passage_id, text)] = future
            self._trim()

    def __len__(self) -> int:
        return len(self._entries)

    def _compute(self, mine: dict[_Key, tuple[Future[Entry], str]]) -> None:
        sentences = [tuple(split(text)) for _, text in mine.values()]
        rows = None
        try:
            rows = _matrix(self._embedder.embed([s.text for of in sentences for s in of]))
        finally:
            if rows is None:
                self._give_up(mine)
        edges = [0, *accumulate(len(of) for of in sentences)]
        for (future, _), of, (start, end) in zip(mine.values(), sentences, pairwise(edges), strict=True):
            # a copy, so that a kept passage does not keep the whole batch
            future.set_result((of, rows[start:end].copy()))
        with self._lock:
            self._trim()

    def _give_up(self, mine: dict[_Key, tuple[Future[Entry], str]]) -> None:
        """Tells whoever waits for these, and lets the next to come try again."""
        with self._lock:
            for key, (future, _) in mine.items():
                self._entries.pop(key, None)
                future.set_exception(RetrievalError("the embedder failed for another caller", service="retrieval"))

    def _trim(self) -> None:
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


def _matrix(vectors: Any) -> NDArray[np.float32]:
    return np.asarray(vectors, np.float32)


def _key(passage: str, text: str) -> _Key:
    return passage, hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
