"""Figures: every number of a claim, with its unit, must stand in the quote.

A figure is read in the ways in which biomedical text writes it: ``1,234``, ``1 234``, ``0,05``, ``.05``,
``1.2 x 10^6``, ``76-85 %``, ``10 to 20 mg``, ``40 mg/day``, ``three``. Masses, volumes, amounts and times are
compared in one base unit (500 mg is 0.5 g; 1 mg is not 1 µg). Digits inside a name (IL-6, HbA1c) are no figures;
:func:`~.hard.names` reads those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

__all__ = ["Figure", "figures", "unmatched"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as written, its possible values (``1,234`` has two), its unit and how it is bounded.

    ``scale`` makes a value one of the base ``unit`` ("g", "l", "mol", "s", "month", "%", ...; "" for a bare number);
    ``per`` is the denominator ("day", "kg", "l"); ``bound`` is "<", ">" or "="; "" if nothing is said.
    """

    text: str
    values: frozenset[Decimal]
    scale: Decimal = Decimal(1)
    unit: str = ""
    per: str = ""
    bound: str = ""
    p_value: bool = False


_SCALES: dict[str, tuple[str, Decimal]] = {
    **{u: ("g", Decimal(f)) for u, f in {"kg": "1000", "g": "1", "mg": "1e-3", "ng": "1e-9", "pg": "1e-12"}.items()},
    **dict.fromkeys(("µg", "μg", "ug", "mcg"), ("g", Decimal("1e-6"))),
    **dict.fromkeys(("gram", "grams"), ("g", Decimal(1))),
    **dict.fromkeys(("milligram", "milligrams"), ("g", Decimal("1e-3"))),
    **dict.fromkeys(("microgram", "micrograms"), ("g", Decimal("1e-6"))),
    **{u: ("l", Decimal(f)) for u, f in {"l": "1", "dl": "0.1", "ml": "1e-3", "cc": "1e-3"}.items()},
    **dict.fromkeys(("µl", "μl", "ul"), ("l", Decimal("1e-6"))),
    **{u: ("mol", Decimal(f)) for u, f in {"mol": "1", "mmol": "1e-3", "nmol": "1e-9", "pmol": "1e-12"}.items()},
    **dict.fromkeys(("µmol", "μmol", "umol"), ("mol", Decimal("1e-6"))),
    **{u: ("m", Decimal(f)) for u, f in {"km": "1000", "cm": "0.01", "mm": "1e-3", "nm": "1e-9"}.items()},
    **dict.fromkeys(("µm", "μm"), ("m", Decimal("1e-6"))),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("s", Decimal(1))),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("s", Decimal(60))),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), ("s", Decimal(3600))),
    **dict.fromkeys(("d", "day", "days"), ("s", Decimal(86400))),
    **dict.fromkeys(("wk", "wks", "week", "weeks"), ("s", Decimal(604800))),
    **dict.fromkeys(("month", "months", "mo"), ("month", Decimal(1))),
    **dict.fromkeys(("year", "years", "yr", "yrs"), ("month", Decimal(12))),
    **dict.fromkeys(("%", "percent", "per cent"), ("%", Decimal(1))),
    **dict.fromkeys(("iu", "units", "unit", "u"), ("iu", Decimal(1))),
    **dict.fromkeys(("fold", "times"), ("fold", Decimal(1))),
    **{u: (u, Decimal(1)) for u in ("mmhg", "bpm", "kcal", "gy", "hz", "°c", "mg/dl")},
}
_PER = {
    "daily": "day", "day": "day", "d": "day", "24h": "day", "week": "week", "weekly": "week", "wk": "week",
    "h": "h", "hr": "h", "hour": "h", "min": "min", "minute": "min", "month": "month", "year": "year", "yr": "year",
    "kg": "kg", "g": "g", "mg": "mg", "l": "l", "dl": "dl", "ml": "ml", "m2": "m2", "m²": "m2", "dose": "dose",
}  # fmt: skip
_TIMES = frozenset({"day", "week", "h", "min", "month", "year"})
_UNITS = "|".join(re.escape(u) for u in sorted({*_SCALES, "mm hg"}, key=len, reverse=True))
_PERS = "|".join(re.escape(u) for u in sorted(_PER, key=len, reverse=True))

