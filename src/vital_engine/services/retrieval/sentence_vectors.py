"""The sentences of passages with their vectors: computed at ingest and kept, or else once per passage and text.

The extractive answerer and the judge of support read the same passages within one turn, and popular passages
come again in later ones. About 15 KB a passage (10 sentences of 384 float32) in memory, 4 KB as it is kept.

Each sentence is embedded alone, over what :func:`vital_engine.text.sentences.split` gives. What is kept is a row of int8
per sentence, scaled by its largest value. The scale itself is not kept: a vector of length 1 is known by its direction.
"""

from __future__ import annotations

import hashlib
import threading
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
from vital_engine.services.caching.cache import LRUCache
from vital_engine.text.sentences import split

__all__ = ["SentenceVectors", "embed_packed", "pack", "unpack"]

Entry = tuple[tuple[Sentence, ...], NDArray[np.float32]]
_Key = tuple[str, bytes]
_Missing = tuple[Future[Entry], str, bytes | None]

AT_ONCE = 256
"""Passages whose sentences are embedded in one go: a book's would take hundreds of megabytes before they are packed."""


def embed_packed(embedder: Embedder, texts: Sequence[str]) -> list[bytes]:
    """For each of *texts* the vectors of its sentences, as :func:`pack` makes them. Blocks.

    :raises RetrievalError: the embedder failed.
    """
    found: list[bytes] = []
    for first in range(0, len(texts), AT_ONCE):
        sentences = [[sentence.text for sentence in split(text)] for text in texts[first : first + AT_ONCE]]
        # neighbouring passages overlap, and headings recur
        different = list(dict.fromkeys(sentence for of in sentences for sentence in of))
        rows = pack(_matrix(embedder.embed(different))) if different else []
        packed = dict(zip(different, rows, strict=True))
        found += [b"".join(packed[sentence] for sentence in of) for of in sentences]
    return found


def pack(vectors: NDArray[np.float32]) -> list[bytes]:
    """Each row of ``[n, dimensions]`` as int8, its largest value being 127 or -127. Behind one another they are what
    :func:`unpack` reads."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = vectors * (np.float32(127) / np.where(largest > 0, largest, np.float32(1)))
    return [row.tobytes() for row in np.rint(scaled).astype(np.int8)]


def unpack(packed: bytes, sentences: int, dimensions: int) -> NDArray[np.float32] | None:
    """Unit rows ``[sentences, dimensions]``; None if *packed* holds another number of them. Zero stays zero."""
    if len(packed) != sentences * dimensions:
        return None
    rows = np.frombuffer(packed, np.int8).reshape(sentences, dimensions).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return _matrix(rows / np.where(lengths > 0, lengths, np.float32(1)))


class SentenceVectors:
    """A cache of the least recently used kind, safe to use from many threads; two that miss the same passage
    at once compute it once.

    :param embedder: whose vectors; all of one SentenceVectors are of one model.
    :param capacity: passages kept, at least 1; as many again wait, packed, to be asked for.
    :param within: seconds that a thread waits for another's computation of the same passage.
    """

    def __init__(self, embedder: Embedder, capacity: int = 2048, *, within: float = 30.0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._embedder, self._within = embedder, within
        self._entries: LRUCache[_Key, Future[Entry]] = LRUCache(entries=capacity)
        self._primed: LRUCache[_Key, bytes] = LRUCache(entries=capacity)
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The embedder's model."""
        return self._embedder.model

    def of(self, passage: Passage) -> Entry:
        """The sentences of a passage and their vectors. Blocks while it embeds what was not primed.

        :param passage: the passage.
        :returns: sentences (offsets into ``passage.text``) and unit vectors of shape (sentences, dimensions).
        :raises RetrievalError: the embedder failed, or took longer than ``within``.
        """
        return self.of_all([passage])[0]

    def of_all(self, passages: Sequence[Passage]) -> list[Entry]:
        """:meth:`of` for each passage, with all that is missing embedded in one batch."""
        mine: dict[_Key, _Missing] = {}
        waiting: list[Future[Entry]] = []
        with self._lock:
            for passage in passages:
                key = _key(passage)
                # of more passages than are kept at all, the first are gone by the time that they come again
                future = mine[key][0] if key in mine else self._entries.get(key)
                if future is None:
                    future = Future()
                    self._entries.put(key, future)
                    mine[key] = future, passage.text, self._primed.pop(key)
                waiting.append(future)
        if mine:
            self._compute(mine)
        try:
            return [future.result(self._within) for future in waiting]
        except FutureTimeout as error:
            raise RetrievalError(
                f"sentence vectors were not there within {self._within} s", service="retrieval"
            ) from error

    def prime(self, passage: Passage, packed: bytes) -> None:
        """Give the cache what was stored at ingest. It is unpacked when the passage is first asked for.

        :param passage: the passage.
        :param packed: sentence vectors of the embedder's own model; if their number does not fit, the sentences are
            embedded again.
        """
        key = _key(passage)
        with self._lock:
            if key not in self._entries:
                self._primed.put(key, packed)

    def __len__(self) -> int:
        return len(self._entries)

    def _compute(self, mine: dict[_Key, _Missing]) -> None:
        wanted: list[tuple[Future[Entry], tuple[Sentence, ...]]] = []
        try:
            for future, text, packed in mine.values():
                sentences = tuple(split(text))
                rows = unpack(packed, len(sentences), self._embedder.dimensions) if packed is not None else None
                if rows is None:
                    wanted.append((future, sentences))
                else:
                    future.set_result((sentences, rows))
            if wanted:
                rows = _matrix(self._embedder.embed([s.text for _, of in wanted for s in of]))
                edges = accumulate((len(of) for _, of in wanted), initial=0)
                for (future, of), (start, end) in zip(wanted, pairwise(edges), strict=True):
                    # a copy, so that a kept passage does not keep the whole batch
                    future.set_result((of, rows[start:end].copy()))
        finally:
            self._give_up({key: future for key, (future, _, _) in mine.items() if not future.done()})

    def _give_up(self, mine: dict[_Key, Future[Entry]]) -> None:
        """Wake the threads that wait for these, so that the next one tries again."""
        with self._lock:
            for key, future in mine.items():
                self._entries.pop(key)
                future.set_exception(RetrievalError("the embedder failed for another caller", service="retrieval"))


def _matrix(vectors: Any) -> NDArray[np.float32]:
    return np.asarray(vectors, np.float32)


def _key(passage: Passage) -> _Key:
    return passage.id, hashlib.blake2b(passage.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
