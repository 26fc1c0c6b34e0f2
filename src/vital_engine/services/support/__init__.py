"""Support: how well evidence carries a sentence, by a small model of our own.

::

    model      what two logistic regressions look at, and the file they are read from
    judge      Matcher: the best sentence of a passage for a claim, its score and checks; LogisticJudge: the port

A weak score, not a verdict: no model that ships in a package can tell entailment (HealthVer, AUC .73). So hard
checks stand beside it, and a judge of one's own can take its place. May import nouns, ports, errors, text and checks.
"""

from .judge import LogisticJudge, Match, Matcher, claims_something, is_not_found

__all__ = ["LogisticJudge", "Match", "Matcher", "claims_something", "is_not_found"]
