"""Liver: the score by which livers are allocated."""

from __future__ import annotations

import math
from typing import Annotated

from vital_engine.services.tools.reading import Mention
from vital_engine.services.tools.tool import Output, tool

from .values import AlbuminGDl, BilirubinMgDl, CreatinineMgDl, Inr, Sex, SodiumMmolL

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
