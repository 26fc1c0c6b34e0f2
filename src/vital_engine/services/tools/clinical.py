"""Published clinical formulas as tools; each names its source, and refuses values that cannot be a patient's.

First the measurements that the formulas take, each with its plausible range and how a question words it. The ranges
are wide: they refuse what cannot be a living adult's value (a wrong unit, a slipped point), not what is merely grave.
A number without a unit is read only where its size leaves one unit possible. Then kidney, body size, heart, liver, and
the reading of trials.
"""

from __future__ import annotations

import math
import re
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import Field

from vital_engine.errors import InvalidArguments

from .reading import Choice, Mention, Number, mentions
from .tool import Output, Reading, tool

__all__ = [
    "body_mass_index",
    "body_surface_area",
    "cha2ds2_vasc",
    "corrected_qt",
    "creatinine_clearance",
    "egfr_ckd_epi_2021",
    "meld_3",
    "number_needed_to_treat",
]


_YEARS = {"years old": 1.0, "year old": 1.0, "years of age": 1.0, "yo": 1.0, "y/o": 1.0, "yrs old": 1.0, "yr old": 1.0}
_UMOL_CREATININE = 1 / 88.42  # 113.12 g/mol
_UMOL_BILIRUBIN = 1 / 17.10  # 584.67 g/mol

AdultAge = Annotated[
    float, Field(ge=18, le=120), Number(("age", "aged"), {"years": 1, "yrs": 1, "y": 1}, {"years": (0, 130)}, _YEARS)
]
Sex = Annotated[
    Literal["female", "male"],
    Choice({"female": ("female", "woman", "women", "lady"), "male": ("male", "man", "men", "gentleman")}),
]
WeightKg = Annotated[
    float,
    Field(ge=2, le=500),
    Number(
        ("weight", "body weight", "weighs", "weighing"),
        {"kg": 1, "kilograms": 1, "kilos": 1, "lb": 0.45359237, "lbs": 0.45359237, "pounds": 0.45359237, "g": 0.001},
        alone={"kg": 1},
    ),
]
HeightCm = Annotated[
    float,
    Field(ge=40, le=260),
    Number(
        ("height", "tall"),
        {
            "cm": 1,
            "centimetres": 1,
            "centimeters": 1,
            "m": 100,
            "metres": 100,
            "meters": 100,
            "in": 2.54,
            "inches": 2.54,
        },
        {"m": (1.2, 2.5), "cm": (100, 250)},
        {"cm": 1, "m tall": 100},
    ),
]
CreatinineMgDl = Annotated[
    float,
    Field(ge=0.1, le=30),
    Number(
        ("creatinine", "serum creatinine", "scr", "cr"),
        {"mg/dl": 1, "umol/l": _UMOL_CREATININE, "mcmol/l": _UMOL_CREATININE, "mmol/l": 1000 * _UMOL_CREATININE},
        {"mg/dl": (0.1, 15), "umol/l": (30, 2000)},
    ),
]
BilirubinMgDl = Annotated[
    float,
    Field(ge=0.1, le=80),
    Number(
        ("bilirubin", "total bilirubin", "bili"),
        {"mg/dl": 1, "umol/l": _UMOL_BILIRUBIN, "mcmol/l": _UMOL_BILIRUBIN},
    ),
]
Inr = Annotated[float, Field(ge=0.5, le=20), Number(("inr",))]
SodiumMmolL = Annotated[
    float,
    Field(ge=90, le=200),
    Number(("sodium", "serum sodium", "na"), {"mmol/l": 1, "meq/l": 1}, {"mmol/l": (90, 200)}),
]
AlbuminGDl = Annotated[
    float,
    Field(ge=0.5, le=8),
    Number(("albumin", "serum albumin", "alb"), {"g/dl": 1, "g/l": 0.1}, {"g/dl": (0.5, 8), "g/l": (10, 80)}),
]
QtMs = Annotated[
    float,
    Field(ge=150, le=900),
    Number(("qt", "qt interval"), {"ms": 1, "msec": 1, "milliseconds": 1, "s": 1000}, {"ms": (150, 900)}),
]
HeartRate = Annotated[
    float,
    Field(ge=20, le=300),
    Number(
        ("heart rate", "hr", "pulse", "rate"),
        {"bpm": 1, "beats per minute": 1, "/min": 1},
        {"bpm": (20, 300)},
        {"bpm": 1, "beats per minute": 1},
    ),
]


