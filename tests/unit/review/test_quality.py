"""Quality: it moves with what it is made of, in the right direction, and says what limited it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.nouns import Citation, Citations, Draft, Evidence, Passage, SentenceSupport, Support
from vital_engine.ports import Grader
from vital_engine.services.quality import CEILINGS, WEIGHTS, quality

TEXT = "Aspirin lowers the risk of stroke [1]. Bleeding is more frequent with it [2]."
DRAFT = Draft(TEXT)
EVIDENCE = Evidence((Passage("a", "A.", scores={"dense": 0.7}), Passage("b", "B.", scores={"dense": 0.6})))
CITED = Citations((Citation(1, "verified", 0, "a"), Citation(2, "weak", 1, "b")))


def supported(*scores: float | None, **checks: bool) -> Support:
    return Support(tuple(SentenceSupport(i, s, checks=checks) for i, s in enumerate(scores)))


SUPPORT = supported(0.8, 0.6)
GOOD = quality(CITED, SUPPORT, EVIDENCE, DRAFT, 1.0)


def test_it_is_a_grader_and_the_arithmetic_is_the_documented_one():
    grader: Grader = quality
    found = grader(CITED, SUPPORT, EVIDENCE, DRAFT, 1.0)
    retrieval = found.parts["retrieval"]
    assert retrieval is not None
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert set(found.parts) == set(WEIGHTS)
    assert found.score == pytest.approx(0.45 * 0.7 + 0.20 + 0.15 + 0.10 * retrieval + 0.05 + 0.05)
    assert found.cap == ""


WORSE = {
    "empty": (quality(CITED, SUPPORT, EVIDENCE, replace(DRAFT, text=" \n"), 1.0), "empty"),
    "uncited": (quality(Citations(), SUPPORT, EVIDENCE, DRAFT, 1.0), "uncited"),
    "half cited": (quality(Citations(CITED.items[:1]), SUPPORT, EVIDENCE, DRAFT, 1.0), ""),
    "dangling": (
        quality(Citations((*CITED.items, Citation(9, "dangling", 1))), SUPPORT, EVIDENCE, DRAFT, 1.0),
        "citations",
    ),
    "mismatch": (
        quality(Citations((Citation(1, "mismatch", 0), CITED.items[1])), SUPPORT, EVIDENCE, DRAFT, 1.0),
        "citations",
    ),
    "another figure": (quality(CITED, supported(0.8, 0.6, figures=False), EVIDENCE, DRAFT, 1.0), "contradicted"),
    "negated": (quality(CITED, supported(0.8, 0.6, negation=False), EVIDENCE, DRAFT, 1.0), "contradicted"),
    "turned round": (quality(CITED, supported(0.8, 0.6, direction=False), EVIDENCE, DRAFT, 1.0), "contradicted"),
    "less support": (quality(CITED, supported(0.8, 0.5), EVIDENCE, DRAFT, 1.0), ""),
    "weak search": (quality(CITED, SUPPORT, Evidence((Passage("a", "A.", scores={"dense": 0.3}),)), DRAFT, 1.0), ""),
    "a step failed": (quality(CITED, SUPPORT, EVIDENCE, DRAFT, 5 / 6), ""),
    "cut off": (quality(CITED, SUPPORT, EVIDENCE, replace(DRAFT, finish="length"), 1.0), ""),
    "broken": (quality(CITED, SUPPORT, EVIDENCE, replace(DRAFT, finish="error", error="model.stream_broken"), 1.0), ""),
    "retrieval failed": (
        quality(
            Citations(tuple(replace(c, verdict="dangling") for c in CITED.items)),
            supported(None, None),
            Evidence.missing(),
            DRAFT,
            5 / 6,
        ),
        "retrieval",
    ),
}


@pytest.mark.parametrize(("worse", "cap"), WORSE.values(), ids=WORSE)
def test_what_is_worse_scores_strictly_lower_and_says_why(worse, cap):
    assert GOOD.score is not None
    assert worse.score is not None
    assert 0 <= worse.score < GOOD.score
    assert worse.cap == cap
    if cap in CEILINGS:
        assert worse.score <= CEILINGS[cap][0]


def test_the_scores_differ_from_one_another():
    assert len({found.score for found, _ in WORSE.values()}) > 10


@pytest.mark.parametrize(
    ("citations", "support"),
    [
        (CITED, Support.missing()),
        (Citations.missing(), SUPPORT),
        (Citations.missing(), Support.missing()),
        (CITED, supported(None, None)),
    ],
)
def test_unknown_parts_make_an_unknown_score_and_stay_named(citations, support):
    found = quality(citations, support, EVIDENCE, DRAFT, 5 / 6)
    assert found.score is None
    assert None in (found.parts["support"], found.parts["coverage"])
    assert found.parts["finish"] == 1.0


def test_where_nobody_could_look_support_counts_as_none_at_all():
    found, _ = WORSE["retrieval failed"]
    assert found.parts["support"] is None
    assert found.score == pytest.approx(0.3 * (0.05 * 5 / 6 + 0.05) / 0.9)


def test_a_retriever_without_cosines_leaves_its_part_out():
    found = quality(CITED, SUPPORT, Evidence((Passage("a", "A."),)), DRAFT, 1.0)
    assert found.parts["retrieval"] is None
    assert found.score == pytest.approx((0.45 * 0.7 + 0.20 + 0.15 + 0.05 + 0.05) / 0.9)


def test_not_found_has_a_score_of_its_own_kind():
    draft = Draft("The answer was not found in the documents.")
    nothing = quality(Citations(), supported(None), Evidence(), draft, 1.0)
    weak = quality(Citations(), supported(None), Evidence((Passage("a", "A.", scores={"dense": 0.4}),)), draft, 1.0)
    strong = quality(Citations(), supported(None), EVIDENCE, draft, 1.0)
    assert {nothing.cap, weak.cap, strong.cap} == {"not found"}
    assert nothing.score == 0.5
    assert 0.5 > weak.score > strong.score > 0
    assert quality(Citations(), supported(None), Evidence.missing(), draft, 1.0).score is None


def test_an_answer_that_claims_nothing_has_no_score():
    assert quality(Citations(), supported(None), EVIDENCE, Draft("Would you like to know more?"), 1.0).score is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=2),
    st.integers(0, 1),
    st.floats(0, 1),
    st.lists(st.sampled_from(["verified", "weak", "mismatch", "dangling"]), max_size=4),
    st.integers(0, 6),
)
def test_more_support_and_better_citations_never_lower_it(sentences, which, more, verdicts, done):
    def scored(scores):
        return Support(
            tuple(
                SentenceSupport(i, s, checks={"figures": ok})
                for i, (s, (_, ok)) in enumerate(zip(scores, sentences, strict=True))
            )
        )

    citations = Citations(tuple(Citation(i + 1, v, i % 2) for i, v in enumerate(verdicts)))
    steps = done / 6
    before = [s for s, _ in sentences]
    after = [max(s, more) if i == which else s for i, s in enumerate(before)]
    low, high = (quality(citations, scored(s), EVIDENCE, DRAFT, steps).score for s in (before, after))
    assert low is not None
    assert high is not None
    assert 0 <= low <= high + 1e-12 <= 1 + 1e-9
    better = Citations((*citations.items, Citation(1, "verified", which)))
    best = quality(better, scored(after), EVIDENCE, DRAFT, steps).score
    assert best is not None
    assert best >= high - 1e-12


def test_headings_and_questions_need_no_citation():
    draft = Draft("# Findings\nAspirin lowers the risk of stroke [1].\nWould you like more?")
    found = quality(Citations((Citation(1, "verified", 1, "a"),)), supported(None, 0.9, None), EVIDENCE, draft, 1.0)
    assert found.parts["coverage"] == 1.0
