"""A box with every shipped tool, and somebody who asks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vital_engine.nouns import Brief, Expert, Passage, Question, Scope
from vital_engine.services.tools import OpenFDA, PubMed, Toolbox, standard_tools

SCOPE = Scope(tenant="t1", user="u1", domains=("quality",))


class Shelf:
    """A retriever over a few passages; remembers what it was asked."""

    def __init__(self, *passages: Passage) -> None:
        self.passages = passages
        self.asked: list[tuple[str, int, Scope]] = []

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage]:
        self.asked.append((query, k, scope))
        return self.passages[:k]


def asked(text: str, *, run_id: str = "run1", tenant: str = "t1") -> Question:
    return Question(text, tenant, "u1", run_id=run_id)


def brief(*tools: str) -> Brief:
    return Brief(Expert(id="e", name="E", description="", instructions="", tools=tools))


@pytest.fixture
def box() -> Toolbox:
    return Toolbox(standard_tools(retriever=Shelf(), pubmed=PubMed(), openfda=OpenFDA()))
