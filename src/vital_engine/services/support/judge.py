"""The judge of support that ships with the package: small, fast, and honest about how little it understands."""

from __future__ import annotations

import asyncio

from vital_engine.nouns import Evidence, Passage, Sentence, SentenceSupport
from vital_engine.services.checks.parts import Part, parts

from .claims import claims_something
from .matching import Match, Matcher, Offload

__all__ = ["LogisticJudge"]


class LogisticJudge:
    """Fulfils :class:`~vital_engine.ports.Judge` with a logistic regression and hard checks.

    Each part of a sentence is read against the passages that it cites, or against all if it cites none that exist; the
    least supported part decides. The score is the chance of support, calibrated on scientific claims (``bench/support.py`` prints how well); ``checks`` holds
    what the hard checks say of the best quote, and "verbatim" if the sentence is a copy.

    The score is None where there is nothing to judge (the sentence claims nothing) or nobody could look
    (``evidence.failed``), and 0 where retrieval worked and found nothing: then nothing carries the sentence.
    """

    def __init__(self, matcher: Matcher, *, offload: Offload = asyncio.to_thread) -> None:
        self._matcher, self._offload = matcher, offload

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        """:raises RetrievalError: the embedder failed."""
        if evidence.failed or not claims_something(sentence.text):
            return SentenceSupport(sentence.index, None)
        if not evidence.passages:
            return SentenceSupport(sentence.index, 0.0)
        judged: SentenceSupport = await self._offload(self._judge, sentence, evidence)
        return judged

    def _judge(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        worst: Match | None = None
        checks = dict[str, bool]()
        for part in parts(sentence.text, [p.text for p in evidence.passages]):
            match = self._matcher.best(part.claim, _cited(part, evidence))
            if match is None:
                return SentenceSupport(sentence.index, 0.0)
            for check in match.checks:
                checks[check.name] = checks.get(check.name, True) and check.agrees
            checks["verbatim"] = checks.get("verbatim", True) and match.verbatim
            worst = match if worst is None or match.score < worst.score else worst
        assert worst is not None
        if not checks["verbatim"]:  # most sentences are no copies: that is no objection
            del checks["verbatim"]
        return SentenceSupport(sentence.index, worst.score, worst.passage.id, worst.quote, checks)


def _cited(part: Part, evidence: Evidence) -> tuple[Passage, ...]:
    numbers = part.marker.numbers if part.marker else ()
    return tuple(evidence.passages[n - 1] for n in numbers if 1 <= n <= len(evidence.passages)) or evidence.passages
