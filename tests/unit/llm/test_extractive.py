"""The answerer that only quotes: what it says stands in the evidence, and what it does not find it does not say."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from prompts import answer_of, prompt_of
from vital_engine.errors import RetrievalError
from vital_engine.nouns import Evidence, Passage, Prompt, ToolCall, ToolResult, ToolResults
from vital_engine.ports import LLM
from vital_engine.services.llm.extractive import NOT_FOUND, NOT_SEARCHED, Extractive, Overlap, asks_for_an_effect
from vital_engine.text.sentences import split
from vital_engine.text.words import stems

HDL = Passage(
    "p1",
    "Low HDL cholesterol is linked to heart disease. We aimed to determine whether mutations causing low HDL-C promote "
    "increased carotid intima-media thickness. Carotid intima-media thickness was measured in carriers of 10 mutations. "
    "Carotid intima-media thickness was nearly identical between carriers of mutations causing low HDL-C and controls "
    "(p = 0.60).",
)
WARD = Passage("p2", "A short stay ward reduced the cost of admissions by 10 %. Parents were satisfied with the ward.")
QUESTION = "Do mutations causing low HDL-C promote increased carotid intima-media thickness?"
MARKED = re.compile(r"(.+?) \[(\d+)\](?: |$)")


class Letters:
    """An embedder that can be computed by hand: the frequencies of pairs of letters."""

    model = "letters"
    dimensions = 729

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            codes = [ord(c) - 96 if "a" <= c <= "z" else 0 for c in text.lower()]
            for a, b in pairwise(codes):
                rows[row, 27 * a + b] += 1
        return rows / np.maximum(1.0, np.linalg.norm(rows, axis=1, keepdims=True))


class Broken(Letters):
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise RetrievalError("no")


@pytest.fixture(params=["lexical", "vectors"])
def answerer(request: pytest.FixtureRequest) -> Extractive:
    return Extractive() if request.param == "lexical" else Extractive(Letters())


def quotes(text: str) -> list[tuple[str, int]]:
    return [(quote, int(number)) for quote, number in MARKED.findall(text)]


def test_it_is_a_model() -> None:
    assert isinstance(Extractive(), LLM)


async def test_every_sentence_stands_word_for_word_in_the_passage_that_it_cites(answerer: Extractive) -> None:
    passages = (WARD, HDL)
    text, last = await answer_of(answerer, prompt_of(QUESTION, *passages))
    said = quotes(text)
    assert said and " ".join(f"{quote} [{number}]" for quote, number in said) == text, "nothing else is said"
    for quote, number in said:
        assert quote in passages[number - 1].text
        assert quote in {sentence.text for sentence in split(passages[number - 1].text)}
    assert {number for _, number in said} == {2}, "the ward has nothing to do with it"
    assert (last.model, last.provider, last.finish) == ("extractive", "vital", "stop")
    assert last.usage is not None and last.usage.estimated and last.usage.input > 0 and last.usage.output > 10


async def test_a_result_is_said_rather_than_the_aim(answerer: Extractive) -> None:
    text, _ = await answer_of(answerer, prompt_of(QUESTION, HDL))
    assert "nearly identical" in text
    only = Extractive(most=1)
    assert "nearly identical" in (await answer_of(only, prompt_of(QUESTION, HDL)))[0]


async def test_sentences_stand_in_their_own_order(answerer: Extractive) -> None:
    text, _ = await answer_of(answerer, prompt_of(QUESTION, HDL))
    places = [HDL.text.index(quote) for quote, _ in quotes(text)]
    assert places == sorted(places)


async def test_nothing_is_said_twice(answerer: Extractive) -> None:
    copy = Passage("p3", HDL.text)
    text, _ = await answer_of(answerer, prompt_of(QUESTION, HDL, copy))
    said = [quote for quote, _ in quotes(text)]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("passages", [(), (WARD,), (Passage("p", "Why? Table 1. 12 34 56 78 90."),)])
async def test_not_found(answerer: Extractive, passages: tuple[Passage, ...]) -> None:
    text, _ = await answer_of(answerer, prompt_of(QUESTION, *passages))
    assert text == NOT_FOUND and "[" not in text


async def test_a_search_that_failed_is_not_the_same(answerer: Extractive) -> None:
    text, _ = await answer_of(answerer, prompt_of(QUESTION, evidence=Evidence.missing()))
    assert text == NOT_SEARCHED != NOT_FOUND


async def test_tool_results_come_first_and_are_named(answerer: Extractive) -> None:
    done = ToolResult(ToolCall("c1", "half_life", {}), "done", "125 mg remain\nafter 6 h")
    failed = ToolResult(ToolCall("c2", "dose", {}), "timeout", "")
    text, _ = await answer_of(answerer, prompt_of(QUESTION, HDL, tool_results=ToolResults((done, failed))))
    assert text.startswith("Result of the tool half_life: 125 mg remain after 6 h. ")
    assert "dose" not in text and quotes(text)


async def test_reference_numbers_of_the_source_do_not_pose_as_citations(answerer: Extractive) -> None:
    source = Passage("p", "Carotid intima-media thickness was not increased by mutations causing low HDL-C [12, 13].")
    text, _ = await answer_of(answerer, prompt_of(QUESTION, source))
    assert text == "Carotid intima-media thickness was not increased by mutations causing low HDL-C. [1]"


async def test_a_sentence_without_a_full_stop_stays_apart(answerer: Extractive) -> None:
    first = Passage("p", "Carotid intima-media thickness was not increased by mutations causing low HDL-C\nLow HDL-C did not "
                         "promote carotid intima-media thickness in carriers of mutations (n = 60)")  # fmt: skip
    text, _ = await answer_of(answerer, prompt_of(QUESTION, first, HDL))
    assert len(split(text)) == len(quotes(text.replace("\n", " "))) >= 2
    assert all(len(re.findall(r"\[\d+\]", sentence.text)) == 1 for sentence in split(text))


async def test_it_streams_by_the_sentence_and_keeps_to_its_length() -> None:
    many = Passage(
        "p", " ".join(f"Aspirin reduced the risk of event{i} {w} in adults." for i, w in enumerate("abcdefghij"))
    )
    prompt = prompt_of("Does aspirin reduce the risk?", many)
    pieces = [p.text async for p in Extractive(most=3, alike=1.1).stream(prompt)]
    assert len([p for p in pieces if p]) == 3


async def test_an_embedder_that_fails_leaves_the_words() -> None:
    prompt = prompt_of(QUESTION, HDL)
    assert (await answer_of(Extractive(Broken()), prompt))[0] == (await answer_of(Extractive(), prompt))[0]


async def test_the_loop_is_not_blocked() -> None:
    """The ranking runs in a thread: while a slow embedder works, the loop turns."""
    turned = threading.Event()

    class Slow(Letters):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            assert turned.wait(5.0), "the loop stood still"
            return super().embed(texts)

    asyncio.get_running_loop().call_later(0.01, turned.set)
    text, _ = await answer_of(Extractive(Slow()), prompt_of(QUESTION, HDL))
    assert quotes(text)


async def test_the_same_prompt_gives_the_same_answer(answerer: Extractive) -> None:
    prompt: Prompt = prompt_of(QUESTION, WARD, HDL)
    assert await answer_of(answerer, prompt) == await answer_of(answerer, prompt)


def test_overlap_weighs_rare_terms_more() -> None:
    texts = [frozenset(stems(t)) for t in ("aspirin dose", "aspirin risk", "aspirin bleeding", "aspirin ulcer")]
    overlap = Overlap(frozenset(stems("aspirin ulcer")), texts)
    assert overlap.of(texts[0]) < 0.2 < 0.8 < overlap.of(frozenset(stems("ulcer")))
    assert overlap.of(texts[3]) == pytest.approx(1.0)
    assert Overlap(frozenset(), texts).of(texts[0]) == 0.0


@pytest.mark.parametrize(
    ("question", "effect"),
    [
        ("Does aspirin prevent stroke?", True),
        ("What are the symptoms of asthma?", False),
        ("Role of MRI in stroke", True),
    ],
)
def test_what_kind_of_question(question: str, effect: bool) -> None:
    assert asks_for_an_effect(question) is effect
