"""A library on a fresh database, with an embedder whose vectors can be read by eye."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from vital_engine.nouns import Evidence, Scope
from vital_engine.services.retrieval.chunking import Chunk, chunk
from vital_engine.services.retrieval.ingest import Failure, IngestReport, ingest
from vital_engine.services.retrieval.library import Library, LibraryStatus
from vital_engine.services.retrieval.reading import Document
from vital_engine.services.retrieval.reading.document import compose
from vital_engine.store import Knowledge, Store
from vital_engine.testing import HashedEmbedder

DRUGS = ("aspirin", "warfarin", "metformin", "insulin", "ibuprofen", "digoxin", "lithium", "heparin")
WORDS = [
    "dose",
    "patient",
    "trial",
    "renal",
    "hepatic",
    "cardiac",
    "risk",
    "mortality",
    "placebo",
    "randomized",
    "cohort",
    "adverse",
    "event",
    "daily",
    "weight",
    "pressure",
    "glucose",
    "infection",
    "bleeding",
    "stroke",
    "survival",
    "therapy",
    "response",
    "guideline",
    "surgery",
    "tumour",
    "biopsy",
    "imaging",
]


def document(key: str, *parts: str, title: str = "", **facts: Any) -> Document:
    return compose(parts, id=key, title=title, source=f"{key}.txt", media_type="text/plain", **facts)


def prose(seed: int, sentences: int = 6) -> str:
    """Sentences of words of the field, the same for the same seed."""
    chance = random.Random(seed)
    return " ".join(
        f"{' '.join(chance.choices(WORDS, k=chance.randint(4, 12)))} {chance.choice(DRUGS)}.".capitalize()
        for _ in range(sentences)
    )


@dataclass
class Shelf:
    """A library with what is needed to fill it."""

    knowledge: Knowledge
    library: Library
    embedder: HashedEmbedder = field(default_factory=HashedEmbedder)

    async def take(
        self,
        documents: Iterable[Document | Failure],
        *,
        tenant: str = "t1",
        domain: str = "",
        cut: Callable[[Document], Sequence[Chunk]] = chunk,
        **options: Any,
    ) -> IngestReport:
        return await ingest(
            documents,
            shelves=self.knowledge,
            tenant=tenant,
            domain=domain,
            cut=cut,
            **{"embedder": self.embedder, **options},
        )

    async def find(self, query: str, *, k: int = 5, tenant: str = "t1", domains: Sequence[str] = ()) -> Evidence:
        return await self.library.search(query, k=k, scope=Scope(tenant, "u1", tuple(domains)))

    async def status(self, tenant: str = "t1") -> LibraryStatus:
        return await self.library.status(scope=Scope(tenant, "u1"))


@pytest.fixture
def shelf(store: Store) -> Shelf:
    knowledge, embedder = Knowledge(store), HashedEmbedder()
    return Shelf(knowledge, Library(knowledge, embedder), embedder)
