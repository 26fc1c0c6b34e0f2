"""Vectors of sentences: computed at ingest, kept beside their passage, and found there by a turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from prompts import answer_of, prompt_of
from vital_engine.errors import ConfigError
from vital_engine.nouns import Evidence, Passage, Scope
from vital_engine.services.llm.extractive import Extractive
from vital_engine.services.retrieval.ingest import embed_missing
from vital_engine.services.retrieval.library import Library
from vital_engine.services.retrieval.sentence_vectors import SentenceVectors
from vital_engine.services.support import Matcher
from vital_engine.store import Knowledge, Store
from vital_engine.testing import HashedEmbedder

from .conftest import Shelf, document, prose

SCOPE = Scope("t1", "u1")
QUESTION = "Does warfarin raise the renal risk?"


class Counting(HashedEmbedder):
    """Notes each text that it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return super().embed(texts)


class Turn:
    """What a turn shares: an embedder that counts, the vectors, and the library that primes them."""

    def __init__(self, knowledge: Knowledge, embedder: Counting | None = None) -> None:
        self.embedder = embedder or Counting()
        self.vectors = SentenceVectors(self.embedder)
        self.library = Library(knowledge, self.embedder, sentences=self.vectors)

    async def find(self, query: str = QUESTION, *, tenant: str = "t1") -> Evidence:
        return await self.library.search(query, k=8, scope=Scope(tenant, "u1"))

    def computed(self, passages: Sequence[Passage]) -> list[str]:
        """The texts that had to be embedded for the sentences of *passages*; what is handed out is right either way."""
        before = len(self.embedder.texts)
        for passage, (sentences, rows) in zip(passages, self.vectors.of_all(passages), strict=True):
            own = HashedEmbedder().embed([sentence.text for sentence in sentences])
            assert np.sum(own * rows, axis=1) == pytest.approx(np.ones(len(sentences)), abs=1e-3), passage.id
            assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(sentences)), abs=1e-6)
        return self.embedder.texts[before:]


async def kept(store: Store, tenant: str = "t1") -> int:
    async with store.transaction(tenant) as connection:
        row = await (await connection.execute("select count(*) from sentence_vectors")).fetchone()
    return int(row[0]) if row else 0


async def test_a_turn_after_an_ingest_embeds_nothing_but_the_question(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n), title=f"Study {n}") for n in range(30)])
    turn = Turn(shelf.knowledge)
    evidence = await turn.find()
    assert len(evidence.passages) == 8
    text, _ = await answer_of(Extractive(turn.embedder, vectors=turn.vectors), prompt_of(QUESTION, *evidence.passages))
    assert Matcher(turn.embedder, turn.vectors).best(text, evidence.passages) is not None
    assert set(turn.embedder.texts) == {QUESTION}
    assert turn.computed(evidence.passages) == []


async def test_a_changed_document_brings_new_ones_and_a_deleted_one_takes_its_own_along(
    shelf: Shelf, store: Store
) -> None:
    turn = Turn(shelf.knowledge)
    await shelf.take([document("a", "Warfarin was given. Renal risk rose."), document("b", "Insulin was given.")])
    assert turn.computed((await turn.find()).passages) == []
    await shelf.take([document("a", "Warfarin was stopped. Renal risk fell."), document("b", "Insulin was given.")])
    found = (await turn.find()).passages
    assert "Warfarin was stopped. Renal risk fell." in [passage.text for passage in found]
    assert turn.computed(found) == []
    assert await kept(store) == 2
    await turn.library.delete("a", scope=SCOPE)
    assert await kept(store) == 1


async def test_those_of_another_model_are_never_used(shelf: Shelf) -> None:
    await shelf.take([document("a", "Warfarin was given. Renal risk rose.")])
    other = Counting()
    other.model = "another"
    await embed_missing(shelves=Knowledge(shelf.knowledge._store, sentence_vectors=False), tenant="t1", embedder=other)
    turn = Turn(shelf.knowledge, other)
    found = (await turn.find()).passages
    assert "dense" in found[0].scores
    assert turn.computed(found) == ["Warfarin was given.", "Renal risk rose."]
    with pytest.raises(ConfigError, match="another"):
        Library(shelf.knowledge, shelf.embedder, sentences=SentenceVectors(other))


async def test_a_library_that_keeps_none_can_be_filled_later(shelf: Shelf, store: Store) -> None:
    without = Knowledge(store, sentence_vectors=False)
    await Shelf(without, shelf.library).take([document(f"d{n}", prose(n)) for n in range(20)])
    await shelf.take([document("by words", prose(20))], embedder=None)
    assert await kept(store) == 0
    passages = (await Turn(shelf.knowledge).find()).passages
    assert len(Turn(shelf.knowledge).computed(passages)) > 8, "they are computed in the turn"
    counting = Counting()
    assert await embed_missing(shelves=without, tenant="t1", embedder=counting) == 1
    version = (await shelf.status())["version"]
    done = await embed_missing(shelves=shelf.knowledge, tenant="t1", embedder=counting)
    status = await shelf.status()
    assert done == status["passages"] == await kept(store)
    assert status["version"] == version, "what a search finds has not changed"
    assert sum(text == prose(20) for text in counting.texts) == 1, "a passage that has its vector keeps it"
    turn = Turn(shelf.knowledge)
    assert turn.computed((await turn.find()).passages) == []
    assert await embed_missing(shelves=shelf.knowledge, tenant="t1", embedder=counting) == 0


async def test_as_many_as_there_are_sentences_or_they_are_ignored(shelf: Shelf, store: Store) -> None:
    await shelf.take([document("a", "Warfarin was given. Renal risk rose.")])
    async with store.transaction("t1") as connection:
        await connection.execute("update sentence_vectors set vectors = substr(vectors, 1, 384)")
    turn = Turn(shelf.knowledge)
    assert turn.computed((await turn.find()).passages) == ["Warfarin was given.", "Renal risk rose."]


async def test_each_tenant_reads_its_own(shelf: Shelf, store: Store) -> None:
    await shelf.take([document("a", "Warfarin was given. Renal risk rose.")])
    without = Knowledge(store, sentence_vectors=False)
    await Shelf(without, shelf.library).take([document("a", "Warfarin was given. Renal risk rose.")], tenant="t2")
    assert (await kept(store), await kept(store, "t2")) == (1, 0)
    turn = Turn(shelf.knowledge)
    found = (await turn.find(tenant="t2")).passages
    assert turn.computed(found) == ["Warfarin was given.", "Renal risk rose."]
