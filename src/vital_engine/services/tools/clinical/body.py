"""Body size."""

from __future__ import annotations

import math

from vital_engine.services.tools.tool import Output, tool

from .values import HeightCm, WeightKg

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
