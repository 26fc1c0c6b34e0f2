"""An embedder without weights: stems hashed into a vector. For tests, and for nothing that a person relies on.

Texts that share words are near each other, others are orthogonal but for collisions; so a test of search can
be read by eye, and runs in microseconds. Deterministic over processes and machines.
A module that stands alone because it follows no script: it reckons.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vital_engine.text.words import stem

__all__ = ["HashedEmbedder"]

_WORD = re.compile(r"\w+")


class HashedEmbedder:
    """Bag of hashed English stems, signed (Weinberger et al. 2009, arXiv:0902.2206); fulfils ports.Embedder."""

    def __init__(self, dimensions: int = 384) -> None:
        self.model = f"hashed-stems-{dimensions}"
        self.dimensions = dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row per text, ``[n, dimensions]`` float32. A text without words gets the first axis."""
        found = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for found_stem in stem(_WORD.findall(text.lower())):
                code = zlib.crc32(found_stem.encode())
                found[row, (code >> 1) % self.dimensions] += 1 if code & 1 else -1
            length = np.linalg.norm(found[row])
            if length > 0:
                found[row] /= length
            else:
                found[row, 0] = 1
        return found
