"""Citations of a sentence, each tied to the stretch of the document that carries it, with a verdict."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from vital_engine.errors import NotFound, StoreError
from vital_engine.nouns import Citation, Evidence, Passage, Sentence
from vital_engine.services.checks.markers import Marker, markers, without_markers
from vital_engine.services.checks.quotations import find, quotations
from vital_engine.services.support.matching import Match, Matcher

__all__ = ["DocumentText", "QuoteChecker"]

DocumentText = Callable[[str], Awaitable[str]]
"""The stored text of a document, by its id. NotFound where there is none (any more)."""

_FEWEST_WORDS = 3  # of a part of a sentence, to be a claim of its own


class QuoteChecker:
    """Fulfils :class:`~vital_engine.ports.CitationChecker`.

    Each marker answers for the words before it, back to the marker before; a sentence with one group of markers is
    one claim. The quote is the sentence of the passage that best carries the claim, or the sentence's own
    quotation if it has one. Verdicts:

    ========= ====================================================================================
    verified  the quote stands in the stored text, all hard checks agree, and its score is above .5
    weak      it stands there, but a check objects, the score is low, or the store could not be read
    mismatch  the sentence's quotation is not in the passage, or the quote not in the stored text
    dangling  there is no such passage
    ========= ====================================================================================

    :param matcher: finds and scores the quote.
    :param stored: the stored text of a document. Without it a quote is checked against its passage alone.
    """

    def __init__(self, matcher: Matcher, stored: DocumentText | None = None) -> None:
        self._matcher, self._stored = matcher, stored

    async def check(self, sentence: Sentence, evidence: Evidence) -> Sequence[Citation]:
        """The citations of *sentence* in order of appearance. :raises RetrievalError: the embedder failed."""
        passages = evidence.passages
        found = _ours(sentence.text, markers(sentence.text, len(passages)), evidence)
        citations = list[Citation]()
        for marker, (claim, quoted) in zip(found, _claims(sentence.text, found), strict=True):
            cited = [passages[n - 1] for n in marker.numbers if 1 <= n <= len(passages)]
            matches = await asyncio.to_thread(self._matcher.matches, claim, cited) if cited else []
            by_passage = {id(m.passage): m for m in matches}
            holds = [q for q in quoted if any(find(q, p.text) for p in cited)]
            for number in marker.numbers:
                passage = passages[number - 1] if 1 <= number <= len(passages) else None
                if passage is None:
                    note = "no such passage"
                    citations.append(Citation(number, "dangling", sentence.index, notes=(note,)))
                    continue
                citation = _cite(number, sentence.index, passage, by_passage.get(id(passage)), quoted, holds)
                citations.append(await self._against_store(citation))
        return citations

    async def _against_store(self, citation: Citation) -> Citation:
        """*citation* once its quote has been looked for in the stored text of its document."""
        if self._stored is None or not citation.quote:
            return citation
        try:
            text = await self._stored(citation.document)
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


def _judged(citation: Citation, verdict: str, note: str) -> Citation:
    worst = max(verdict, citation.verdict, key=("verified", "weak", "mismatch", "dangling").index)
    return replace(citation, verdict=worst, notes=(*citation.notes, note))


def _cite(
    number: int, sentence: int, passage: Passage, match: Match | None, quoted: Sequence[str], holds: Sequence[str]
) -> Citation:
    """The citation of one number. *quoted*: what the claim quotes; *holds*: the part of it that a cited passage has."""
    about = Citation(
        number, "weak", sentence, passage.id, passage.document, passage.title, passage.page, source=passage.source
    )
    if match is None:
        return _judged(about, "mismatch", "the passage has no text")
    notes = tuple(c.note for c in match.checks if not c.agrees)
    if not match.carries and not notes:
        notes = ("the wording is not close enough to tell",)
    start, end, verdict = match.start, match.end, "verified" if match.carries else "weak"
    missing = [q for q in quoted if q not in holds]
    if missing:
        verdict, notes = "mismatch", (*notes, *(f"not in the passage: “{q}”" for q in missing))
    else:
        place = next((at for q in quoted if (at := find(q, passage.text))), None)
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


def _ours(text: str, found: tuple[Marker, ...], evidence: Evidence) -> tuple[Marker, ...]:
    """*found* without the references of the source itself, which a copied sentence carries along.

    Such a one stands in a passage together with the words before it, and a marker of ours follows behind it.
    """
    kept = []
    for i, marker in enumerate(found):
        before = text[: marker.start].rsplit(None, 4)[1:]
        words = " ".join([*before, text[marker.start : marker.end]]) if len(before) > 1 else ""
        last = i == len(found) - 1
        if last or not words or not any(find(words, p.text) for p in evidence.passages):
            kept.append(marker)
    return tuple(kept)


def _claims(text: str, found: tuple[Marker, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """What each marker answers for: the claim without markers, and the quotations in it."""
    whole = without_markers(text), tuple(words for words, _ in quotations(text))
    if len(found) < 2:
        return [whole for _ in found]
    parts, start = list[tuple[str, tuple[str, ...]]](), 0
    for i, marker in enumerate(found):
        end = marker.start if i < len(found) - 1 else len(text)
        part = text[start:end]
        claim = without_markers(part)
        if len(re.findall(r"[^\W_]{2,}", claim)) >= _FEWEST_WORDS:
            parts.append((claim, tuple(words for words, _ in quotations(part))))
        else:  # "[1][2]" share a claim; a part too short for one is read as the whole
            adjoining = bool(parts) and not claim.strip(" .,;:")
            parts.append(parts[-1] if adjoining else whole)
        start = marker.end
    return parts