_SPACE = "[ \u00a0\u2009\u202f]"
_NUMBER = r"\d{1,3}(?:(?:[,'’]|[\u00a0\u2009\u202f])\d{3})+(?:\.\d+)?(?!\d)|\d+(?:[.,·]\d+)?|\.\d+"
# "one" is left out: it is a pronoun more often than a count.
_WORDS = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_MANY = {"hundred": Decimal(100), "thousand": Decimal(1000), "million": Decimal(10**6), "billion": Decimal(10**9)}
_BOUNDS = {
    "<": "<", "≤": "<", "<=": "<", "less than": "<", "fewer than": "<", "below": "<", "under": "<", "at most": "<",
    "up to": "<", ">": ">", "≥": ">", ">=": ">", "more than": ">", "greater than": ">", "above": ">", "over": ">",
    "at least": ">", "exceeding": ">", "=": "=",
}  # fmt: skip
_FIGURE = re.compile(
    rf"""
    (?P<p>\b[Pp](?:[\s-]*values?)?\s*(?:of\s*)?(?=[<>=≤≥]|\s*(?:less|below)))?
    (?P<bound><=|>=|[<>≤≥=]|\b(?:less\ than|fewer\ than|more\ than|greater\ than|at\ least|at\ most|up\ to
        |below|under|above|over|exceeding)\b)?\s*
    (?P<sign>(?<![\w.)\]])[-−])?
    (?:(?<![\w.])(?<![A-Za-z]-)(?P<number>(?>{_NUMBER}))|\b(?P<word>{"|".join(_WORDS)})\b)
    (?:\s*[x×]\s*10\s*\^?\s*\(?(?P<power>[-−]?\d{{1,2}})\)?)?
    (?:{_SPACE}(?P<many>hundred|thousand|million|billion)\b)?
    (?:{_SPACE}?-?(?P<unit>{_UNITS})(?![\w²])|(?P<letters>[A-Za-z]+))?
    (?P<pers>(?:\s?(?:/|\bper\b|\ba\b(?=\ (?:day|week|month)))\s?(?:{_PERS})(?![\w²])|\s(?:daily|weekly)\b)*)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_JOINT = re.compile(r"\s*(?:[-–—/,]|to|and|or|vs\.?|versus)\s*", re.IGNORECASE)


def figures(text: str) -> tuple[Figure, ...]:
    """The figures of *text* in order. A unit written once for a range or a list holds for all of it."""
    found = list(_read(text))
    # "10 to 20 mg" and "40 and 80 mg": read from behind, so that a unit reaches every number joined to it.
    for i in range(len(found) - 2, -1, -1):
        (start, end, this), (after, _, following) = found[i], found[i + 1]
        if not this.unit and following.unit and _JOINT.fullmatch(text[end:after]):
            joined = replace(this, scale=following.scale, unit=following.unit, per=following.per)
            found[i] = (start, end, joined)
    return tuple(figure for _, _, figure in found)


def _read(text: str) -> Iterator[tuple[int, int, Figure]]:
    for m in _FIGURE.finditer(text):
        values = frozenset({Decimal(_WORDS[m["word"].lower()])}) if m["word"] else _values(m["number"])
        if m["power"]:
            values = frozenset(v.scaleb(int(m["power"].replace("−", "-"))) for v in values)
        if m["sign"]:
            values = frozenset(-v for v in values)
        unit, factor = _SCALES.get(re.sub(r"\s", "", m["unit"] or "").lower(), ("", Decimal(1)))
        if m["letters"]:  # "5kb", "12th": whatever it is, it is not another figure's unit
            unit = m["letters"].lower()
        per = "/".join(_PER[p.lower()] for p in re.findall(_PERS, m["pers"] or "", re.IGNORECASE))
        bound = _BOUNDS.get((m["bound"] or "").lower(), "")
        if m["many"]:
            values = frozenset(v * _MANY[m["many"].lower()] for v in values)
        yield m.start(), m.end(), Figure(" ".join(m[0].split()), values, factor, unit, per, bound, bool(m["p"]))


def _values(number: str) -> frozenset[Decimal]:
    """What *number* may mean: a comma before exactly three digits may part thousands or be a decimal comma."""
    plain = re.sub(r"['’\u00a0\u2009\u202f]", "", number).replace("·", ".")
    if "," not in plain:
        return frozenset({Decimal(plain)})
    thousands = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain)
    readings = {Decimal(plain.replace(",", ""))} if thousands else set()
    if plain.count(",") == 1 and "." not in plain:
        readings.add(Decimal(plain.replace(",", ".")))
    return frozenset(readings)


def unmatched(claim: str, quote: str) -> tuple[Figure, ...]:
    """The figures of *claim* that *quote* does not carry. Each figure of the quote serves once."""
    there = list(figures(quote))
    missing = []
    for figure in figures(claim):
        match = next((f for f in there if _agree(figure, f)), None)
        if match is not None:
            if not figure.p_value:
                there.remove(match)
        elif not _in_a_name(figure, quote):
            missing.append(figure)
    return tuple(missing)


def _in_a_name(figure: Figure, quote: str) -> bool:
    """Whether a bare number belongs to a name that the quote writes as one word: "BRCA 1" and BRCA1."""
    return figure.text.isdigit() and not figure.unit and re.search(rf"[A-Za-z]-?{figure.text}\b", quote) is not None


def _agree(claim: Figure, quote: Figure) -> bool:
    if claim.p_value and quote.p_value and claim.bound in "<>" and claim.bound:
        return _implied(claim, quote)
    same = _in_base(claim) & _in_base(quote) if claim.unit and quote.unit else claim.values & quote.values
    if not same or (claim.p_value and claim.bound != quote.bound):
        return False
    if claim.unit and quote.unit and claim.unit != quote.unit:
        return False
    if {claim.bound, quote.bound} == {"<", ">"}:
        return False
    # "40 mg" may shorten "40 mg daily", but never "40 mg/kg".
    return claim.per == quote.per or not quote.unit or (not claim.per and set(quote.per.split("/")) <= _TIMES)


def _in_base(figure: Figure) -> frozenset[Decimal]:
    return frozenset(v * figure.scale for v in figure.values)


def _implied(claim: Figure, quote: Figure) -> bool:
    """Whether p < x follows from the p of the quote."""
    x, y = max(claim.values), max(quote.values)
    if claim.bound == "<":
        return (quote.bound == "=" and y < x) or (quote.bound == "<" and y <= x)
    return (quote.bound == "=" and y > x) or (quote.bound == ">" and y >= x)
