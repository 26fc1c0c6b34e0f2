"""The judge of support that ships with the package: small, fast, and honest about how little it understands."""

from __future__ import annotations

import asyncio

from vital_engine.nouns import Evidence, Passage, Sentence, SentenceSupport
from vital_engine.services.checks.markers import markers, without_markers

from .claims import claims_something
from .matching import Matcher

__all__ = ["LogisticJudge"]


class LogisticJudge:
    """Fulfils :class:`~vital_engine.ports.Judge` with a logistic regression and hard checks.

    A sentence is read against the passages that it cites, or against all if it cites none that exist. The score is
    the chance of support, calibrated on scientific claims (``bench/support.py`` prints how well); ``checks`` holds
    what the hard checks say of the best quote, and "verbatim" if the sentence is a copy.

    The score is None where there is nothing to judge (the sentence claims nothing) or nobody could look
    (``evidence.failed``), and 0 where retrieval worked and found nothing: then nothing carries the sentence.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        """:raises RetrievalError: the embedder failed."""
        if evidence.failed or not claims_something(sentence.text):
            return SentenceSupport(sentence.index, None)
        claim = without_markers(sentence.text, len(evidence.passages))
        match = await asyncio.to_thread(self._matcher.best, claim, _cited(sentence.text, evidence))
        if match is None:
            return SentenceSupport(sentence.index, 0.0)
        checks = {c.name: c.agrees for c in match.checks} | ({"verbatim": True} if match.verbatim else {})
        return SentenceSupport(sentence.index, match.score, match.passage.id, match.quote, checks)


def _cited(text: str, evidence: Evidence) -> tuple[Passage, ...]:
    count = len(evidence.passages)
    numbers = dict.fromkeys(n for m in markers(text, count) for n in m.numbers if 1 <= n <= count)
    return tuple(evidence.passages[n - 1] for n in numbers) or evidence.passages