_CKD_EPI = "CKD-EPI 2021 (Inker et al., N Engl J Med 2021;385:1737-1749)"
_COCKCROFT = "Cockcroft & Gault, Nephron 1976;16:31-41"
_STAGES = ((90, "G1"), (60, "G2"), (45, "G3a"), (30, "G3b"), (15, "G4"), (0, "G5"))


@tool(
    cues=("eGFR", "CKD-EPI", "GFR", "glomerular filtration rate", "glomerular filtration", "kidney function", "renal function", "CKD stage"),
    examples=("What is the eGFR of a 55-year-old man with creatinine 1.2 mg/dL?", "CKD-EPI for age 70, creatinine 1.2, female"),
    timeout=2.0,
)  # fmt: skip
def egfr_ckd_epi_2021(creatinine_mg_dl: CreatinineMgDl, age: AdultAge, sex: Sex) -> Output:
    """Estimate the glomerular filtration rate (eGFR) of an adult by the CKD-EPI 2021 creatinine equation, without race.

    142 * min(Scr/k, 1)^a * max(Scr/k, 1)^-1.200 * 0.9938^age * 1.012 if female, in mL/min/1.73 m2; k is 0.7 for
    women and 0.9 for men, a is -0.241 and -0.302. Stages by KDIGO 2012. Source: Inker et al., N Engl J Med
    2021;385:1737-1749. Not for children, pregnancy or kidney function that is changing.

    :param creatinine_mg_dl: serum creatinine in mg/dL (IDMS-traceable); µmol/L are divided by 88.42
    :param age: in years
    :param sex: as used by the equation
    """
    k, a, factor = (0.7, -0.241, 1.012) if sex == "female" else (0.9, -0.302, 1.0)
    ratio = creatinine_mg_dl / k
    egfr = 142 * min(ratio, 1) ** a * max(ratio, 1) ** -1.200 * 0.9938**age * factor
    shown = round(egfr)
    stage = next(name for least, name in _STAGES if shown >= least)
    return Output(
        f"eGFR {shown} mL/min/1.73 m² (KDIGO category {stage}, if lasting for 3 months)",
        {"egfr_ml_min_1_73m2": round(egfr, 1), "category": stage},
        _CKD_EPI,
    )


@tool(
    cues=("creatinine clearance", "CrCl", "Cockcroft-Gault", "Cockcroft Gault", "Cockcroft"),
    examples=("Creatinine clearance of a 60-year-old man, 80 kg, creatinine 1.2 mg/dL", "Cockcroft-Gault for a woman aged 45, 65 kg, Scr 0.9"),
    timeout=2.0,
)  # fmt: skip
def creatinine_clearance(creatinine_mg_dl: CreatinineMgDl, age: AdultAge, weight_kg: WeightKg, sex: Sex) -> Output:
    """Estimate an adult's creatinine clearance by Cockcroft and Gault, the measure of most drug labels' dosing.

    (140 - age) * weight / (72 * Scr), times 0.85 for women, in mL/min. Source: Cockcroft & Gault, Nephron
    1976;16:31-41. The weight is taken as given: in obesity an ideal or adjusted weight is often meant.

    :param creatinine_mg_dl: serum creatinine in mg/dL; µmol/L are divided by 88.42
    :param age: in years
    :param weight_kg: body weight in kg
    :param sex: as used by the formula
    """
    clearance = max(0.0, 140 - age) * weight_kg / (72 * creatinine_mg_dl) * (0.85 if sex == "female" else 1.0)
    return Output(
        f"creatinine clearance {clearance:.1f} mL/min (weight as given)",
        {"creatinine_clearance_ml_min": round(clearance, 1)},
        _COCKCROFT,
    )


_BMI_CLASSES = (
    (40.0, "obesity class III"),
    (35.0, "obesity class II"),
    (30.0, "obesity class I"),
    (25.0, "overweight"),
    (18.5, "normal range"),
    (0.0, "underweight"),
)


@tool(
    cues=("BMI", "body mass index"),
    examples=("What is the BMI of a man of 80 kg and 180 cm?", "body mass index for weight 65 kg, height 1.70 m"),
    timeout=2.0,
)
def body_mass_index(weight_kg: WeightKg, height_cm: HeightCm) -> Output:
    """Work out the body mass index (BMI): weight in kg over the square of height in m, with the adult class of the WHO.

    Source: WHO Technical Report Series 894 (2000), table 2.1. The classes are for adults.

    :param weight_kg: body weight in kg
    :param height_cm: height in cm
    """
    bmi = weight_kg / (height_cm / 100) ** 2
    shown = round(bmi, 1)
    name = next(name for least, name in _BMI_CLASSES if shown >= least)
    return Output(
        f"BMI {shown:.1f} kg/m² ({name}, WHO adult classes)",
        {"bmi_kg_m2": shown, "class": name},
        "WHO Technical Report Series 894 (2000)",
    )


