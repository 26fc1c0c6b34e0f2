"""Taking documents in: once, changed, deleted, together, interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from vital_engine.errors import NotFound, RetrievalError, StoreError, UnreadableDocument
from vital_engine.nouns import Scope
from vital_engine.services.retrieval import lexical
from vital_engine.services.retrieval.chunking import Chunk, chunk
from vital_engine.services.retrieval.ingest import Failure, IngestReport, embed_missing
from vital_engine.services.retrieval.library import Library, Ranking
from vital_engine.services.retrieval.reading import Document
from vital_engine.testing import HashedEmbedder

from .conftest import Shelf, document, prose

SCOPE = Scope("t1", "u1")


def corpus(count: int, start: int = 0) -> list[Document]:
    return [document(f"d{n}", prose(n), title=f"Study {n}") for n in range(start, start + count)]


async def test_a_document_taken_in_twice_is_taken_in_once(shelf: Shelf) -> None:
    first = await shelf.take(corpus(100))
    assert (first.added, first.unchanged, first.updated, first.failed) == (100, 0, 0, ())
    before = await shelf.status()
    again = await shelf.take(corpus(100))
    assert (again.added, again.unchanged, again.passages) == (0, 100, 0)
    assert await shelf.status() == before


async def test_a_changed_document_takes_the_place_of_the_old_one(shelf: Shelf) -> None:
    await shelf.take([document("a", "Aspirin thins the blood."), document("b", "Insulin lowers glucose.")])
    version = (await shelf.status())["version"]
    report = await shelf.take([document("a", "Aspirin eases headaches."), document("b", "Insulin lowers glucose.")])
    assert (report.updated, report.unchanged, report.added) == (1, 1, 0)
    assert [p.text for p in (await shelf.find("aspirin")).passages if "spirin" in p.text] == [
        "Aspirin eases headaches."
    ]
    assert not any("blood" in p.text for p in (await shelf.find("thins the blood")).passages)
    status = await shelf.status()
    assert (status["documents"], status["passages"], status["vectors"]) == (2, 2, 2)
    assert status["version"] > version


@pytest.mark.parametrize("facts", [{"title": "New"}, {"metadata": {"year": 2024}}])
async def test_what_is_known_of_a_document_is_part_of_it(shelf: Shelf, facts: dict[str, object]) -> None:
    await shelf.take([document("a", "Aspirin thins the blood.")])
    changed = document("a", "Aspirin thins the blood.", **facts)  # type: ignore[arg-type]
    assert (await shelf.take([changed])).updated == 1
    assert (await shelf.take([document("a", "Aspirin thins the blood.")], domain="cardiology")).updated == 1


async def test_a_deleted_document_is_gone_everywhere(shelf: Shelf) -> None:
    await shelf.take([document("a", "Aspirin thins the blood."), document("b", "Heparin thins the blood too.")])
    before = (await shelf.find("blood")).index_version
    await shelf.library.delete("a", scope=SCOPE)
    found = await shelf.find("aspirin thins blood")
    assert {p.document for p in found.passages} == {"b"}
    assert found.index_version != before
    status = await shelf.status()
    assert (status["documents"], status["passages"], status["vectors"]) == (1, 1, 1)
    for gone in ("a", "never there"):
        with pytest.raises(NotFound):
            await shelf.library.delete(gone, scope=SCOPE)
        with pytest.raises(NotFound):
            await shelf.library.document_text(gone, scope=SCOPE)


async def test_documents_that_are_no_longer_there_are_removed_on_request(shelf: Shelf) -> None:
    await shelf.take(corpus(5), domain="one")
    await shelf.take(corpus(2, start=10), domain="two")
    report = await shelf.take(corpus(3), domain="one", prune=True)
    assert (report.unchanged, report.removed) == (3, 2)
    entries = await shelf.library.documents(scope=SCOPE)
    assert [entry.id for entry in entries] == ["d0", "d1", "d10", "d11", "d2"]


async def test_nothing_is_removed_while_some_documents_cannot_be_read(shelf: Shelf) -> None:
    await shelf.take(corpus(3))
    report = await shelf.take([*corpus(2), Failure("/mnt/d2.txt", "the disk is away")], prune=True)
    assert (report.removed, (await shelf.status())["documents"]) == (0, 3)
    report = await shelf.take([*corpus(2), document("d9", "")], prune=True)
    assert (report.removed, (await shelf.status())["documents"]) == (1, 2)


async def test_a_bad_document_costs_only_itself_and_is_named(shelf: Shelf) -> None:
    def source() -> Iterator[Document | Failure]:
        yield document("a", "Aspirin thins the blood.")
        yield Failure("b.pdf", "document.unreadable: encrypted")
        yield document("c", "")
        yield document("a", "The same name again.")
        yield document("bad", "This one cannot be cut.")
        yield document("d", "Insulin lowers glucose.")

    def cut(given: Document) -> Sequence[Chunk]:
        if given.id == "bad":
            raise UnreadableDocument("broken")
        return chunk(given)

    report = await shelf.take(source(), cut=cut)
    assert (report.added, report.documents) == (2, 6)
    assert {failure.document: failure.reason.split(":")[0] for failure in report.failed} == {
        "b.pdf": "document.unreadable",
        "c": "it holds no text",
        "a": "an earlier document of this ingest has the same id",
        "bad": "document.unreadable",
    }


async def test_files_that_cannot_be_read_do_not_end_an_ingest(shelf: Shelf) -> None:
    class Files:
        def __init__(self) -> None:
            self.left: list[Document | Exception] = [
                *(document("a", "Aspirin."), UnreadableDocument("broken.pdf"), document("b", "Insulin."))
            ]

        def __iter__(self) -> Files:
            return self

        def __next__(self) -> Document:
            if not self.left:
                raise StopIteration
            item = self.left.pop(0)
            if isinstance(item, Exception):
                raise item
            return item

    report = await shelf.take(Files())
    assert (report.added, [f.reason for f in report.failed]) == (2, ["document.unreadable: broken.pdf"])


async def test_text_that_no_database_holds_does_not_stop_it(shelf: Shelf) -> None:
    raw = Document("a", "A\0title", "Aspirin \ud800 thins \0 blood.", "a.txt", "text/plain", "hash")
    assert (await shelf.take([raw])).added == 1
    (passage,) = (await shelf.find("aspirin")).passages
    text = await shelf.library.document_text("a", scope=SCOPE)
    assert text == "Aspirin \ufffd thins \ufffd blood."
    assert text[passage.start : passage.end] == passage.text


async def test_an_ingest_that_was_killed_is_finished_by_running_it_again(shelf: Shelf) -> None:
    seen: list[IngestReport] = []

    class Killed(Exception):
        pass

    def die(report: IngestReport) -> None:
        seen.append(report)
        raise Killed

    with pytest.raises(Killed):
        await shelf.take(corpus(400), progress=die)
    done = seen[-1].added
    assert 0 < done < 400
    assert (await shelf.find("study 3", k=3)).passages, "what was written can be searched"
    report = await shelf.take(corpus(400))
    assert (report.added, report.unchanged) == (400 - done, done)
    assert (await shelf.status())["documents"] == 400


async def test_progress_counts_up_to_the_report(shelf: Shelf) -> None:
    seen: list[IngestReport] = []
    report = await shelf.take(corpus(600), progress=seen.append)
    assert len(seen) > 1
    assert [r.added for r in seen] == sorted(r.added for r in seen)
    assert seen[-1].added == report.added == 600


async def test_ingests_into_one_tenant_at_once_make_the_same_index_as_one_after_another(shelf: Shelf) -> None:
    halves = (corpus(150), corpus(150, start=100))  # d100 to d149 in both
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(shelf.take(half)) for half in halves]
    reports = [task.result() for task in running]
    assert sum(r.added for r in reports) == 250
    assert sum(r.unchanged for r in reports) == 50
    await shelf.take(corpus(250), tenant="t2")
    for query in ("renal risk of warfarin", "stroke", "study 7"):
        together, alone = await shelf.find(query, k=20), await shelf.find(query, k=20, tenant="t2")
        assert _scores(together) == pytest.approx(_scores(alone), rel=1e-4)


def _scores(evidence: object) -> list[float]:
    return sorted((p.scores.get("bm25", 0.0) for p in evidence.passages), reverse=True)  # type: ignore[attr-defined]


async def test_an_embedder_that_fails_loses_its_documents_loudly_and_not_for_ever(shelf: Shelf) -> None:
    class Broken(HashedEmbedder):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            raise RetrievalError("out of memory")

    report = await shelf.take(corpus(3), embedder=Broken())
    assert report.added == 0
    assert {failure.reason for failure in report.failed} == {"retrieval: out of memory"}
    assert (await shelf.take(corpus(3))).added == 3


async def test_passages_without_a_vector_get_one_later(shelf: Shelf) -> None:
    await shelf.take(corpus(30), embedder=None)
    assert (await shelf.status())["vectors"] == 0
    counts: list[int] = []
    done = await embed_missing(shelves=shelf.knowledge, tenant="t1", embedder=shelf.embedder, progress=counts.append)
    status = await shelf.status()
    assert status["vectors"] == status["passages"] == done == counts[-1]
    assert await embed_missing(shelves=shelf.knowledge, tenant="t1", embedder=shelf.embedder) == 0


async def test_models_are_never_mixed(shelf: Shelf) -> None:
    await shelf.take(corpus(20))
    small = HashedEmbedder(64)
    library = Library(shelf.knowledge, small)
    assert (await library.search("renal", k=3, scope=SCOPE)).notes == (
        "words only: no document was embedded by hashed-stems-64",
    )
    await embed_missing(shelves=shelf.knowledge, tenant="t1", embedder=small)
    found = await library.search("renal", k=3, scope=SCOPE)
    assert not found.notes
    assert "dense" in found.passages[0].scores
    lying = HashedEmbedder(32)
    lying.model = small.model
    with pytest.raises(StoreError, match="dimensions"):
        await embed_missing(shelves=shelf.knowledge, tenant="t1", embedder=lying)


async def test_many_small_ingests_end_in_few_segments_that_find_the_same(shelf: Shelf) -> None:
    documents = corpus(40)
    for one in documents:
        await shelf.take([one])
    await shelf.take(documents, tenant="t2")
    few = (await shelf.status())["segments"]
    assert few < 2 * lexical.FEWEST < len(documents)
    assert (await shelf.status("t2"))["segments"] == 1
    for query in ("warfarin and renal risk", "insulin", "study 12", "placebo mortality biopsy"):
        merged, whole = await shelf.find(query, k=40), await shelf.find(query, k=40, tenant="t2")
        assert [(p.id, p.scores) for p in merged.passages] == [(p.id, p.scores) for p in whole.passages]


async def test_compaction_leaves_what_a_new_index_would_hold(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "DEAD_FEW", 10)
    await shelf.take(corpus(60), domain="a")
    await shelf.take(corpus(60, start=60), domain="b")
    await shelf.take([document(f"d{n}", prose(n + 1000), title=f"Study {n}") for n in range(40)], domain="a")
    async with shelf.knowledge.reading("t1") as reader:
        catalogue = await reader.catalogue()
    assert catalogue.dead == b""
    assert sum(segment.passages for segment in catalogue.segments) == (await shelf.status())["passages"]
    await shelf.take(
        [document(f"d{n}", prose(n + (1000 if n < 40 else 0)), title=f"Study {n}") for n in range(120)], tenant="t2"
    )
    by_words = Library(shelf.knowledge, ranking=Ranking(depth=200))
    for query in ("warfarin and renal risk", "insulin", "study 12"):
        ours, fresh = [
            {p.id: p.scores["bm25"] for p in (await by_words.search(query, k=120, scope=Scope(tenant, "u"))).passages}
            for tenant in ("t1", "t2")
        ]
        assert ours == pytest.approx(fresh, rel=1e-5)
