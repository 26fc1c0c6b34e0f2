"""Vectors of questions: one question is embedded once, though the roster, the search and the tools each ask for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from vital_engine.ports import Embedder

from .cache import Count, Kept, uncounted

__all__ = ["CachedEmbedder"]

Row = NDArray[np.float32]


class CachedEmbedder:
    """Fulfils :class:`vital_engine.ports.Embedder` by another one, and keeps what that gave for a single text.

    A single text is a question; several at once are documents, profiles or sentences, and are passed on. Safe between
    threads: who asks for a text that another thread is embedding waits for that one.

    :param entries: vectors kept, of about 1.5 KB each for 384 dimensions, beside their texts.
    """

    def __init__(self, embedder: Embedder, *, entries: int, count: Count = uncounted) -> None:
        self._embedder, self._count = embedder, count
        self.model, self.dimensions = embedder.model, embedder.dimensions
        self._kept: Kept[tuple[str, str], Row] = Kept(entries=entries)
        self._flights: dict[tuple[str, str], Future[Row]] = {}
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Row:
        """Unit vectors ``[n, dimensions]``, float32; those of a single text are read-only. Blocks."""
        if len(texts) != 1:
            return np.asarray(self._embedder.embed(texts), np.float32)
        key = (self.model, texts[0])
        with self._lock:
            known, flight = self._kept.get(key), self._flights.get(key)
            mine = known is None and flight is None
            if mine:
                flight = self._flights[key] = Future()
        if known is not None:
            self._count("hit")
            return known
        assert flight is not None
        if not mine:
            self._count("shared")
            return flight.result()
        self._count("miss")
        return self._made(key, texts, flight)

    def _made(self, key: tuple[str, str], texts: Sequence[str], flight: Future[Row]) -> Row:
        try:
            row = np.array(self._embedder.embed(texts), np.float32)
        except BaseException as error:
            with self._lock:
                del self._flights[key]
            flight.set_exception(error)
            raise
        row.flags.writeable = False  # it is everybody's
        with self._lock:
            self._kept.put(key, row)
            del self._flights[key]
        flight.set_result(row)
        return row