@tool(
    cues=("BSA", "body surface area", "Mosteller"),
    examples=("Body surface area for 70 kg and 170 cm", "BSA by Mosteller, weight 60 kg, height 165 cm"),
    timeout=2.0,
)
def body_surface_area(weight_kg: WeightKg, height_cm: HeightCm) -> Output:
    """Work out the body surface area (BSA) by Mosteller's formula: the root of height (cm) * weight (kg) / 3600, in m2.

    Source: Mosteller, N Engl J Med 1987;317:1098.

    :param weight_kg: body weight in kg
    :param height_cm: height in cm
    """
    area = math.sqrt(height_cm * weight_kg / 3600)
    return Output(
        f"body surface area {area:.2f} m²", {"bsa_m2": round(area, 3)}, "Mosteller, N Engl J Med 1987;317:1098"
    )


Failure = Annotated[
    bool,
    Mention(("heart failure", "congestive heart failure", "chf", "left ventricular dysfunction", "hfref", "hfpef")),
]
Hypertension = Annotated[bool, Mention(("hypertension", "hypertensive", "high blood pressure"))]
Diabetes = Annotated[bool, Mention(("diabetes", "diabetic", "diabetes mellitus"))]
Stroke = Annotated[
    bool, Mention(("stroke", "tia", "transient ischaemic attack", "transient ischemic attack", "thromboembolism"))
]
Vascular = Annotated[bool, Mention(("vascular disease", "myocardial infarction", "prior mi", "peripheral artery disease", "peripheral arterial disease", "pad", "aortic plaque"))]  # fmt: skip


@tool(
    cues=("QTc", "corrected QT", "Bazett", "Fridericia"),
    examples=("QTc for QT 400 ms and heart rate 75", "Corrected QT by Fridericia: QT 440 ms, HR 90 bpm"),
    timeout=2.0,
)
def corrected_qt(qt_ms: QtMs, heart_rate: HeartRate) -> Output:
    """Correct the QT interval for heart rate (QTc) by Bazett and by Fridericia.

    With RR = 60 / rate in seconds: Bazett is QT / RR^(1/2), Fridericia is QT / RR^(1/3), in ms. Bazett corrects too
    much at high and too little at low rates; ICH E14 asks for Fridericia. Sources: Bazett, Heart 1920;7:353-370;
    Fridericia, Acta Med Scand 1920;53:469-486.

    :param qt_ms: measured QT interval in ms
    :param heart_rate: beats per minute
    """
    rr = 60 / heart_rate
    bazett, fridericia = qt_ms / rr**0.5, qt_ms / rr ** (1 / 3)
    return Output(
        f"QTc {fridericia:.0f} ms by Fridericia, {bazett:.0f} ms by Bazett (RR {rr:.3f} s)",
        {"fridericia_ms": round(fridericia, 1), "bazett_ms": round(bazett, 1), "rr_s": round(rr, 4)},
        "Bazett, Heart 1920;7:353; Fridericia, Acta Med Scand 1920;53:469",
    )


@tool(
    cues=("CHA2DS2-VASc", "CHA₂DS₂-VASc", "CHADS-VASc", "CHA2DS2VASc"),
    examples=("CHA2DS2-VASc of a 76-year-old woman with hypertension and diabetes",),
    timeout=2.0,
)
def cha2ds2_vasc(
    age: AdultAge,
    sex: Sex,
    heart_failure: Failure = False,
    hypertension: Hypertension = False,
    diabetes: Diabetes = False,
    stroke: Stroke = False,
    vascular_disease: Vascular = False,
) -> Output:
    """Score the stroke risk in atrial fibrillation with CHA2DS2-VASc, 0 to 9 points.

    One point each for heart failure, hypertension, diabetes, vascular disease, age 65 to 74 and female sex; two each
    for age from 75 and for previous stroke, TIA or thromboembolism. Source: Lip et al., Chest 2010;137:263-272.

    :param age: in years
    :param sex: female sex adds one point
    :param heart_failure: congestive heart failure or left ventricular dysfunction
    :param hypertension: treated or not
    :param diabetes: diabetes mellitus
    :param stroke: previous stroke, transient ischaemic attack or thromboembolism
    :param vascular_disease: previous myocardial infarction, peripheral artery disease or aortic plaque
    """
    points = {
        "heart failure": int(heart_failure),
        "hypertension": int(hypertension),
        "age": 2 if age >= 75 else int(age >= 65),
        "diabetes": int(diabetes),
        "stroke, TIA or thromboembolism": 2 * int(stroke),
        "vascular disease": int(vascular_disease),
        "female sex": int(sex == "female"),
    }
    score = sum(points.values())
    counted = ", ".join(f"{name} {n}" for name, n in points.items() if n) or "no risk factor"
    absent = ", ".join(name for name, n in points.items() if not n and name not in ("age", "female sex"))
    text = f"CHA2DS2-VASc {score} of 9 ({counted}; counted as absent: {absent or 'none'})"
    return Output(text, {"score": score, "points": points}, "Lip et al., Chest 2010;137:263-272")


