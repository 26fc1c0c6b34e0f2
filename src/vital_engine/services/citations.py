"""Citations: the markers of an answer, tied to passages and to the words that carry them, each with a verdict.

The shapes of a marker are in :mod:`vital_engine.services.checks.markers`; which sentence carries a claim is decided
by :class:`vital_engine.services.support.Matcher`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from vital_engine.errors import NotFound, StoreError
from vital_engine.nouns import Citation, Evidence, Passage, Scope, Sentence
from vital_engine.nouns.reviewed import VERDICTS, Verdict
from vital_engine.services.checks.markers import Part, find, parts
from vital_engine.services.support.judge import Match, Matcher, Offload

__all__ = ["DocumentText", "QuoteChecker"]

DocumentText = Callable[[str, Scope], Awaitable[str]]
"""The stored text of a document, by its id and whose it is. NotFound where there is none (any more)."""


class QuoteChecker:
    """Fulfils :class:`~vital_engine.ports.CitationChecker`.

    Each marker answers for its part of the sentence (:func:`vital_engine.services.checks.markers.parts`). The quote is
    the sentence of the passage that best carries the claim, or the sentence's own quotation if it has one. Verdicts:

    ========= ====================================================================================
    verified  the quote stands in the stored text, all hard checks agree, and its score is above .5
    weak      it stands there, but a check objects, the score is low, or the store could not be read
    mismatch  the sentence's quotation is not in the passage, or the quote not in the stored text
    dangling  there is no such passage
    ========= ====================================================================================

    :param matcher: finds and scores the quote.
    :param offload: where the matching is done; by default in a thread, since it takes milliseconds of CPU.
    :param stored: the stored text of a document. Without it a quote is checked against its passage alone.
    """

    def __init__(
        self, matcher: Matcher, stored: DocumentText | None = None, *, offload: Offload = asyncio.to_thread
    ) -> None:
        self._matcher, self._stored, self._offload = matcher, stored, offload

    async def check(self, sentence: Sentence, evidence: Evidence, *, scope: Scope | None = None) -> Sequence[Citation]:
        """The citations of *sentence* in order of appearance. :raises RetrievalError: the embedder failed."""
        passages = evidence.passages
        citations = list[Citation]()
        for part in await self._offload(parts, sentence.text, [p.text for p in passages]):
            if part.marker is None:
                continue
            cited = [passages[n - 1] for n in part.marker.numbers if 1 <= n <= len(passages)]
            matches = await self._offload(self._matcher.matches, part.claim, cited) if cited else []
            by_passage = {id(m.passage): m for m in matches}
            missing = [q for q in part.quotations if not any(find(q, p.text) for p in cited)]
            for number in part.marker.numbers:
                passage = passages[number - 1] if 1 <= number <= len(passages) else None
                if passage is None:
                    note = "no such passage"
                    citations.append(Citation(number, "dangling", sentence.index, notes=(note,)))
                    continue
                citation = _cite(number, sentence.index, passage, by_passage.get(id(passage)), part, missing)
                citations.append(await self._against_store(citation, scope))
        return citations

    async def _against_store(self, citation: Citation, scope: Scope | None) -> Citation:
        """*citation* once its quote has been looked for in the stored text of its document."""
        if self._stored is None or scope is None or not citation.quote:
            return citation
        try:
            text = await self._stored(citation.document, scope)
        except NotFound:
            return _judged(citation, "mismatch", "the document is not stored")
        except StoreError:
            return _judged(citation, "weak", "the stored text could not be read")
        if text[citation.start : citation.end] == citation.quote:
            return citation
        at = text.find(citation.quote)
        if at < 0:
            return _judged(citation, "mismatch", "the quote is not in the stored text")
        return replace(citation, start=at, end=at + len(citation.quote))


def _judged(citation: Citation, verdict: Verdict, note: str) -> Citation:
    worst = max(verdict, citation.verdict, key=VERDICTS.index)
    return replace(citation, verdict=worst, notes=(*citation.notes, note))


def _cite(
    number: int, sentence: int, passage: Passage, match: Match | None, part: Part, missing: Sequence[str]
) -> Citation:
    """The citation of one number. *missing*: those quotations of *part* that none of its passages has."""
    about = Citation(
        number, "weak", sentence, passage.id, passage.document, passage.title, passage.page, source=passage.source
    )
    if match is None:
        return _judged(about, "mismatch", "the passage has no text")
    notes = tuple(c.note for c in match.checks if not c.agrees)
    if not match.carries and not notes:
        notes = ("the wording is not close enough to tell",)
    start, end = match.start, match.end
    verdict: Verdict = "verified" if match.carries else "weak"
    if missing:
        verdict, notes = "mismatch", (*notes, *(f"not in the passage: “{q}”" for q in missing))
    else:
        place = next((at for q in part.quotations if (at := find(q, passage.text))), None)
        if place is not None and not match.verbatim:
            start, end = place
    return replace(
        about,
        verdict=verdict,
        start=passage.start + start,
        end=passage.start + end,
        quote=passage.text[start:end],
        score=match.score,
        notes=notes,
    )
