"""Citations: the right passage, the exact span, and a verdict that cannot be talked into agreeing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vital_engine.errors import NotFound, StoreError
from vital_engine.nouns import Citation, Evidence, Passage, Scope, Sentence
from vital_engine.ports import CitationChecker
from vital_engine.services.citations import QuoteChecker
from vital_engine.text.sentences import split

ABSTRACTS = json.loads(Path(__file__).with_name("abstracts.json").read_text("utf-8"))["abstracts"]
OFFSET = 1000
EVIDENCE = Evidence(
    tuple(
        Passage(a["pmid"], a["text"], f"doc-{a['pmid']}", a["title"], OFFSET, OFFSET + len(a["text"]), page=3)
        for a in ABSTRACTS
    )
)
STORED = {f"doc-{a['pmid']}": "." * OFFSET + a["text"] for a in ABSTRACTS}
SENTENCES = [(n, s.text) for n, a in enumerate(ABSTRACTS, 1) for s in split(a["text"]) if len(s.text.split()) >= 6]
WITH_FIGURES = [(n, s) for n, s in SENTENCES if re.search(r"(?<![\w.,-])\d+(?![\w.,])", s)]
NEGATED = [(n, s) for n, s in SENTENCES if re.search(r"\b(?:was|were|did) not\b", s)]


MINE = Scope("t1", "u1")


async def stored(document: str, scope: Scope) -> str:
    assert scope == MINE
    if document not in STORED:
        raise NotFound(document)
    return STORED[document]


def said(text: str) -> Sentence:
    return Sentence(text, 0, len(text), 4)


async def cite(matcher, text: str, evidence: Evidence = EVIDENCE, **kw) -> list[Citation]:
    return list(await QuoteChecker(matcher, **{"stored": stored, **kw}).check(said(text), evidence, scope=MINE))


def marked(sentence: str, number: int) -> str:
    return f"{sentence.rstrip('.')} [{number}]."


repeatedly = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_it_is_a_citation_checker(matcher):
    assert isinstance(QuoteChecker(matcher), CitationChecker)
    assert len(WITH_FIGURES) > 10
    assert len(NEGATED) > 1


@repeatedly
@given(st.sampled_from(SENTENCES))
async def test_an_exact_copy_is_verified_with_its_exact_span(matcher, copied):
    number, sentence = copied
    (citation,) = await cite(matcher, marked(sentence, number))
    passage = EVIDENCE.passages[number - 1]
    assert citation.verdict == "verified", citation
    assert (citation.marker, citation.sentence, citation.page) == (number, 4, 3)
    assert (citation.passage, citation.document, citation.title) == (passage.id, passage.document, passage.title)
    assert passage.text[citation.start - OFFSET : citation.end - OFFSET] == citation.quote
    assert STORED[passage.document][citation.start : citation.end] == citation.quote
    assert sentence in citation.quote
    assert not citation.notes


@repeatedly
@given(st.sampled_from(WITH_FIGURES), st.data())
async def test_a_copy_with_one_number_changed_is_never_verified(matcher, copied, data):
    number, sentence = copied
    places = [m.span() for m in re.finditer(r"(?<![\w.,-])\d+(?![\w.,])", sentence)]
    start, end = data.draw(st.sampled_from(places))
    other = data.draw(st.integers(0, 9999).filter(lambda n: n != int(sentence[start:end])))
    (citation,) = await cite(matcher, marked(f"{sentence[:start]}{other}{sentence[end:]}", number))
    assert citation.verdict == "weak", citation
    assert "not in the quote" in " ".join(citation.notes)
    assert citation.score is not None
    assert citation.score <= 0.5


@repeatedly
@given(st.sampled_from(SENTENCES), st.data())
async def test_a_copy_with_a_negation_put_in_is_never_verified(matcher, copied, data):
    number, sentence = copied
    verbs = list(re.finditer(r"\b(?:was|were|is|are|had|did|has|have|can|may|could)\b(?! not\b)", sentence))
    assume(verbs)
    at = data.draw(st.sampled_from(verbs)).end()
    (citation,) = await cite(matcher, marked(f"{sentence[:at]} not{sentence[at:]}", number))
    assert citation.verdict == "weak", citation
    assert any("negated" in note for note in citation.notes)


@pytest.mark.parametrize(("number", "sentence"), NEGATED)
async def test_a_copy_with_a_negation_left_out_is_never_verified(matcher, number, sentence):
    turned = re.sub(r"\b(was|were|did) not\b", r"\1", sentence, count=1)
    (citation,) = await cite(matcher, marked(turned, number))
    assert citation.verdict == "weak"


@repeatedly
@given(st.sampled_from(SENTENCES), st.integers(1, len(ABSTRACTS)))
async def test_whatever_is_cited_the_offsets_are_exact(matcher, copied, number):
    (citation,) = await cite(matcher, marked(copied[1], number), stored=None)
    passage = EVIDENCE.passages[number - 1]
    assert passage.text[citation.start - OFFSET : citation.end - OFFSET] == citation.quote != ""
    if number != copied[0]:
        assert citation.verdict != "verified"


@pytest.mark.parametrize(
    ("markers", "verdicts"),
    [
        ("[99]", {99: "dangling"}),
        ("[0]", {0: "dangling"}),
        ("[2019]", {2019: "dangling"}),
        ("[1][99]", {1: "verified", 99: "dangling"}),
        ("[1, 99]", {1: "verified", 99: "dangling"}),
        ("[1-3]", {1: "verified", 2: "weak", 3: "weak"}),
        ("[1]-[3]", {1: "verified", 2: "weak", 3: "weak"}),
        ("", {}),
    ],
)
async def test_each_number_of_a_marker_is_judged(matcher, markers, verdicts):
    sentence = split(ABSTRACTS[0]["text"])[0].text.rstrip(".")
    found = await cite(matcher, f"{sentence} {markers}.")
    assert {c.marker: c.verdict for c in found} == verdicts
    for c in found:
        if c.verdict == "dangling":
            assert (c.passage, c.quote, c.score) == ("", "", None)


async def test_without_evidence_every_marker_dangles(matcher):
    for evidence in (Evidence(), Evidence.missing()):
        assert [c.verdict for c in await cite(matcher, "It is so [1].", evidence)] == ["dangling"]


ASPIRIN = "Aspirin reduces the risk of stroke. Bleeding was more frequent with aspirin (3.1% vs 2.0%)."
METFORMIN = "Metformin is a first-line drug. It was studied in 1,234 patients by Smith et al. [2] in Denmark."
TWO = Evidence((Passage("a", ASPIRIN, "A", end=len(ASPIRIN)), Passage("m", METFORMIN, "M", end=len(METFORMIN))))


@pytest.mark.parametrize(
    ("text", "verdict", "quote"),
    [
        ('It is said that "metformin is a first-line drug" [2].', "verified", "Metformin is a first-line drug"),
        ("It is said that “metformin is a first-line\u00a0drug” [2].", "verified", "Metformin is a first-line drug"),
        ('It is said that "metformin is a second-line drug" [2].', "mismatch", "Metformin is a first-line drug."),
        ('It is said that "metformin is a first-line drug" [1].', "mismatch", None),
    ],
)
async def test_a_literal_quotation_must_stand_in_the_passage(matcher, text, verdict, quote):
    (citation,) = await cite(matcher, text, TWO, stored=None)
    assert citation.verdict == verdict, citation
    assert quote is None or citation.quote == quote
    if verdict == "mismatch":
        assert "not in the passage" in " ".join(citation.notes)


async def test_a_quotation_may_stand_in_any_passage_of_its_marker(matcher):
    found = await cite(matcher, 'It is said that "metformin is a first-line drug" [1, 2].', TWO, stored=None)
    assert found[0].verdict != "mismatch"
    assert found[1].quote == "Metformin is a first-line drug"


async def test_each_part_is_held_against_its_own_passage(matcher):
    text = "Bleeding was more frequent with aspirin (3.1% vs 2.0%) [1], and metformin is a first-line drug [2]."
    found = await cite(matcher, text, TWO, stored=None)
    assert [(c.marker, c.verdict) for c in found] == [(1, "verified"), (2, "verified")] or found[1].notes == ()
    assert found[0].quote.startswith("Bleeding")
    assert found[1].quote == "Metformin is a first-line drug."


async def test_the_sources_own_reference_is_not_ours(matcher):
    (citation,) = await cite(
        matcher,
        "It was studied in 1,234 patients by Smith et al. [2] in Denmark [1].",
        Evidence(TWO.passages[::-1]),
        stored=None,
    )
    assert (citation.marker, citation.passage, citation.verdict) == (1, "m", "verified")


async def test_a_quote_that_is_not_in_the_stored_text_is_a_mismatch(matcher):
    async def other(_: str, __: Scope) -> str:
        return "Something else is stored by now."

    async def gone(_: str, __: Scope) -> str:
        raise NotFound

    async def down(_: str, __: Scope) -> str:
        raise StoreError

    async def moved(_: str, __: Scope) -> str:
        return f"A new preface. {ASPIRIN}"

    text = "Aspirin reduces the risk of stroke [1]."
    expected = {other: "mismatch", gone: "mismatch", down: "weak", moved: "verified"}
    for source, verdict in expected.items():
        (citation,) = await cite(matcher, text, TWO, stored=source)
        assert citation.verdict == verdict
        if source is moved:
            assert (await moved("", MINE))[citation.start : citation.end] == citation.quote
        else:
            assert citation.notes


async def test_words_cut_out_of_a_sentence_that_says_the_contrary_are_not_verified(matcher):
    text = "It is not true that aspirin reduces mortality. It is cheap."
    (citation,) = await cite(matcher, "Aspirin reduces mortality [1].", Evidence((Passage("x", text),)), stored=None)
    assert citation.verdict == "weak"
    assert citation.quote == "It is not true that aspirin reduces mortality."
    assert citation.score is not None
    assert citation.score < 0.5


async def test_a_passage_without_text_carries_nothing(matcher):
    (citation,) = await cite(matcher, "It is so [1].", Evidence((Passage("x", " \n "),)), stored=None)
    assert (citation.verdict, citation.quote) == ("mismatch", "")


async def test_without_knowing_whose_they_are_no_document_is_opened(matcher):
    async def never(_: str, __: Scope) -> str:
        raise AssertionError

    checker = QuoteChecker(matcher, never)
    (citation,) = await checker.check(said(marked(SENTENCES[0][1], SENTENCES[0][0])), EVIDENCE)
    assert citation.verdict == "verified"
