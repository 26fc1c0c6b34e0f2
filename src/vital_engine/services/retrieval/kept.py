"""Vectors of texts that rarely change, kept on disk: a new process need not embed its experts and tools again."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vital_engine.ports import Embedder

__all__ = ["KeptVectors"]

MOST = 64
"""Files kept; beyond that the one that was used least recently goes."""

log = logging.getLogger("vital_engine.retrieval")


class KeptVectors:
    """Fulfils :class:`~vital_engine.ports.Embedder` by another one, and keeps what it gave for a list of texts.

    A single text is a question: it is passed on, and nothing of it is kept. A file holds vectors alone, under a hash of
    the model and the texts. What cannot be read or written is embedded again: a full disk costs time and no answer.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder, self._folder = embedder, folder
        self.model, self.dimensions = embedder.model, embedder.dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors ``[n, dimensions]``, as the embedder gives them. Blocks."""
        if len(texts) < 2:
            return np.asarray(self._embedder.embed(texts), np.float32)
        path = self._folder / f"{self._key(texts)}.npy"
        try:
            vectors = np.load(path, allow_pickle=False)
            if vectors.shape == (len(texts), self.dimensions) and vectors.dtype == np.float32:
                os.utime(path)
                return np.asarray(vectors, np.float32)
        except (OSError, ValueError, EOFError):
            pass
        vectors = np.asarray(self._embedder.embed(texts), np.float32)
        self._keep(path, vectors)
        return vectors

    def _key(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(self.model.encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    def _keep(self, path: Path, vectors: NDArray[np.float32]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
                np.save(file, vectors, allow_pickle=False)
            Path(file.name).replace(path)
            kept = sorted(self._folder.glob("*.npy"), key=lambda p: p.stat().st_mtime, reverse=True)
            for old in kept[MOST:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("vectors are not kept: %s", error.strerror)
