"""Citations: the markers of an answer, tied to passages and to the words that carry them, each with a verdict.

The shapes of a marker are in :mod:`vital_engine.services.checks.markers`; which sentence carries a claim is decided
by :class:`vital_engine.services.support.Matcher`.
"""

from .checker import DocumentText, QuoteChecker

__all__ = ["DocumentText", "QuoteChecker"]
