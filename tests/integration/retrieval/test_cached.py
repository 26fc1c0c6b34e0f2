"""What was searched before is known again: for the same tenant and domains, and until a document changes, in any process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from vital_engine.errors import InvalidQuestion, RetrievalError
from vital_engine.flow import run_in_background
from vital_engine.nouns import Evidence, Scope
from vital_engine.ports import Retriever
from vital_engine.services.caching import Cache, CachedRetriever
from vital_engine.services.retrieval.library import Library
from vital_engine.testing import HashedEmbedder

from .conftest import Shelf, document, prose

SCOPE = Scope("t1", "u1")
QUERY = "warfarin bleeding"


class Replica:
    """A process of its own over the same store: a library, its cache, and how often it searched."""

    def __init__(self, shelf: Shelf, embedder: HashedEmbedder | None = None) -> None:
        self.library = Library(shelf.knowledge, embedder or shelf.embedder)
        self.counted: list[str] = []
        self.cached = CachedRetriever(
            self.library, Cache("retrieval", entries=64, start=run_in_background, count=self.counted.append)
        )

    async def find(self, query: str = QUERY, *, k: int = 3, scope: Scope = SCOPE) -> Evidence:
        return await self.cached.search(query, k=k, scope=scope)

    async def texts(self, scope: Scope = SCOPE) -> list[str]:
        return [passage.document for passage in (await self.find(scope=scope, k=50)).passages]


async def fill(shelf: Shelf) -> None:
    await shelf.take([document(f"d{n}", prose(n)) for n in range(20)])


async def test_what_is_known_again_is_what_was_found_and_says_so(shelf: Shelf) -> None:
    await fill(shelf)
    replica = Replica(shelf)
    assert isinstance(replica.cached, Retriever)
    first, again = await replica.find(), await replica.find(scope=Scope("t1", "another user"))
    assert (first.cached, again.cached) == (False, True)
    assert again.passages == first.passages and again.index_version == first.index_version
    assert first == await replica.library.search(QUERY, k=3, scope=SCOPE)
    assert replica.counted == ["miss", "hit"]


async def test_the_version_is_the_one_that_a_search_names(shelf: Shelf) -> None:
    library = shelf.library
    assert await library.version(scope=SCOPE) == f"0/{shelf.embedder.model}"
    await fill(shelf)
    assert await library.version(scope=SCOPE) == (await shelf.find(QUERY)).index_version
    assert await library.version(scope=Scope("t2", "u1")) == f"0/{shelf.embedder.model}"


async def test_a_document_that_comes_changes_or_goes_is_seen_at_once_by_every_replica(shelf: Shelf) -> None:
    await fill(shelf)
    here, there = Replica(shelf), Replica(shelf)
    for replica in (here, there):
        assert "new" not in await replica.texts()
        assert "new" not in await replica.texts()
    await shelf.take([document("new", "Warfarin bleeding is new.")])
    for replica in (here, there):
        assert (await replica.texts())[0] == "new"
    await shelf.take([document("new", "Now of lithium alone.")])
    for replica in (here, there):
        assert "Warfarin bleeding is new." not in [p.text for p in (await replica.find(k=50)).passages]
    await there.library.delete("new", scope=SCOPE)
    for replica in (here, there):
        assert "new" not in await replica.texts()
    assert here.counted == there.counted
    assert here.counted.count("hit") == 1


async def test_tenants_and_domains_do_not_meet(shelf: Shelf) -> None:
    await shelf.take([document("mine", "Warfarin bleeding of tenant one.")], domain="a")
    await shelf.take([document("other", "Warfarin bleeding of another domain.")], domain="b")
    await shelf.take([document("theirs", "Warfarin bleeding of tenant two.")], tenant="t2", domain="a")
    replica = Replica(shelf)

    async def found(tenant: str, *domains: str) -> list[str]:
        return sorted(await replica.texts(Scope(tenant, "u1", domains)))

    for _ in range(2):
        assert await found("t1") == ["mine", "other"]
        assert await found("t1", "a") == ["mine"]
        assert await found("t1", "b") == ["other"]
        assert await found("t2") == await found("t2", "a") == ["theirs"]
        assert await found("t2", "b") == await found("t3") == []
    assert await found("t1", "b", "a") == await found("t1", "a", "b", "a") == ["mine", "other"]
    assert replica.counted.count("miss") == 8
    assert replica.counted.count("hit") == 7 + 1


async def test_tenants_whose_indexes_have_the_same_version_do_not_meet(shelf: Shelf) -> None:
    for tenant in ("t1", "t2"):
        await shelf.take([document(f"of {tenant}", "Warfarin bleeding.")], tenant=tenant)
    replica = Replica(shelf)
    scopes = [Scope(tenant, "u1") for tenant in ("t1", "t2")]
    assert len({await replica.library.version(scope=scope) for scope in scopes}) == 1
    assert [await replica.texts(scope) for scope in scopes] == [["of t1"], ["of t2"]]
    assert replica.counted == ["miss", "miss"]


async def test_more_passages_and_another_query_are_searched_anew(shelf: Shelf) -> None:
    await fill(shelf)
    replica = Replica(shelf)
    assert len((await replica.find(k=3)).passages) == 3
    assert len((await replica.find(k=5)).passages) == 5
    await replica.find("renal dose")
    assert replica.counted == ["miss"] * 3


async def test_turns_that_ask_at_the_same_time_search_once(shelf: Shelf) -> None:
    await fill(shelf)
    replica = Replica(shelf)
    found = await asyncio.gather(*(replica.find() for _ in range(4)))
    # Who had to wait for a connection to ask for the version may come when the search is over.
    assert replica.counted.count("miss") == 1 and len(replica.counted) == 4
    assert all(evidence.passages == found[0].passages for evidence in found)
    assert [evidence.cached for evidence in found].count(True) == 3


async def test_what_had_to_be_done_without_the_embedder_is_not_kept(shelf: Shelf) -> None:
    class Flaky(HashedEmbedder):
        fails = True

        def embed(self, texts: Sequence[str]) -> Any:
            if self.fails:
                raise RetrievalError("no memory", service="retrieval")
            return super().embed(texts)

    await fill(shelf)
    embedder = Flaky()
    replica = Replica(shelf, embedder)
    for _ in range(2):
        assert (await replica.find()).notes
    embedder.fails = False
    assert not (await replica.find()).notes
    assert (await replica.find()).cached
    assert replica.counted == ["miss", "miss", "miss", "hit"]


async def test_an_error_of_the_search_is_the_askers_and_is_not_kept(shelf: Shelf) -> None:
    await fill(shelf)
    replica = Replica(shelf)
    for _ in range(2):
        with pytest.raises(InvalidQuestion):
            await replica.find(k=0)
    assert replica.counted == ["miss", "miss"]
