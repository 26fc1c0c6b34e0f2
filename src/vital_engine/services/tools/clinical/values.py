"""The measurements that the formulas take: each with its plausible range and how a question words it.

The ranges are wide: they refuse what cannot be a living adult's value (a wrong unit, a slipped point), not what
is merely grave. A number without a unit is read only where its size leaves one unit possible.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vital_engine.services.tools.reading import Choice, Number

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
