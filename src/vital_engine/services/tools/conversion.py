"""Conversion of units as a tool, how a conversion is found in a question, and the units of clinical work: what they
measure, how they are written, and the way from one to another.

Sources: the SI Brochure (BIPM, 9th edition, 2019) and NIST SP 811 (2008), appendix B, for factors; IUPAC standard
atomic weights (2021, abridged) for molar masses, rounded as laboratories use them; NGSP for haemoglobin A1c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Annotated, Final

from pydantic import Field

from vital_engine.errors import InvalidArguments

from .tool import Output, Reading, tool

D = Decimal


@dataclass(frozen=True, slots=True)
class Unit:
    """``value`` in this unit is ``value * factor + offset`` in its dimension's base unit.

    Bases: g, L, m, kelvin, Pa, s, g/L (mass concentration), mol/L (amount concentration).
    """

    symbol: str
    dimension: str
    factor: Decimal
    offset: Decimal = D(0)
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Analyte:
    """A substance with the molar mass (g/mol) that ties its mass to its amount concentration."""

    name: str
    molar_mass: Decimal
    also: tuple[str, ...] = ()
    note: str = ""


def _scaled(dimension: str, base: str, scales: Mapping[str, str], also: Mapping[str, tuple[str, ...]]) -> list[Unit]:
    return [Unit(p + base, dimension, D(f), also=also.get(p + base, ())) for p, f in scales.items()]


def _concentrations() -> list[Unit]:
    """Mass and amount per volume, in every pairing that laboratories print."""
    masses, amounts = (
        {"g": "1", "mg": "1e-3", "µg": "1e-6", "ng": "1e-9", "pg": "1e-12"},
        {"mol": "1", "mmol": "1e-3", "µmol": "1e-6", "nmol": "1e-9", "pmol": "1e-12"},
    )
    volumes = {"L": "1", "dL": "0.1", "mL": "1e-3"}
    per = [("mass concentration", m, f, v, g) for m, f in masses.items() for v, g in volumes.items()]
    per += [("amount concentration", a, f, "L", "1") for a, f in amounts.items()]
    return [Unit(f"{top}/{v}", dimension, D(f) / D(g)) for dimension, top, f, v, g in per]


UNITS: Final[tuple[Unit, ...]] = (
    *_scaled("mass", "g", {"k": "1000", "": "1", "m": "1e-3", "µ": "1e-6", "n": "1e-9"},
             {"kg": ("kilogram", "kilograms", "kilo", "kilos"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"), "µg": ("mcg", "microgram", "micrograms")}),
    Unit("lb", "mass", D("453.59237"), also=("lbs", "pound", "pounds")),
    Unit("oz", "mass", D("28.349523125"), also=("ounce", "ounces")),
    Unit("st", "mass", D("6350.29318"), also=("stone", "stones")),
    *_scaled("volume", "L", {"": "1", "d": "0.1", "m": "1e-3", "µ": "1e-6"},
             {"L": ("litre", "litres", "liter", "liters"), "mL": ("cc", "millilitre", "millilitres", "milliliter", "milliliters"), "dL": ("decilitre", "deciliter"), "µL": ("mcl", "microlitre", "microliter")}),
    Unit("fl oz", "volume", D("0.0295735295625"), also=("us fl oz", "fluid ounce", "fluid ounces")),
    Unit("gal", "volume", D("3.785411784"), also=("gallon", "gallons")),
    *_scaled("length", "m", {"k": "1000", "": "1", "c": "0.01", "m": "1e-3", "µ": "1e-6", "n": "1e-9"},
             {"m": ("metre", "metres", "meter", "meters"), "cm": ("centimetre", "centimetres", "centimeter", "centimeters"), "mm": ("millimetre", "millimetres", "millimeter", "millimeters"), "km": ("kilometre", "kilometres", "kilometer", "kilometers"), "µm": ("micrometre", "micrometer")}),
    Unit("in", "length", D("0.0254"), also=("inch", "inches")),
    Unit("ft", "length", D("0.3048"), also=("foot", "feet")),
    Unit("°C", "temperature", D(1), D("273.15"), also=("c", "degc", "celsius", "degrees celsius", "deg c", "degrees c")),
    Unit("°F", "temperature", D(5) / D(9), D("459.67") * D(5) / D(9), also=("f", "degf", "fahrenheit", "degrees fahrenheit", "deg f", "degrees f")),
    Unit("K", "temperature", D(1), also=("kelvin",)),
    # The conventional millimetre of mercury, 13.5951 x 9.80665 Pa.
    Unit("mmHg", "pressure", D("133.322387415"), also=("mm hg", "mm of mercury")),
    Unit("kPa", "pressure", D(1000), also=("kilopascal", "kilopascals")),
    Unit("Pa", "pressure", D(1), also=("pascal", "pascals")),
    Unit("cmH2O", "pressure", D("98.0665"), also=("cm h2o",)),
    Unit("bar", "pressure", D(100000)),
    Unit("psi", "pressure", D("6894.757293168")),
    Unit("kcal", "energy", D(4184), also=("kilocalorie", "kilocalories")),
    Unit("kJ", "energy", D(1000), also=("kilojoule", "kilojoules")),
    *_concentrations(),
    Unit("%", "HbA1c NGSP", D(1), also=("percent", "% ngsp", "ngsp %")),
    Unit("mmol/mol", "HbA1c IFCC", D(1), also=("mmol/mol ifcc",)),
)  # fmt: skip

ANALYTES: Final[tuple[Analyte, ...]] = (
    Analyte("glucose", D("180.156"), ("blood sugar", "blood glucose", "fpg", "sugar")),
    Analyte("cholesterol", D("386.65"), ("total cholesterol", "ldl", "hdl", "ldl cholesterol", "hdl cholesterol", "ldl-c", "hdl-c", "non-hdl")),
    Analyte("triglycerides", D("885.43"), ("triglyceride", "tg", "triacylglycerol"), "as triolein"),
    Analyte("creatinine", D("113.12"), ("scr", "serum creatinine")),
    Analyte("urea", D("60.056")),
    Analyte("urea nitrogen", D("28.014"), ("bun", "blood urea nitrogen"), "as urea: two nitrogen atoms in each mole"),
    Analyte("calcium", D("40.078"), ("ca",)),
    Analyte("bilirubin", D("584.67"), ("total bilirubin",)),
    Analyte("uric acid", D("168.11"), ("urate",)),
)  # fmt: skip

HBA1C: Final = (
    "hba1c",
    "a1c",
    "hb a1c",
    "glycated haemoglobin",
    "glycated hemoglobin",
    "haemoglobin a1c",
    "hemoglobin a1c",
)


def plain(text: str) -> str:
    """A unit's or analyte's name as it is looked up: both signs for micro are u, case and spaces aside."""
    return re.sub(r"\s+", " ", text.replace("µ", "u").replace("μ", "u").strip().lower())


_MICRO: Final = {plain(u.symbol).replace("ug", "mcg", 1): u for u in UNITS if plain(u.symbol).startswith("ug/")}
_BY_NAME: Final = _MICRO | {plain(name): unit for unit in UNITS for name in (unit.symbol, *unit.also)}
_ANALYTES: Final = {plain(name): analyte for analyte in ANALYTES for name in (analyte.name, *analyte.also)}


def unit_of(text: str) -> Unit | None:
    """The unit that *text* names, or None. Exact but for case, spaces and the sign of micro."""
    return _BY_NAME.get(plain(text))


def analyte_of(text: str) -> Analyte | None:
    """The analyte that *text* names, or None."""
    return _ANALYTES.get(plain(text))


def unit_names() -> tuple[str, ...]:
    """Every way to write a unit, longest first."""
    return tuple(sorted(_BY_NAME, key=len, reverse=True))


def analyte_names() -> tuple[str, ...]:
    """Every name of an analyte that has a molar mass, and of HbA1c, longest first."""
    return tuple(sorted((*_ANALYTES, *HBA1C), key=len, reverse=True))


def converted(value: Decimal, unit: Unit, to: Unit, analyte: Analyte | None = None) -> Decimal:
    """*value* in the unit *to*.

    HbA1c by the NGSP master equations: NGSP % = 0.09148 * IFCC + 2.152 and IFCC mmol/mol = 10.93 * NGSP - 23.50
    (Hoelzel et al., Clin Chem 2004;50:166-174; https://ngsp.org/ifccngsp.asp). They are published rounded, so that
    there and back may differ by 0.03.

    :raises ValueError: the two units do not measure the same thing, even with the analyte's molar mass.
    """
    pair = (unit.dimension, to.dimension)
    if pair == ("HbA1c NGSP", "HbA1c IFCC"):
        return D("10.93") * value - D("23.50")
    if pair == ("HbA1c IFCC", "HbA1c NGSP"):
        return D("0.09148") * value + D("2.152")
    base = value * unit.factor + unit.offset
    if unit.dimension != to.dimension:
        if set(pair) != {"mass concentration", "amount concentration"}:
            raise ValueError(f"{unit.symbol} measures {unit.dimension}, {to.symbol} measures {to.dimension}")
        if analyte is None:
            raise ValueError(f"{unit.symbol} to {to.symbol} needs the analyte, for its molar mass")
        base = base / analyte.molar_mass if unit.dimension == "mass concentration" else base * analyte.molar_mass
    return (base - to.offset) / to.factor


_DIGITS: Final = 6

_NEVER_BELOW_ZERO: Final = {"mass", "volume", "length", "energy", "mass concentration", "amount concentration"}


@tool(
    cues=("convert",),
    examples=(
        "Convert 126 mg/dL glucose to mmol/L",
        "What is 98.6 °F in °C?",
        "How many mmol/mol is an HbA1c of 7%?",
        "120 mmHg in kPa",
    ),
    reads=lambda text: tuple(read_conversions(text)),
    timeout=2.0,
)
def convert_units(
    value: Annotated[float, Field(ge=-1e12, le=1e12)],
    unit: Annotated[str, Field(min_length=1, max_length=30)],
    to: Annotated[str, Field(min_length=1, max_length=30)],
    analyte: Annotated[str | None, Field(max_length=60)] = None,
) -> Output:
    """Convert a clinical quantity between units: mass, volume, length, temperature, pressure, energy, concentration.

    Between mass and amount concentration (mg/dL and mmol/L) the analyte is needed for its molar mass.

    :param value: the number to convert
    :param unit: its unit, such as mg/dL, kg, °F, mmHg, %
    :param to: the unit wanted
    :param analyte: glucose, cholesterol, triglycerides, creatinine, urea, urea nitrogen (BUN), calcium,
        bilirubin, uric acid, or HbA1c for % and mmol/mol
    """
    source, target = _known(unit, "unit"), _known(to, "to")
    substance = analyte_of(analyte) if analyte else None
    is_a1c = analyte is not None and plain(analyte) in HBA1C
    if analyte and substance is None and not is_a1c:
        raise _refused(f"the analyte {analyte!r} has no molar mass here", "analyte")
    if "HbA1c NGSP" in (source.dimension, target.dimension) and not is_a1c:
        raise _refused("% is converted for HbA1c only", "analyte")
    if value < 0 and source.dimension in _NEVER_BELOW_ZERO:
        raise _refused(f"a {source.dimension} cannot be below zero", "value")
    given = Decimal(str(value))
    if source.dimension == "temperature" and given * source.factor + source.offset < 0:
        raise _refused("below absolute zero", "value")
    try:
        exact = converted(given, source, target, substance)
    except ValueError as error:
        raise _refused(str(error), "to") from None
    if exact < 0 and target.dimension.startswith("HbA1c"):
        raise _refused("an HbA1c so low has no meaning", "value")
    result = Context(prec=_DIGITS).plus(exact)
    shown = f"{result.normalize():f}" if -5 <= result.adjusted() < 12 or result == 0 else f"{result:E}"
    of = (
        f" ({substance.name}, {substance.molar_mass} g/mol)"
        if substance and source.dimension != target.dimension
        else ""
    )
    of = " (HbA1c, NGSP master equation)" if source.dimension.startswith("HbA1c") else of
    text = f"{_short(given)} {source.symbol} = {shown} {target.symbol}{of}"
    return Output(
        text, {"value": float(result), "unit": target.symbol, "analyte": substance.name if substance else None}
    )


def read_conversions(text: str) -> Iterator[Reading]:
    """Each "5 mg/dL glucose to mmol/L", "mmol/L in 5 mg/dL of glucose" that *text* spells out."""
    for pattern in _PATTERNS:
        for found in pattern.finditer(text):
            said = {name for name in (found["before"], found["after"], found["behind"]) if name}
            substances = {analyte_of(n) or plain(n) for n in said}
            unit, to = unit_of(found["unit"]), unit_of(found["to"])
            if unit is None or to is None or unit is to or len(substances) > 1:
                continue
            arguments = {
                "value": float(found["value"].replace(",", "").replace("−", "-")),
                "unit": unit.symbol,
                "to": to.symbol,
            }
            if said and not _same_kind(unit, to):
                arguments["analyte"] = plain(min(said))
            if _possible(arguments):
                yield Reading(arguments)


def _possible(arguments: dict[str, object]) -> bool:
    try:
        convert_units(**arguments)  # type: ignore[arg-type]  # its form checks them
    except InvalidArguments:
        return False
    return True


def _same_kind(unit: Unit, to: Unit) -> bool:
    return unit.dimension == to.dimension


def _known(name: str, field: str) -> Unit:
    found = unit_of(name)
    if found is None:
        raise _refused(f"the unit {name!r} is not known", field)
    return found


def _short(value: Decimal) -> str:
    return f"{value.normalize():f}" if abs(value) < Decimal("1e15") else f"{value:E}"


def _refused(why: str, field: str) -> InvalidArguments:
    return InvalidArguments(f"convert_units: {field}: {why}", fields=(field,), service="convert_units")


def _patterns() -> tuple[re.Pattern[str], ...]:
    units = "|".join(re.escape(n).replace("u", "[uµμ]", 1) if n.startswith("u") else re.escape(n) for n in unit_names())
    names = "|".join(re.escape(n).replace(r"\ ", r"[\s-]+") for n in analyte_names())
    number = r"(?<![\w.,/-])(?P<value>[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
    before = rf"(?:(?<!\w)(?P<before>{names})\s*(?:level|value)?\s*(?:is|was|of|=|:|at)?\s*)?"
    quantity = (
        rf"{before}{number}\s*(?P<unit>{units})(?!\w|/)\s*(?:(?:of|for)?\s*(?:an?\s+|the\s+)?(?P<after>{names})(?!\w))?"
    )
    to = rf"(?P<to>{units})(?!\w|/)"
    behind = rf"(?:\s*(?:of|for)\s+(?:an?\s+)?(?P<behind>{names})(?!\w))?"
    nothing = r"(?P<behind>(?!))?"
    return (
        re.compile(rf"{quantity}\s*,?\s*(?:(?:is|are|be|expressed|converted|given|written)\s+)?(?:how\s+(?:many|much)|what(?:\s+is\s+(?:that|this|it))?\s+in|to|into|in|as|=)\s+{to}{behind}", re.IGNORECASE),
        re.compile(rf"how\s+(?:many|much)\s+{to}\s+(?:is|are|in|does|equals?|make)\s+(?:an?\s+|the\s+)?{quantity}{nothing}", re.IGNORECASE),
    )  # fmt: skip


_PATTERNS: Final = _patterns()