Dialysis = Annotated[bool, Mention(("dialysis", "haemodialysis", "hemodialysis", "cvvhd"))]


@tool(
    cues=("MELD", "MELD 3.0", "model for end-stage liver disease"),
    examples=("MELD 3.0 for a woman, bilirubin 3 mg/dL, INR 1.8, creatinine 1.5, sodium 130, albumin 2.8",),
    timeout=2.0,
)
def meld_3(
    bilirubin_mg_dl: BilirubinMgDl,
    creatinine_mg_dl: CreatinineMgDl,
    inr: Inr,
    sodium_mmol_l: SodiumMmolL,
    albumin_g_dl: AlbuminGDl,
    sex: Sex,
    dialysis: Dialysis = False,
) -> Output:
    """Score end-stage liver disease with MELD 3.0, 6 to 40 points.

    1.33 if female + 4.56 ln(bili) + 0.82 (137 - Na) - 0.24 (137 - Na) ln(bili) + 9.09 ln(INR) + 11.14 ln(Cr)
    + 1.85 (3.5 - Alb) - 1.83 (3.5 - Alb) ln(Cr) + 6, rounded. Bounds: bilirubin, INR and creatinine at least 1.0,
    creatinine at most 3.0 (and 3.0 on dialysis), sodium 125 to 137, albumin 1.5 to 3.5. Source: Kim et al.,
    Gastroenterology 2021;161:1887-1895; limits of 6 and 40 as in OPTN policy 9. For adults.

    :param bilirubin_mg_dl: total bilirubin in mg/dL
    :param creatinine_mg_dl: serum creatinine in mg/dL
    :param inr: international normalised ratio
    :param sodium_mmol_l: serum sodium in mmol/L
    :param albumin_g_dl: serum albumin in g/dL
    :param sex: female sex adds 1.33 points
    :param dialysis: at least twice within the past week, or 24 hours of CVVHD
    """
    bilirubin = math.log(max(1.0, bilirubin_mg_dl))
    creatinine = math.log(3.0 if dialysis else min(3.0, max(1.0, creatinine_mg_dl)))
    hyponatraemia = 137 - min(137.0, max(125.0, sodium_mmol_l))
    hypoalbuminaemia = 3.5 - min(3.5, max(1.5, albumin_g_dl))
    raw = (
        1.33 * (sex == "female")
        + 4.56 * bilirubin
        + 0.82 * hyponatraemia
        - 0.24 * hyponatraemia * bilirubin
        + 9.09 * math.log(max(1.0, inr))
        + 11.14 * creatinine
        + 1.85 * hypoalbuminaemia
        - 1.83 * hypoalbuminaemia * creatinine
        + 6
    )
    score = min(40, max(6, math.floor(raw + 0.5)))
    return Output(
        f"MELD 3.0 {score}{', dialysis counted' if dialysis else ''}",
        {"score": score, "unrounded": round(raw, 2)},
        "Kim et al., Gastroenterology 2021;161:1887-1895",
    )


Count = Annotated[int, Field(ge=0, le=10_000_000)]
Size = Annotated[int, Field(ge=1, le=10_000_000)]

_CUES = ("NNT", "NNH", "number needed to treat", "number needed to harm", "numbers needed to treat")
_TREATED = re.compile(
    r"\b(?:treat(?:ed|ment)|drug|active|intervention|experimental|vaccinat(?:ed|ion)|vaccine|verum)\b", re.IGNORECASE
)
_CONTROL = re.compile(r"\b(?:control|controls|placebo|untreated|usual care|standard care|comparator)\b", re.IGNORECASE)
_PROPORTION = re.compile(
    r"(?<![\d/.,])(\d[\d,]{0,12})\s*(?:/|of|out\s+of)\s*(?:the\s+)?(\d[\d,]{0,12})(?![\d/.,]{0,3}\d)", re.IGNORECASE
)


