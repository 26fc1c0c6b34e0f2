"""Conversion of units as a tool, and how a conversion is found in a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Annotated, Final

from pydantic import Field

from vital_engine.errors import InvalidArguments

from .tool import Output, Reading, tool
from .units import HBA1C, Unit, analyte_names, analyte_of, converted, plain, unit_names, unit_of

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
