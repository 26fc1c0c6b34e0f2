"""Kidney function from serum creatinine."""

from __future__ import annotations

from vital_engine.services.tools.tool import Output, tool

from .values import AdultAge, CreatinineMgDl, Sex, WeightKg

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
