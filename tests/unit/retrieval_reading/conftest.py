"""The real embedder, converted once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vital_engine.services.retrieval.embedder import MiniLM

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def minilm(cache: Path) -> MiniLM:
    return MiniLM(cache=cache)


@pytest.fixture
def documents() -> Path:
    return DOCUMENTS
