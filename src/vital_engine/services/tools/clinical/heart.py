"""Heart: corrected QT interval, and stroke risk in atrial fibrillation."""

from __future__ import annotations

from typing import Annotated

from vital_engine.services.tools.reading import Mention
from vital_engine.services.tools.tool import Output, tool

from .values import AdultAge, HeartRate, QtMs, Sex

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
