"""Support: how well evidence carries a sentence, by a small model of our own.

::

    claims     which sentences claim anything
    features   what the model looks at
    model      two logistic regressions, and the file they are read from
    matching   Matcher: the best sentence of a passage for a claim, its score and checks
    judge      LogisticJudge: the port

A weak score, not a verdict: no model that ships in a package can tell entailment (HealthVer, AUC .73). So hard
checks stand beside it, and a judge of one's own can take its place.
"""

from .claims import claims_something, is_not_found
from .judge import LogisticJudge
from .matching import Match, Matcher

__all__ = ["LogisticJudge", "Match", "Matcher", "claims_something", "is_not_found"]
