"""Real abstracts, and the real matcher: without an embedder, and with one that needs no weights."""

from __future__ import annotations

import pytest

from vital_engine.services.retrieval.sentence_vectors import SentenceVectors
from vital_engine.services.support import Matcher
from vital_engine.testing import HashedEmbedder


def dense_matcher() -> Matcher:
    """The dense model on hashed words: they carry the name of the embedder that it was trained for."""
    embedder = HashedEmbedder()
    embedder.model = "all-MiniLM-L6-v2/hashed"
    return Matcher(embedder, SentenceVectors(embedder))


@pytest.fixture(scope="session", params=["lexical", "dense"])
def matcher(request: pytest.FixtureRequest) -> Matcher:
    made = Matcher() if request.param == "lexical" else dense_matcher()
    assert made.model.endswith(request.param)
    return made
