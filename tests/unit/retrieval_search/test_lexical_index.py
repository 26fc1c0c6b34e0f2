"""What is fetched, what is remembered, and what happens when segments are merged meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from vital_engine.errors import RetrievalError
from vital_engine.nouns.stored import Catalogue, LexicalSegment
from vital_engine.services.retrieval.lexical import ENTRY_BYTES, MOST_TERMS, LexicalIndex, pack


class Shelf:
    """One tenant's lexical index in memory. ``merges``: how often the segments are replaced under the reader."""

    def __init__(self, corpus: Sequence[list[str]], *, tenant: str = "t1", merges: int = 0) -> None:
        self.tenant, self.merges = tenant, merges
        self.number = 1
        self.packed = pack(corpus)
        self.asked: list[tuple[list[int], dict[int, list[str]]]] = []

    async def catalogue(self, domains: Sequence[str] = ()) -> Catalogue:
        size = len(self.packed.lengths)
        return Catalogue(1, (LexicalSegment(self.number, "", 0, size - 1, size),))

    async def lexical(
        self, segments: Sequence[int], *, lengths: Sequence[int], postings: Mapping[int, Sequence[str]]
    ) -> tuple[dict[int, bytes], dict[tuple[int, str], bytes]] | None:
        if self.merges:
            self.merges -= 1
            self.number += 1
            return None
        self.asked.append((list(lengths), {segment: list(of) for segment, of in postings.items()}))
        every = dict(self.packed.postings_at(0))
        return {segment: self.packed.lengths_at(0) for segment in lengths}, {
            (segment, term): every[term] for segment, of in postings.items() for term in of if term in every
        }


CORPUS = [["aspirin", "blood"], ["insulin"], ["aspirin", "pain", "pain"]]


async def found(index: LexicalIndex, shelf: Shelf, *terms: str) -> list[int]:
    words = await index.search(shelf, terms, domains=(), depth=10)
    return words.ranking.ordinals.tolist()


async def test_what_was_read_once_is_not_read_again_nor_is_what_is_not_there() -> None:
    index, shelf = LexicalIndex(), Shelf(CORPUS)
    assert await found(index, shelf, "aspirin", "unheard") == [0, 2]
    assert await found(index, shelf, "aspirin", "unheard") == [0, 2]
    assert await found(index, shelf, "aspirin", "pain") == [2, 0]
    assert shelf.asked == [([1], {1: ["aspirin", "unheard"]}), ([], {1: ["pain"]})]


async def test_tenants_share_no_memory() -> None:
    index = LexicalIndex()
    assert await found(index, Shelf(CORPUS), "aspirin") == [0, 2]
    assert await found(index, Shelf([["aspirin"]], tenant="t2"), "aspirin") == [0]
    assert await found(index, Shelf(CORPUS), "aspirin") == [0, 2]


async def test_a_merge_under_the_reader_makes_it_look_again() -> None:
    assert await found(LexicalIndex(), Shelf(CORPUS, merges=2), "aspirin") == [0, 2]


async def test_merges_without_end_are_an_error_that_may_be_tried_again() -> None:
    with pytest.raises(RetrievalError) as caught:
        await found(LexicalIndex(), Shelf(CORPUS, merges=100), "aspirin")
    assert caught.value.retryable


async def test_memory_stays_within_its_budget_and_what_is_used_stays_longest() -> None:
    index, shelf = LexicalIndex(cache_bytes=4 * (ENTRY_BYTES + 40)), Shelf(CORPUS)
    for term in ("aspirin", "blood", "aspirin", "insulin", "aspirin", "pain", "aspirin"):
        assert await found(index, shelf, term)
        assert index.cached_bytes <= 4 * (ENTRY_BYTES + 40)
    assert [of for _, of in shelf.asked] == [{1: ["aspirin"]}, {1: ["blood"]}, {1: ["insulin"]}, {1: ["pain"]}]


@pytest.mark.parametrize("more", [1, 2])
async def test_what_is_dropped_from_memory_while_the_rest_is_read_is_found_all_the_same(more: int) -> None:
    index, shelf = LexicalIndex(cache_bytes=3 * (ENTRY_BYTES + 24)), Shelf(CORPUS)
    assert await found(index, shelf, "aspirin") == [0, 2]

    class Slow(Shelf):
        async def lexical(self, *given: Any, **more_given: Any) -> Any:
            read = await super().lexical(*given, **more_given)
            if more == 1:  # another search of the same segment: "aspirin" is dropped
                assert await found(index, shelf, "insulin", "pain") == [1, 2]
            else:  # one of another tenant: all is dropped
                assert await found(index, Shelf(CORPUS, tenant="t2"), "insulin", "pain") == [1, 2]
            return read

    assert await found(index, Slow(CORPUS), "aspirin", "blood") == [0, 2]
    assert await found(index, shelf, "aspirin") == [0, 2], "nor is it remembered that it is nowhere"


async def test_of_a_pasted_document_the_first_terms_count() -> None:
    index, shelf = LexicalIndex(), Shelf(CORPUS)
    assert await found(index, shelf, *[f"w{n}" for n in range(MOST_TERMS - 1)], "aspirin", "insulin") == [0, 2]
    assert len(shelf.asked[0][1][1]) == MOST_TERMS
