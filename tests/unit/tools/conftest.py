"""What the tests of tools share: a box with every shipped tool, somebody who asks, and a shelf of passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from vital_engine.nouns import Brief, Expert, Passage, Question, Scope
from vital_engine.services.tools import OpenFDA, PubMed, Toolbox, standard_tools


class Shelf:
    """A retriever over a few passages; remembers what it was asked."""

    def __init__(self, *passages: Passage) -> None:
        self.passages = passages
        self.asked: list[tuple[str, int, Scope]] = []

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage]:
        self.asked.append((query, k, scope))
        return self.passages[:k]


@pytest.fixture
def scope() -> Scope:
    return Scope(tenant="t1", user="u1", domains=("quality",))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(
        Passage("p1", "Deviations are classified\nwithin one day.", document="sop-7", title="SOP 7", page=3, start=10, end=50),
        Passage("p2", "Critical deviations go to the qualified person.", document="sop-8"),
    )  # fmt: skip


@pytest.fixture
def box(shelf: Shelf) -> Toolbox:
    return Toolbox(standard_tools(retriever=shelf, pubmed=PubMed(), openfda=OpenFDA()))


@pytest.fixture
def asked() -> Callable[..., Question]:
    def make(text: str, *, run_id: str = "run1", tenant: str = "t1") -> Question:
        return Question(text, tenant, "u1", run_id=run_id)

    return make


@pytest.fixture
def brief() -> Callable[..., Brief]:
    def make(*tools: str) -> Brief:
        return Brief(Expert(id="e", name="E", description="", instructions="", tools=tools))

    return make
