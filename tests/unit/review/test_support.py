"""Support: a score that moves with the evidence, None where there is nothing to tell, and never a constant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vital_engine.errors import ConfigError
from vital_engine.nouns import Evidence, Passage, Sentence
from vital_engine.ports import Judge
from vital_engine.services.retrieval.sentence_vectors import SentenceVectors
from vital_engine.services.support import LogisticJudge, Matcher, claims_something
from vital_engine.services.support.judge import ALTERED, VERBATIM
from vital_engine.services.support.model import Logistic, bundled, retrieval_strength
from vital_engine.testing import HashedEmbedder
from vital_engine.text.sentences import split

ABSTRACTS = json.loads(Path(__file__).with_name("abstracts.json").read_text("utf-8"))["abstracts"]
EVIDENCE = Evidence(tuple(Passage(a["pmid"], a["text"], a["pmid"], a["title"]) for a in ABSTRACTS))

ASPIRIN = "Aspirin reduces the risk of stroke. Bleeding was more frequent with aspirin (3.1% vs 2.0%)."
METFORMIN = "Metformin is a first-line drug for type 2 diabetes. It does not cause weight gain."
TWO = Evidence((Passage("a", ASPIRIN, "A"), Passage("m", METFORMIN, "M")))


def said(text: str) -> Sentence:
    return Sentence(text, 0, len(text), 2)


def test_it_is_a_judge(matcher):
    assert isinstance(LogisticJudge(matcher), Judge)


async def test_a_copy_is_near_one_by_a_named_rule(matcher):
    for a in ABSTRACTS:
        for sentence in split(a["text"]):
            if len(sentence.text.split()) < 6:
                continue
            found = await LogisticJudge(matcher).support(sentence, EVIDENCE)
            assert found.score == VERBATIM, sentence.text
            assert found.checks["verbatim"]
            assert (found.passage, found.sentence) == (a["pmid"], sentence.index)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Aspirin lowers the risk of stroke [1].", "Aspirin lowers the risk of stroke [2]."),
        ("Aspirin lowers the risk of stroke.", "Penguins live in Antarctica."),
        ("Aspirin lowers the risk of stroke.", "Aspirin does not lower the risk of stroke."),
        ("Aspirin lowers the risk of stroke.", "Aspirin raises the risk of stroke."),
        ("Bleeding was frequent with aspirin (3.1%).", "Bleeding was frequent with aspirin (5.1%)."),
        ("Metformin is a first-line drug.", "Methotrexate is a first-line drug."),
    ],
)
async def test_it_varies_as_it_should(matcher, better, worse):
    judge = LogisticJudge(matcher)
    high, low = [await judge.support(said(t), TWO) for t in (better, worse)]
    assert high.score is not None
    assert low.score is not None
    assert 0 <= low.score < high.score <= 1


async def test_an_altered_copy_is_near_zero(matcher):
    for text, check in (
        ("It does cause weight gain.", "negation"),
        ("Bleeding was more frequent with aspirin (4.1% vs 2.0%).", "figures"),
        ("Bleeding was less frequent with aspirin (3.1% vs 2.0%).", "direction"),
    ):
        found = await LogisticJudge(matcher).support(said(text), TWO)
        assert found.score is not None
        assert found.score <= ALTERED
        assert found.checks[check] is False


async def test_the_least_supported_part_decides(matcher):
    judge = LogisticJudge(matcher)
    both = await judge.support(
        said("Aspirin reduces the risk of stroke [1], and penguins live in Antarctica [2]."), TWO
    )
    one = await judge.support(said("Penguins live in Antarctica [2]."), TWO)
    assert both.score is not None
    assert one.score is not None
    assert abs(both.score - one.score) < 0.1
    assert "verbatim" not in both.checks


async def test_a_dangling_marker_does_not_hide_the_evidence(matcher):
    found = await LogisticJudge(matcher).support(said("Aspirin reduces the risk of stroke [9]."), TWO)
    assert found.score == VERBATIM


async def test_nobody_could_look_is_unknown_and_nothing_found_is_zero(matcher):
    judge = LogisticJudge(matcher)
    assert (await judge.support(said("Aspirin lowers risk."), Evidence.missing())).score is None
    assert (await judge.support(said("Aspirin lowers risk."), Evidence())).score == 0.0
    assert (await judge.support(said("Aspirin lowers risk."), Evidence((Passage("x", "  "),)))).score == 0.0


NO_CLAIMS = [
    "Not found in the documents.",
    "The answer was not found in the documents.",
    "The documents could not be searched, so this question cannot be answered from them.",
    "The provided passages do not mention this drug.",
    "I could not find an answer to this question.",
    "No relevant evidence was found for this.",
    "# Results of the trial",
    "Results of the trial:",
    "Would you like to know more about it?",
    "Here is a summary of the evidence",
    "[1]",
    "---",
]
CLAIMS = [
    "Aspirin lowers the risk of stroke.",
    "No evidence of benefit was seen in the trial.",
    "Aspirin was not found to lower risk.",
    "- Aspirin lowers risk",
    "The study did not report deaths.",
]


@pytest.mark.parametrize("text", NO_CLAIMS)
async def test_what_claims_nothing_has_no_score(matcher, text):
    assert not claims_something(text)
    assert (await LogisticJudge(matcher).support(said(text), TWO)).score is None


@pytest.mark.parametrize("text", CLAIMS)
def test_what_claims_something(text):
    assert claims_something(text)


def test_an_embedder_of_another_kind_gets_the_lexical_model():
    embedder = HashedEmbedder()
    assert Matcher(embedder, SentenceVectors(embedder)).model == "scifact-1/lexical"
    assert Matcher().model == "scifact-1/lexical"
    assert bundled("all-MiniLM-L6-v2/int8-1").name == "scifact-1/dense"
    with pytest.raises(TypeError):
        Matcher(embedder)


def test_coefficients_of_other_features_are_refused():
    good = bundled().support
    assert Logistic.parse(good.stored(), good.features).probability(good.mean) == pytest.approx(
        good.probability(good.mean), abs=1e-4
    )
    with pytest.raises(ConfigError):
        Logistic.parse(good.stored(), ("other",))


def test_the_file_carries_its_errors_and_they_are_worth_having():
    path = Path(__file__).parents[3] / "src/vital_engine/services/models/support.json"
    stored = json.loads(path.read_text("utf-8"))
    for kind in ("dense", "lexical"):
        errors = stored[kind]["errors_on_validation"]
        assert errors["support_auc"] > 0.75
        assert errors["calibration_error"] < 0.1
        means = errors["mean_score"]
        assert means["SUPPORT"] > means["CONTRADICT"] > means["NEAR"]
        assert all(w >= -0.05 for w in stored[kind]["support"]["weights"]), "evidence for a claim counts for it"


def test_the_strength_of_a_search_rises_with_its_best_cosine():
    rising = [retrieval_strength(c) for c in np.linspace(-1, 1, 21)]
    assert rising == sorted(rising)
    assert 0 < rising[0] < 0.05
    assert rising[-1] > 0.9
