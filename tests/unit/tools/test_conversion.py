from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.errors import InvalidArguments
from vital_engine.services.tools.conversion import UNITS, convert_units, plain, unit_of


# Conventional to SI by the factors that laboratories and journals print (as in the AMA Manual of Style's SI conversions:
# (glucose 0.0555, cholesterol 0.0259, triglycerides 0.0113, creatinine 88.4, urea nitrogen 0.357, calcium 0.25,
# bilirubin 17.104, uric acid 0.0595), each within the rounding of its last digit.
@pytest.mark.parametrize(
    ("analyte", "unit", "to", "factor", "tolerance"),
    [
        ("glucose", "mg/dL", "mmol/L", 0.0555, 1e-3),
        ("cholesterol", "mg/dL", "mmol/L", 0.0259, 2e-3),
        ("triglycerides", "mg/dL", "mmol/L", 0.0113, 2e-3),
        ("creatinine", "mg/dL", "µmol/L", 88.4, 1e-3),
        ("BUN", "mg/dL", "mmol/L", 0.357, 1e-3),
        ("urea", "mg/dL", "mmol/L", 0.1665, 1e-3),
        ("calcium", "mg/dL", "mmol/L", 0.25, 3e-3),
        ("bilirubin", "mg/dL", "µmol/L", 17.104, 1e-3),
        ("uric acid", "mg/dL", "mmol/L", 0.0595, 1e-3),
    ],
)
def test_analytes_by_their_printed_factors(analyte: str, unit: str, to: str, factor: float, tolerance: float) -> None:
    there = convert_units(value=100.0, unit=unit, to=to, analyte=analyte).value["value"]
    assert there == pytest.approx(100 * factor, rel=tolerance)
    back = convert_units(value=there, unit=to, to=unit, analyte=analyte).value["value"]
    assert back == pytest.approx(100, rel=1e-5)


# The table of NGSP and IFCC values at https://ngsp.org/ifcc.asp: 5 % 31, 6 % 42, 7 % 53, 8 % 64, 9 % 75, 10 % 86.
@pytest.mark.parametrize(("ngsp", "ifcc"), [(5, 31), (6, 42), (7, 53), (8, 64), (9, 75), (10, 86), (12, 108)])
def test_hba1c_by_the_master_equation(ngsp: int, ifcc: int) -> None:
    assert round(convert_units(value=ngsp, unit="%", to="mmol/mol", analyte="HbA1c").value["value"]) == ifcc
    back = convert_units(value=ifcc, unit="mmol/mol", to="%", analyte="a1c").value["value"]
    assert back == pytest.approx(ngsp, abs=0.05)


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (1, "lb", "g", 453.592),  # NIST SP 811, exact 453.59237
        (1, "inch", "cm", 2.54),
        (6, "feet", "cm", 182.88),
        (1, "gallon", "L", 3.78541),
        (98.6, "°F", "°C", 37),
        (-40, "C", "F", -40),
        (0, "celsius", "kelvin", 273.15),
        (760, "mmHg", "kPa", 101.325),
        (1, "bar", "kPa", 100),
        (10, "cmH2O", "mmHg", 7.35559),
        (250, "mcg", "mg", 0.25),
        (1, "kcal", "kJ", 4.184),
        (5, "µg/dL", "ng/mL", 50),
        (5, "mcg/mL", "mg/L", 5),
        (140, "mmol/L", "mol/L", 0.14),
    ],
)
def test_units_by_their_definitions(value: float, unit: str, to: str, expected: float) -> None:
    assert convert_units(value=value, unit=unit, to=to).value["value"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"value": 1, "unit": "parsec", "to": "m"}, "unit"),
        ({"value": 1, "unit": "m", "to": "furlong"}, "to"),
        ({"value": 1, "unit": "m", "to": "kg"}, "to"),
        ({"value": 5, "unit": "mg/dL", "to": "mmol/L"}, "to"),
        ({"value": 5, "unit": "mg/dL", "to": "mmol/L", "analyte": "unobtainium"}, "analyte"),
        ({"value": 5, "unit": "mg/dL", "to": "mmol/L", "analyte": "HbA1c"}, "to"),
        ({"value": 5, "unit": "%", "to": "mmol/mol"}, "analyte"),
        ({"value": 5, "unit": "%", "to": "kg", "analyte": "hba1c"}, "to"),
        ({"value": 1, "unit": "mmol/mol", "to": "kg", "analyte": "hba1c"}, "to"),
        ({"value": 0.5, "unit": "%", "to": "mmol/mol", "analyte": "hba1c"}, "value"),
        ({"value": -1, "unit": "kg", "to": "g"}, "value"),
        ({"value": -300, "unit": "°C", "to": "K"}, "value"),
        ({"value": 1e13, "unit": "kg", "to": "g"}, "value"),
        ({"value": float("nan"), "unit": "kg", "to": "g"}, ""),
    ],
)
def test_refusals_name_the_field(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        convert_units(**arguments)
    assert caught.value.fields == ((field,) if field else ())


def test_no_two_units_share_a_name() -> None:
    names = [plain(name) for unit in UNITS for name in (unit.symbol, *unit.also)]
    assert len(names) == len(set(names))
    assert all(unit_of(unit.symbol) is unit for unit in UNITS)


@given(st.sampled_from(UNITS), st.sampled_from(UNITS), st.floats(min_value=1, max_value=1e4))
def test_there_and_back(unit: Any, to: Any, value: float) -> None:
    if unit.dimension != to.dimension:
        return
    given_value = float(f"{value:.4g}")
    analyte = "hba1c" if unit.symbol == "%" else None
    there = convert_units(value=given_value, unit=unit.symbol, to=to.symbol, analyte=analyte).value["value"]
    if unit.dimension == "temperature" or not 1e-9 < abs(there) < 1e12:
        return  # six digits of a temperature far from zero do not carry four of the one that it came from
    back = convert_units(value=there, unit=to.symbol, to=unit.symbol, analyte=analyte).value["value"]
    assert back == pytest.approx(given_value, rel=1e-5)


def test_the_text_names_the_analyte_and_its_molar_mass() -> None:
    output = convert_units(value=126, unit="mg/dl", to="mmol/l", analyte="blood glucose")
    assert output.text == "126 mg/dL = 6.99394 mmol/L (glucose, 180.156 g/mol)"
    assert output.value == {"value": 6.99394, "unit": "mmol/L", "analyte": "glucose"}
