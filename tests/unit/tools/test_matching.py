from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from vital_engine.services.ranking import words
from vital_engine.services.tools import Profile, Shortlist
from vital_engine.testing import HashedEmbedder

PROFILES = [
    Profile("air", "air quality: forecast of pollution for a city"),
    Profile("sum", "calculator: evaluates an arithmetic expression", ("What is two plus two?",)),
    Profile("law", "law: statutes and court cases"),
]


class Counting(HashedEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[int] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded.append(len(texts))
        return super().embed(texts)


@pytest.mark.parametrize("embedder", [None, HashedEmbedder()], ids=["words", "words and meaning"])
async def test_the_profile_that_the_question_is_about_comes_first(embedder: HashedEmbedder | None) -> None:
    shortlist = Shortlist(PROFILES, embedder)
    matches = await shortlist.rank("Will the pollution in my city be high?")
    assert [matches[0].id, len(matches)] == ["air", 3]
    assert (await shortlist.rank("two plus two"))[0].id == "sum"  # by its example
    assert set(matches[0].scores) == ({"lexical"} if embedder is None else {"lexical", "dense"})
    assert all(0 <= m.score <= 1 for m in matches)


async def test_nothing_in_common_and_nothing_to_choose_from() -> None:
    assert {m.score for m in await Shortlist(PROFILES).rank("zebra")} == {0.0}
    assert {m.score for m in await Shortlist(PROFILES).rank("")} == {0.0}
    assert [m.id for m in await Shortlist(PROFILES).rank("")] == ["air", "sum", "law"]
    assert await Shortlist([]).rank("zebra") == ()


async def test_profiles_are_embedded_once_also_when_asked_at_once() -> None:
    embedder = Counting()
    shortlist = Shortlist(PROFILES, embedder)
    assert embedder.embedded == []  # lazily
    await asyncio.gather(*(shortlist.rank("pollution") for _ in range(5)))
    assert sorted(embedder.embedded) == [1, 1, 1, 1, 1, 4]


def test_names_are_read_as_words() -> None:
    assert words("airQuality_forecast-v2/x") == "air Quality forecast v2 x"


async def test_meaning_finds_what_shares_no_word_by_the_nearest_text_of_a_profile() -> None:
    class Synonyms:
        model, dimensions = "synonyms", 2

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            near = ("automobile", "vehicle for hire", "taxi")
            return np.array([[1, 0] if any(n in t for n in near) else [0, 1] for t in texts], np.float32)

    profiles = [Profile("cook", "recipes for dinner"), Profile("ride", "get from here to there", ("book a taxi",))]
    matches = await Shortlist(profiles, Synonyms()).rank("I need an automobile")
    assert [(m.id, m.scores["dense"]) for m in matches] == [("ride", 1.0), ("cook", 0.0)]
    assert matches[0].scores["lexical"] == 0.0
