"""Finding: exact spans, both rankings, filters that do not run short, tenants that do not meet."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest

from vital_engine.errors import InvalidQuestion, NotFound, Refused, RetrievalError
from vital_engine.nouns import Scope
from vital_engine.ports import Retriever
from vital_engine.services.retrieval.library import Library, Ranking
from vital_engine.services.retrieval.reading import Document
from vital_engine.testing import HashedEmbedder

from .conftest import Shelf, document, prose

SCOPE = Scope("t1", "u1")


async def test_the_library_is_a_retriever(shelf: Shelf) -> None:
    assert isinstance(shelf.library, Retriever)


async def test_a_passage_says_exactly_where_it_stands(shelf: Shelf) -> None:
    pages = [prose(n, 40) for n in range(4)]
    paged = document("guide", *pages, title="Dosing guide — naïve ½ patients", paged=True)
    await shelf.take([paged], domain="pharmacy")
    found = await shelf.find("warfarin bleeding risk", k=50)
    assert len(found.passages) > 4
    stored = await shelf.library.document("guide", scope=SCOPE)
    assert stored.pages == tuple((p.number, p.start, p.end) for p in paged.pages)
    for passage in found.passages:
        assert stored.text[passage.start : passage.end] == passage.text
        assert (passage.document, passage.title, passage.source) == ("guide", paged.title, "guide.txt")
        assert passage.domain == "pharmacy"
        assert passage.page is not None
        number, start, end = stored.pages[passage.page - 1]
        assert number == passage.page
        assert start <= passage.start < end
    assert len({passage.id for passage in found.passages}) == len(found.passages)


async def test_a_score_can_be_taken_apart(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(50)])
    fused = Library(shelf.knowledge, shelf.embedder, ranking=Ranking(compared=0, depth=8))
    for passage in (await fused.search("renal warfarin trial", k=10, scope=SCOPE)).passages:
        parts = passage.scores
        assert set(parts) <= {"bm25", "bm25_rank", "dense", "dense_rank", "fused"}
        expected = sum(1 / (60 + parts[name]) for name in parts if name.endswith("_rank"))
        assert passage.score == parts["fused"] == pytest.approx(expected)
    compared = Library(shelf.knowledge, shelf.embedder, ranking=Ranking(depth=8))
    found = (await compared.search("renal warfarin trial", k=10, scope=SCOPE)).passages
    assert any("bm25_rank" not in passage.scores for passage in found), "some were found by their meaning only"
    for passage in found:
        parts = passage.scores
        assert {"bm25", "dense", "coverage", "fused", "relevance"} <= set(parts)
        assert passage.score == pytest.approx(1 / (1 + math.exp(-parts["relevance"])))
        assert -1.0 <= parts["dense"] <= 1.001
        assert 0.0 <= parts["coverage"] <= 1.0
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    # What one index did not rank is looked up in it, and is what a deeper ranking says.
    deep = Library(shelf.knowledge, shelf.embedder, ranking=Ranking(depth=50))
    every = {p.id: p for p in (await deep.search("renal warfarin trial", k=50, scope=SCOPE)).passages}
    for passage in found:
        for name in ("bm25", "dense", "coverage"):
            assert passage.scores[name] == pytest.approx(every[passage.id].scores[name], abs=1e-5)


async def test_fewer_passages_are_the_first_of_more(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(60)])
    ids = [p.id for p in (await shelf.find("renal warfarin trial", k=30)).passages]
    assert [p.id for p in (await shelf.find("renal warfarin trial", k=5)).passages] == ids[:5]
    assert len((await shelf.find("renal warfarin trial", k=50)).passages) == 50


async def test_a_passage_without_a_vector_is_found_and_has_no_cosine(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(10)])
    await shelf.take([document("late", "Warfarin warfarin renal trial.")], embedder=None)
    found = {p.document: p for p in (await shelf.find("warfarin renal trial", k=11)).passages}
    assert "dense" not in found["late"].scores
    assert found["late"].scores["coverage"] == pytest.approx(1.0)


async def test_the_title_of_a_document_helps_to_find_each_of_its_passages(shelf: Shelf) -> None:
    await shelf.take([document("a", prose(1, 60), title="Zonisamide in epilepsy"), document("b", prose(2, 60))])
    found = (await shelf.find("zonisamide", k=3)).passages
    assert {passage.document for passage in found} == {"a"}


async def test_another_tenants_library_does_not_exist(shelf: Shelf) -> None:
    secret = "The zanzibar protocol doses warfarin by moonlight."
    await shelf.take([document("a", "Warfarin is dosed by INR.")])
    before = await shelf.find("zanzibar protocol warfarin moonlight", k=10)
    await shelf.take([document("a", secret), document("b", secret)], tenant="t2")
    after = await shelf.find("zanzibar protocol warfarin moonlight", k=10)
    assert [p.text for p in after.passages] == ["Warfarin is dosed by INR."]
    assert after == before, "not even a score or the version shows that there is another tenant"
    assert [p.text for p in (await shelf.find("zanzibar", k=10, tenant="t2")).passages] == [secret, secret]
    with pytest.raises(NotFound):
        await shelf.library.document_text("b", scope=SCOPE)
    with pytest.raises(NotFound):
        await shelf.library.delete("b", scope=SCOPE)
    assert [entry.id for entry in await shelf.library.documents(scope=SCOPE)] == ["a"]
    with pytest.raises(Refused):
        await shelf.find("anything", tenant="")


async def test_a_domain_filter_holds_everywhere(shelf: Shelf) -> None:
    for n, domain in enumerate(("cardiology", "oncology", "")):
        await shelf.take([document(f"{domain}{m}", prose(m * 3 + n)) for m in range(20)], domain=domain)
    found = await shelf.find("renal warfarin", k=60, domains=["cardiology"])
    assert len(found.passages) == 20
    assert {passage.domain for passage in found.passages} == {"cardiology"}
    assert len((await shelf.find("renal warfarin", k=100, domains=["cardiology", "oncology"])).passages) == 40
    assert len((await shelf.find("renal warfarin", k=100)).passages) == 60
    assert not (await shelf.find("renal warfarin", domains=["unheard of"])).passages
    inside = Scope("t1", "u1", ("oncology",))
    with pytest.raises(NotFound):
        await shelf.library.document("cardiology0", scope=inside)
    assert {entry.domain for entry in await shelf.library.documents(scope=inside)} == {"oncology"}


class Scattered:
    """Random unit vectors, the same for the same text: the hardest case for an approximate index."""

    model, dimensions = "scattered", 48

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.empty((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            seed = int.from_bytes(text.encode()[:64].ljust(8), "little") % 2**63
            rows[row] = np.random.default_rng(seed).normal(size=self.dimensions)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


async def test_a_small_tenant_and_a_small_domain_get_all_that_is_theirs_from_a_shared_index(shelf: Shelf) -> None:
    """0.5 % of the rows, by the approximate index: it must go on until it has enough, and find the right ones."""
    embedder = Scattered()
    big = [document(f"{n} big", f"{n} words") for n in range(4000)]
    small = [document(f"{n} small", f"{n} other words") for n in range(20)]
    domain = [document(f"{n} domain", f"{n} more words") for n in range(20)]
    for documents, tenant, of in ((big, "big", ""), (small, "t1", ""), (domain, "big", "special")):
        await shelf.take(documents, tenant=tenant, domain=of, embedder=embedder)
    near = {
        exact: Library(shelf.knowledge, embedder, ranking=Ranking(depth=10, exact_below=exact, lexical=0.0, compared=0))
        for exact in (0, 10**9)
    }
    for scope in (Scope("t1", "u"), Scope("big", "u", ("special",)), Scope("big", "u")):
        hits = wanted = 0
        for n in range(20):
            by_index = (await near[0].search(f"query {n}", k=10, scope=scope)).passages
            exactly = (await near[10**9].search(f"query {n}", k=10, scope=scope)).passages
            assert len(by_index) == len(exactly) == 10
            hits += len({p.id for p in by_index} & {p.id for p in exactly})
            wanted += 10
        assert hits / wanted >= (0.99 if scope != Scope("big", "u") else 0.9)


async def test_without_an_embedder_words_alone_decide_and_it_says_so(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(10)])
    found = await Library(shelf.knowledge).search("warfarin", k=3, scope=SCOPE)
    assert found.notes == ("words only: there is no embedding model",)
    assert all(set(p.scores) == {"bm25", "bm25_rank", "fused"} for p in found.passages)
    assert found.index_version != (await shelf.find("warfarin")).index_version


async def test_an_embedder_that_fails_leaves_the_words(shelf: Shelf) -> None:
    class Broken(HashedEmbedder):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            raise RetrievalError("out of memory")

    await shelf.take([document(f"d{n}", prose(n)) for n in range(10)])
    found = await Library(shelf.knowledge, Broken()).search("warfarin", k=3, scope=SCOPE)
    assert found.notes == ("words only: the embedding model failed (retrieval)",)
    assert found.passages


@pytest.mark.parametrize("query", ["", "   \n", "the of and", "?!", "🙂", "x" * 1_000_000, "renal " * 200_000, "\0"])
async def test_strange_queries_are_searches_too(shelf: Shelf, query: str) -> None:
    await shelf.take([document("a", "Renal function and warfarin."), document("b", "Insulin.")])
    found = await shelf.find(query, k=5)
    assert not found.failed
    if "renal" in query:
        assert found.passages[0].document == "a"


async def test_a_pasted_document_is_a_query(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(30)])
    pasted = " ".join(f"word{n}" for n in range(2000)) + " " + prose(3)
    assert len((await shelf.find(prose(3) + " " + pasted, k=5)).passages) == 5
    assert (await shelf.find(prose(3) + " " + pasted, k=5)).passages[0].document == "d3"


async def test_an_empty_library_finds_nothing_and_does_not_fail(shelf: Shelf) -> None:
    found = await shelf.find("warfarin")
    assert (found.passages, found.failed) == ((), False)
    assert await shelf.library.documents(scope=SCOPE) == ()


@pytest.mark.parametrize("k", [0, -1])
async def test_k_must_be_positive(shelf: Shelf, k: int) -> None:
    with pytest.raises(InvalidQuestion):
        await shelf.find("warfarin", k=k)


async def test_searches_meanwhile_see_a_document_either_old_or_new(shelf: Shelf) -> None:
    def state(n: int) -> list[Document]:
        return [document(f"d{m}", f"Warfarin edition {n}. {prose(m)}") for m in range(5)]

    await shelf.take(state(0))
    done = asyncio.Event()

    async def write() -> None:
        for n in range(1, 25):
            await shelf.take(state(n))
        done.set()

    async def watch() -> int:
        searches = 0
        while not done.is_set():
            found = (await shelf.find("warfarin edition", k=5)).passages
            assert {p.document for p in found} == {f"d{m}" for m in range(5)}
            searches += 1
        return searches

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        watchers = [group.create_task(watch()) for _ in range(2)]
    assert min(task.result() for task in watchers) > 3


async def test_a_search_needs_nothing_of_the_lexical_index_twice(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(50)])
    first = await shelf.find("warfarin renal")
    library = shelf.library
    held = library.cached_bytes
    assert held > 0
    assert await shelf.find("warfarin renal") == first
    assert library.cached_bytes == held
    tiny = Library(shelf.knowledge, shelf.embedder, cache_bytes=0)
    assert await tiny.search("warfarin renal", k=5, scope=SCOPE) == first
    assert tiny.cached_bytes == 0


async def test_a_list_of_documents_is_paged(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n), title=f"Study {n}") for n in range(9)], domain="x")
    listed, after = [], ""
    while page := await shelf.library.documents(scope=SCOPE, after=after, limit=4):
        listed += page
        after = page[-1].id
    assert [entry.id for entry in listed] == [f"d{n}" for n in range(9)]
    entry = listed[3]
    stored = await shelf.library.document("d3", scope=SCOPE)
    assert (entry.title, entry.source, entry.domain, entry.characters) == ("Study 3", "d3.txt", "x", len(stored.text))
    assert entry.passages == 1
    assert entry.created_at.tzinfo is not None