def read_arms(text: str) -> tuple[Reading, ...]:
    """Two proportions, each with a word beside it that says which arm it is, if the number needed is asked for."""
    found = list(_PROPORTION.finditer(text))
    if len(found) != 2 or not any(mentions(text, cue) for cue in _CUES):
        return ()
    # What lies between the two is shared out at its first comma, "and" or "versus".
    middle = text[found[0].end() : found[1].start()]
    cut = re.search(r",|;|\b(?:and|versus|vs\.?|compared|against|whereas|while)\b", middle, re.IGNORECASE)
    split = found[0].end() + (cut.start() if cut else 0)
    arms: dict[str, tuple[int, int]] = {}
    for part, match in ((text[:split], found[0]), (text[split:], found[1])):
        treated, control = bool(_TREATED.search(part)), bool(_CONTROL.search(part))
        if treated != control:
            events, size = (int(number.replace(",", "")) for number in match.groups())
            arms["treated" if treated else "control"] = (events, size)
    if len(arms) != 2:
        return ()
    (events, size), (control_events, control_size) = arms["treated"], arms["control"]
    return (
        Reading(
            {
                "events_treated": events,
                "size_treated": size,
                "events_control": control_events,
                "size_control": control_size,
            }
        ),
    )


def wilson(events: int, size: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (J Am Stat Assoc 1927;22:209-212)."""
    p, square = events / size, z * z
    middle = 2 * events + square
    reach = z * math.sqrt(square + 4 * events * (1 - p))
    return (middle - reach) / (2 * (size + square)), (middle + reach) / (2 * (size + square))


def difference(events: int, size: int, other: int, other_size: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of two independent proportions: Newcombe's method 10 (Stat Med 1998;17:873-890)."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p, q = events / size, other / other_size
    (low, high), (other_low, other_high) = wilson(events, size, z), wilson(other, other_size, z)
    return p - q - math.hypot(p - low, other_high - q), p - q + math.hypot(high - p, q - other_low)


@tool(
    cues=_CUES,
    examples=("NNT if 15 of 100 treated and 25 of 100 controls had an event", "Number needed to treat: drug 12/200, placebo 30/200"),
    reads=read_arms,
    timeout=2.0,
)  # fmt: skip
def number_needed_to_treat(
    events_treated: Count, size_treated: Size, events_control: Count, size_control: Size
) -> Output:
    """Work out the number needed to treat (NNT) or harm (NNH) from two trial arms, with its 95 % confidence interval.

    For an unwanted event: 1 over the absolute risk reduction, control minus treated. The interval is that of the risk
    difference by Newcombe's method 10 (Wilson score limits, without continuity correction; Stat Med 1998;17:873-890),
    inverted as Altman proposes (BMJ 1998;317:1309-1312): where it holds no difference, it runs from a number needed to
    treat through infinity to a number needed to harm.

    :param events_treated: patients with the unwanted event in the treated arm
    :param size_treated: patients in the treated arm
    :param events_control: patients with the event in the control arm
    :param size_control: patients in the control arm
    """
    for name, events, size in (
        ("events_treated", events_treated, size_treated),
        ("events_control", events_control, size_control),
    ):
        if events > size:
            told = f"number_needed_to_treat: {name}: more events ({events}) than patients ({size})"
            raise InvalidArguments(told, fields=(name,), service="number_needed_to_treat")
    reduction = events_control / size_control - events_treated / size_treated
    low, high = difference(events_control, size_control, events_treated, size_treated)
    return Output(
        f"{_needed(reduction)} (95 % CI {_interval(low, high)}); absolute risk reduction "
        f"{100 * reduction:.1f} % (95 % CI {100 * low:.1f} to {100 * high:.1f} %)",
        {
            "nnt": 1 / reduction if reduction else None,
            "risk_reduction": reduction,
            "risk_reduction_ci95": [low, high],
        },
        "Newcombe, Stat Med 1998;17:873 (method 10); Altman, BMJ 1998;317:1309",
    )


def _needed(reduction: float) -> str:
    if reduction == 0:
        return "no number needed to treat: the risks are equal"
    return f"{'NNT' if reduction > 0 else 'NNH'} {1 / abs(reduction):.1f}"


def _interval(low: float, high: float) -> str:
    if low > 0 or high < 0:
        few, many = sorted((1 / abs(low), 1 / abs(high)))
        return f"{'NNT' if low > 0 else 'NNH'} {few:.1f} to {many:.1f}"
    benefit = f"NNT {1 / high:.1f}" if high > 0 else "no benefit"
    harm = f"NNH {1 / -low:.1f}" if low < 0 else "no harm"
    return f"{harm} through ∞ to {benefit}"
