from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vital_engine.nouns import Brief, Question
from vital_engine.services.tools import Choice, Mention, Number, Toolbox
from vital_engine.services.tools.reading import mentions
from vital_engine.testing import HashedEmbedder

HERE = Path(__file__).parent
SETS = [yaml.safe_load((HERE / name).read_text("utf-8")) for name in ("questions.yaml", "questions_heldout.yaml")]
CALLS = [call for each in SETS for call in each["calls"]]
NOTHING = [text for each in SETS for text in each["nothing"]]

Ask = Callable[..., Question]
Briefed = Callable[..., Brief]

CREATININE = Number(
    ("creatinine", "scr"), {"mg/dl": 1, "umol/l": 1 / 88.42}, {"mg/dl": (0.1, 15), "umol/l": (30, 2000)}
)
AGE = Number(("age", "aged"), {"years": 1}, {"years": (0, 130)}, {"years old": 1, "year old": 1})
WEIGHT = Number(("weight",), {"kg": 1, "lb": 0.45359237}, alone={"kg": 1})


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["ask"])
async def test_a_question_that_spells_a_call_out_gets_it(call: Any, box: Toolbox, asked: Ask, brief: Briefed) -> None:
    suggestions = await box.suggest(asked(call["ask"]), brief())
    assert [(p.tool, dict(p.arguments)) for p in suggestions.tool_calls] == [
        (call["tool"], pytest.approx(call["with"], rel=1e-5) if _numeric(call["with"]) else call["with"])
    ]


def _numeric(arguments: dict[str, Any]) -> bool:
    return all(isinstance(value, int | float) for value in arguments.values())


@pytest.mark.parametrize("text", NOTHING)
async def test_a_question_that_needs_no_tool_gets_an_empty_menu(
    text: str, box: Toolbox, asked: Ask, brief: Briefed
) -> None:
    dense = Toolbox(tuple(box), embedder=HashedEmbedder())
    for each in (box, dense):
        assert (await each.suggest(asked(text), brief())).tool_calls == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("creatinine 1.2 mg/dL", 1.2),
        ("creatinine of 1.2", 1.2),
        ("creatinine: 88.42 µmol/l", 1.0),
        ("Creatinine = 88.42 μmol/L", 1.0),
        ("creatinine 176.84", 2.0),
        ("1.2 mg/dL of creatinine", 1.2),
        ("creatinine 1.2 today and creatinine 1.2 yesterday", 1.2),
        ("creatinine 1.2, later creatinine 1.4", None),
        ("creatinine 20", None),
        ("creatinine 1.2-1.4", None),
        ("creatinine 1.2 to 1.4", None),
        ("creatinine 1.2 mg/dL to 1.4 mg/dL", None),
        ("creatinine 1.2 mg/dL or 1.4 mg/dL", None),
        ("creatinine 1.2 g/L", None),
        ("creatinine 120/80", None),
        ("creatinine clearance 60", None),
        ("creatinine", None),
        ("", None),
    ],
)
def test_numbers_by_name(text: str, value: float | None) -> None:
    found = CREATININE.read(text)
    assert (found[0] if found else None) == (pytest.approx(value) if value is not None else None)


def test_a_unit_that_was_taken_as_meant_is_noted() -> None:
    assert CREATININE.read("creatinine 1.2") == (1.2, "creatinine 1.2 read as mg/dl")
    assert CREATININE.read("creatinine 1.2 mg/dl") == (1.2, "")
    assert AGE.read("age 70") == (70, "")


@pytest.mark.parametrize(
    ("wording", "text", "value"),
    [
        (AGE, "a 70-year-old", 70),
        (AGE, "70 years old", 70),
        (AGE, "aged 70", 70),
        (AGE, "age 70 or 80", None),
        (AGE, "for 10 years", None),
        (AGE, "70-year-old and 80-year-old", None),
        (WEIGHT, "80 kg", 80),
        (WEIGHT, "weight 80", None),
        (WEIGHT, "weight 100 lb", 45.359237),
        (WEIGHT, "5 mg/kg", None),
        (WEIGHT, "60-80 kg", None),
        (WEIGHT, "weight 80 kg, lost 5 kg", 80),
        (Number(("count",)), "count 1,250", 1250),
        (Number(("count",)), "12 count", 12),
        (Number(("count",)), "count -3", -3),
        (Number(("count",)), "count 3%", None),
    ],
)
def test_numbers_by_their_unit(wording: Number, text: str, value: float | None) -> None:
    found = wording.read(text)
    assert (found[0] if found else None) == (pytest.approx(value) if value is not None else None)


def test_choices() -> None:
    sex = Choice({"female": ("female", "woman"), "male": ("male", "man")})
    assert sex.read("a woman") == ("female", "")
    assert sex.read("a female") == ("female", "")  # and not also the male in it
    assert sex.read("a man and a woman") is None
    assert sex.read("the human genome") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("with diabetes", True),
        ("no diabetes", False),
        ("without any history of diabetes", False),
        ("denies diabetes", False),
        ("no hypertension; diabetes", True),
        ("no hypertension but diabetes", True),
        ("nothing of the kind", None),
        ("without hypertension or diabetes", LookupError),
        ("diabetes, but his wife has no diabetes", LookupError),
    ],
)
def test_mentions(text: str, said: bool | type[Exception] | None) -> None:
    wording = Mention(("diabetes", "diabetic"))
    if said is LookupError:
        with pytest.raises(LookupError):
            wording.read(text)
    else:
        found = wording.read(text)
        assert (found[0] if found else None) is said


def test_cues_are_whole_words_whatever_joins_them() -> None:
    assert mentions("What is the CKD EPI value?", "CKD-EPI")
    assert mentions("body-mass index", "body mass index")
    assert not mentions("egfrx", "eGFR")
    assert not mentions("regfr", "eGFR")


HOSTILE = {
    "digits": "1" * 20_000,
    "figures": "1 " * 10_000,
    "grouped": "1,234" * 4_000,
    "signs": "what is " + "1+" * 10_000,
    "brackets": "((((" * 5_000,
    "letters": "a" * 20_000,
    "spaces": "age" + " " * 2_000 + "x",
    "units": "5 mg/dL " * 2_500,
    "names": "creatinine level is " * 1_000,
    "questions": "how many mg is " * 1_300,
    "searches": "search pubmed for " * 1_000,
    "labels": "fda label " * 2_000,
    "events": "adverse events of " * 1_000,
    "negations": "no " * 6_000 + "diabetes",
    "mentions": "no diabetes " * 1_500,
    "arms": "NNT " + "1 of 2 " * 3_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_no_text_holds_the_readers_up(text: str, box: Toolbox, asked: Ask, brief: Briefed) -> None:
    """20,000 characters take some 0.1 s of CPU; a pattern that goes back over what it has read, 10 s and more."""
    began = time.process_time()
    await box.suggest(asked(text), brief())
    assert time.process_time() - began < 3.0
