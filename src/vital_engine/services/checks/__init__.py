"""Hard checks: what can be read by rule in an answer, and held against a quote, beside any score.

::

    markers     the shapes of a citation marker, and a sentence without them
    parts       what each marker of a sentence answers for
    quotations  literal quotations, and where they stand in a text
    figures     numbers, units, doses, p-values, ranges
    polarity    negation and direction
    names       capitalised names, abbreviations, drugs
    words       what polarity and the features read: stems, negation scope, alignment

A check that finds nothing to look at says nothing: a claim without a figure has no check "figures". They are
reported by name beside the score of support, and are never folded into it silently. Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import names, polarity
from .figures import figures, unmatched
from .words import align, words

__all__ = ["WORDING", "Check", "agree", "hard_checks", "wording"]

WORDING = 0.5
"""Least share of a claim's words that the quote has if the wording is to agree.

Without it, .35 of the sentences that contradict a SciFact claim would pass all checks and the score's threshold,
and .59 of those that support it; with it .10 and .37 (validation split, ``bench/support.py``).
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One hard check: "figures", "negation", "direction", "names" or "wording"; ``note`` says what disagreed."""

    name: str
    agrees: bool
    note: str = ""


def hard_checks(claim: str, quote: str, context: str = "") -> tuple[Check, ...]:
    """The checks that apply to *claim* against *quote*; names may also stand in *context* (passage, title).

    Markers must be stripped from the claim before: ``[1]`` would be read as a figure.
    """
    found = []
    if figures(claim):
        missing = [f.text for f in unmatched(claim, quote)] or _out_of_order(claim, quote)
        found.append(Check("figures", not missing, f"not in the quote: {', '.join(missing)}" if missing else ""))
    turned = polarity.negation(claim, quote)
    found.append(Check("negation", turned is None, f"negated differently: {turned}" if turned else ""))
    opposite = polarity.opposed(claim, quote)
    found.append(Check("direction", opposite is None, "{} against {}".format(*opposite) if opposite else ""))
    if names.names(claim):
        absent = names.absent(claim, f"{quote} {context}")
        found.append(Check("names", not absent, f"not in the source: {', '.join(absent)}" if absent else ""))
    share = wording(claim, quote)
    found.append(Check("wording", share >= WORDING, "" if share >= WORDING else f"{share:.0%} of the words in common"))
    return tuple(found)


def wording(claim: str, quote: str) -> float:
    """Share of the content words of *claim*, by their stems, that stand in *quote*; 1 if it has none."""
    stems = {w.stem for w in words(claim) if w.content}
    return len(stems & {w.stem for w in words(quote) if w.content}) / len(stems) if stems else 1.0


def agree(checks: tuple[Check, ...]) -> bool:
    """Whether none disagrees."""
    return all(c.agrees for c in checks)


def _out_of_order(claim: str, quote: str) -> list[str]:
    """The figures of a copy that change places with one another ("12 % against 15 %" turned round)."""
    if not align(claim, quote).copied:
        return []
    theirs = iter(figures(quote))
    return [f.text for f in figures(claim) if not any(f.values & other.values for other in theirs)]
