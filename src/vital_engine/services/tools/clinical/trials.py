"""Trials: how many are to be treated for one to benefit, with its interval."""

from __future__ import annotations

import math
import re
from statistics import NormalDist
from typing import Annotated

from pydantic import Field

from vital_engine.errors import InvalidArguments
from vital_engine.services.tools.reading import mentions
from vital_engine.services.tools.tool import Output, Reading, tool

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
