"""Published values and worked examples; each names where it stands."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.errors import InvalidArguments
from vital_engine.services.tools import AnyTool
from vital_engine.services.tools.clinical import (
    body_mass_index,
    body_surface_area,
    cha2ds2_vasc,
    corrected_qt,
    creatinine_clearance,
    difference,
    egfr_ckd_epi_2021,
    meld_3,
    number_needed_to_treat,
    wilson,
)


# 1.2 mg/dL, 55 years, male: 71, as the National Kidney Foundation's calculator prints it. The others are the equation of
# Inker 2021, worked out by hand at the knots k (where both power terms are 1): 142 * 0.9938^age (* 1.012).
@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "expected"),
    [
        (1.2, 55, "male", 71.4),
        (0.9, 50, "male", 142 * 0.9938**50),
        (0.7, 50, "female", 142 * 0.9938**50 * 1.012),
        (1.8, 50, "male", 142 * 0.9938**50 * 2**-1.2),
        (0.45, 50, "male", 142 * 0.9938**50 * 0.5**-0.302),
        (0.35, 50, "female", 142 * 0.9938**50 * 0.5**-0.241 * 1.012),
    ],
)
def test_ckd_epi_2021(creatinine: float, age: float, sex: Literal["female", "male"], expected: float) -> None:
    egfr = egfr_ckd_epi_2021(creatinine_mg_dl=creatinine, age=age, sex=sex).value["egfr_ml_min_1_73m2"]
    assert egfr == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("creatinine", "stage"), [(0.8, "G1"), (1.2, "G2"), (1.6, "G3a"), (2.2, "G3b"), (3.5, "G4"), (9.0, "G5")]
)
def test_kdigo_categories(creatinine: float, stage: str) -> None:
    assert egfr_ckd_epi_2021(creatinine_mg_dl=creatinine, age=55, sex="male").value["category"] == stage


# (140 - 60) * 80 / (72 * 1.2) = 74.1; (140 - 45) * 65 / (72 * 0.9) * 0.85 = 81.0: Cockcroft & Gault's formula by hand.
@pytest.mark.parametrize(
    ("creatinine", "age", "weight", "sex", "expected"),
    [(1.2, 60, 80, "male", 74.1), (0.9, 45, 65, "female", 81.0), (1.0, 68, 72, "male", 72.0)],
)
def test_cockcroft_gault(creatinine: float, age: float, weight: float, sex: Any, expected: float) -> None:
    output = creatinine_clearance(creatinine_mg_dl=creatinine, age=age, weight_kg=weight, sex=sex)
    assert output.value["creatinine_clearance_ml_min"] == pytest.approx(expected, abs=0.05)


# WHO TRS 894, table 2.1: classes from 18.5, 25, 30, 35 and 40.
@pytest.mark.parametrize(
    ("weight", "bmi", "name"),
    [
        (50.0, 17.3, "underweight"),
        (53.5, 18.5, "normal range"),
        (72.0, 24.9, "normal range"),
        (72.25, 25.0, "overweight"),
        (86.7, 30.0, "obesity class I"),
        (101.2, 35.0, "obesity class II"),
        (115.6, 40.0, "obesity class III"),
    ],
)
def test_body_mass_index(weight: float, bmi: float, name: str) -> None:
    assert body_mass_index(weight_kg=weight, height_cm=170).value == {"bmi_kg_m2": bmi, "class": name}


def test_body_surface_area() -> None:
    # 180 cm and 80 kg: the root of 4 is 2.00 m2 exactly.
    assert body_surface_area(weight_kg=80, height_cm=180).value["bsa_m2"] == 2.0
    assert body_surface_area(weight_kg=60, height_cm=165).value["bsa_m2"] == pytest.approx(1.658, abs=0.001)


def test_corrected_qt() -> None:
    # At 60 a minute RR is 1 s and nothing is corrected.
    assert corrected_qt(qt_ms=400, heart_rate=60).value == {"fridericia_ms": 400.0, "bazett_ms": 400.0, "rr_s": 1.0}
    # 400 ms at 75 a minute: 400 / 0.8^0.5 = 447.2; 400 / 0.8^(1/3) = 430.9.
    value = corrected_qt(qt_ms=400, heart_rate=75).value
    assert (value["bazett_ms"], value["fridericia_ms"]) == (447.2, 430.9)


# Lip et al. 2010: the points of each factor.
@pytest.mark.parametrize(
    ("factors", "score"),
    [
        ({"age": 50, "sex": "male"}, 0),
        ({"age": 50, "sex": "female"}, 1),
        ({"age": 64.9, "sex": "male"}, 0),
        ({"age": 65, "sex": "male"}, 1),
        ({"age": 74.9, "sex": "male"}, 1),
        ({"age": 75, "sex": "male"}, 2),
        ({"age": 50, "sex": "male", "stroke": True}, 2),
        ({"age": 50, "sex": "male", "heart_failure": True, "hypertension": True, "diabetes": True}, 3),
        ({"age": 50, "sex": "male", "vascular_disease": True}, 1),
    ],
)
def test_cha2ds2_vasc(factors: dict[str, Any], score: int) -> None:
    assert cha2ds2_vasc(**factors).value["score"] == score


def test_cha2ds2_vasc_at_most_nine_and_says_what_it_took_as_absent() -> None:
    everything = dict.fromkeys(("heart_failure", "hypertension", "diabetes", "stroke", "vascular_disease"), True)
    assert cha2ds2_vasc(age=80, sex="female", **everything).value["score"] == 9
    assert "counted as absent: heart failure, diabetes" in cha2ds2_vasc(age=70, sex="male", hypertension=True).text


# Kim et al. 2021: at the bounds every logarithm and difference is 0 and 6 remain; then one term after the other.
NORMAL: dict[str, Any] = {
    "bilirubin_mg_dl": 1,
    "creatinine_mg_dl": 1,
    "inr": 1,
    "sodium_mmol_l": 137,
    "albumin_g_dl": 3.5,
    "sex": "male",
}


@pytest.mark.parametrize(
    ("change", "unrounded"),
    [
        ({}, 6.0),
        ({"sex": "female"}, 7.33),
        ({"bilirubin_mg_dl": math.e**2}, 6 + 2 * 4.56),
        ({"inr": math.e}, 6 + 9.09),
        ({"creatinine_mg_dl": math.e}, 6 + 11.14),
        ({"sodium_mmol_l": 127}, 6 + 8.2),
        ({"albumin_g_dl": 2.5}, 6 + 1.85),
        ({"sodium_mmol_l": 127, "bilirubin_mg_dl": math.e}, 6 + 4.56 + 8.2 - 2.4),
        ({"albumin_g_dl": 2.5, "creatinine_mg_dl": math.e}, 6 + 11.14 + 1.85 - 1.83),
        ({"bilirubin_mg_dl": 0.3, "creatinine_mg_dl": 0.5, "inr": 0.8}, 6.0),
        ({"sodium_mmol_l": 150, "albumin_g_dl": 5}, 6.0),
        ({"sodium_mmol_l": 110}, 6 + 0.82 * 12),
        ({"albumin_g_dl": 1.0}, 6 + 1.85 * 2),
        ({"creatinine_mg_dl": 8}, 6 + 11.14 * math.log(3)),
        ({"dialysis": True}, 6 + 11.14 * math.log(3)),
    ],
)
def test_meld_3(change: dict[str, Any], unrounded: float) -> None:
    value = meld_3(**NORMAL | change).value
    assert value["unrounded"] == pytest.approx(unrounded, abs=0.006)
    assert value["score"] == math.floor(unrounded + 0.5)


def test_meld_3_stays_within_6_and_40() -> None:
    worst: dict[str, Any] = {
        "bilirubin_mg_dl": 40,
        "creatinine_mg_dl": 8,
        "inr": 8,
        "sodium_mmol_l": 120,
        "albumin_g_dl": 1.5,
    }
    assert meld_3(**NORMAL | worst).value["score"] == 40


# Newcombe 1998, table II, method 10.
@pytest.mark.parametrize(
    ("arms", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0000),
        ((10, 10, 0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombes_examples(arms: tuple[int, int, int, int], low: float, high: float) -> None:
    assert difference(*arms) == pytest.approx((low, high), abs=6e-5)


def test_wilsons_interval() -> None:
    # Newcombe, Stat Med 1998;17:857-872, table I: 81/263 has 0.2553 to 0.3662.
    assert wilson(81, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=6e-5)
    assert wilson(0, 20, 1.959964)[0] == pytest.approx(0.0)


def test_number_needed_to_treat() -> None:
    output = number_needed_to_treat(events_treated=48, size_treated=80, events_control=56, size_control=70)
    assert output.text.startswith("NNT 5.0 (95 % CI NNT 3.0 to 19.1); absolute risk reduction 20.0 %")
    harm = number_needed_to_treat(events_treated=56, size_treated=70, events_control=48, size_control=80)
    assert harm.text.startswith("NNH 5.0 (95 % CI NNH 3.0 to 19.1); absolute risk reduction -20.0 %")
    assert harm.value["nnt"] == pytest.approx(-5)


def test_an_interval_that_holds_no_difference_runs_through_infinity() -> None:
    output = number_needed_to_treat(events_treated=0, size_treated=29, events_control=5, size_control=56)
    assert "95 % CI NNH 26.2 through ∞ to NNT 5.2" in output.text  # 1 / 0.0381 and 1 / 0.1926
    equal = number_needed_to_treat(events_treated=3, size_treated=50, events_control=3, size_control=50)
    assert equal.value["nnt"] is None
    assert equal.text.startswith("no number needed to treat")


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 200), st.integers(1, 200))
def test_any_two_arms_have_a_number_or_a_refusal(a: int, n: int, b: int, m: int) -> None:
    arms = {"events_treated": a, "size_treated": n, "events_control": b, "size_control": m}
    if a > n or b > m:
        with pytest.raises(InvalidArguments):
            number_needed_to_treat(**arms)
        return
    low, high = number_needed_to_treat(**arms).value["risk_reduction_ci95"]
    assert -1 - 1e-9 <= low <= b / m - a / n <= high <= 1 + 1e-9


@pytest.mark.parametrize(
    ("each", "arguments", "field"),
    [
        (egfr_ckd_epi_2021, {"creatinine_mg_dl": 106, "age": 55, "sex": "male"}, "creatinine_mg_dl"),
        (egfr_ckd_epi_2021, {"creatinine_mg_dl": 1.0, "age": 12, "sex": "male"}, "age"),
        (egfr_ckd_epi_2021, {"creatinine_mg_dl": 1.0, "age": 55, "sex": "m"}, "sex"),
        (creatinine_clearance, {"creatinine_mg_dl": 1.0, "age": 55, "weight_kg": 800, "sex": "male"}, "weight_kg"),
        (body_mass_index, {"weight_kg": 80, "height_cm": 1.8}, "height_cm"),
        (body_surface_area, {"weight_kg": 0, "height_cm": 180}, "weight_kg"),
        (corrected_qt, {"qt_ms": 0.4, "heart_rate": 75}, "qt_ms"),
        (corrected_qt, {"qt_ms": 400, "heart_rate": 0}, "heart_rate"),
        (meld_3, NORMAL | {"albumin_g_dl": 35}, "albumin_g_dl"),
        (meld_3, NORMAL | {"sodium_mmol_l": 14}, "sodium_mmol_l"),
        (cha2ds2_vasc, {"age": 150, "sex": "male"}, "age"),
        (
            number_needed_to_treat,
            {"events_treated": 9, "size_treated": 5, "events_control": 1, "size_control": 5},
            "events_treated",
        ),
        (
            number_needed_to_treat,
            {"events_treated": 1.5, "size_treated": 5, "events_control": 1, "size_control": 5},
            "events_treated",
        ),
    ],
)
def test_values_that_cannot_be_a_patients_are_refused(each: AnyTool, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        each(**arguments)
    assert caught.value.fields == (field,)
