"""Hard checks: what can be read by rule in an answer, and held against a quote, beside any score.

::

    hard        the checks: figures, negation, direction, names, wording
    figures     numbers, units, doses, p-values, ranges
    alignment   what the checks and the features of support read: stems, negation scope, alignment
    markers     citation markers, what each of them answers for, and literal quotations

A check that finds nothing to look at says nothing: a claim without a figure has no check "figures". They are
reported by name beside the score of support, and are never folded into it silently. Pure functions. May import text.
"""

from .hard import WORDING, Check, agree, hard_checks, wording

__all__ = ["WORDING", "Check", "agree", "hard_checks", "wording"]
