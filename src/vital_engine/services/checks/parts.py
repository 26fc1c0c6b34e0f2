"""Parts: what each marker of a sentence answers for.

A sentence with one group of markers is one claim. With several, each answers for the words before it, back to the
one before; the words behind the last belong to it. ``[1][2]`` share a claim, and a part of fewer than three words
is read as the whole sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .markers import Marker, markers, without_markers
from .quotations import find, quotations

__all__ = ["Part", "parts"]

_FEWEST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A claim without markers, what it quotes literally, and who answers for it (None: the sentence has no marker)."""

    claim: str
    quotations: tuple[str, ...] = ()
    marker: Marker | None = None


def parts(text: str, passages: Sequence[str]) -> tuple[Part, ...]:
    """The parts of the sentence *text*, at least one. *passages*: the texts that its markers point at."""
    found = _ours(text, markers(text, len(passages)), passages)
    whole = Part(without_markers(text, found), quotations(text))
    if len(found) < 2:
        return (Part(whole.claim, whole.quotations, found[0] if found else None),)
    cut, start = list[Part](), 0
    for i, marker in enumerate(found):
        end = marker.start if i < len(found) - 1 else len(text)
        inside = [m for m in found if start <= m.start < end]
        shifted = [Marker(m.numbers, m.start - start, m.end - start) for m in inside]
        claim = without_markers(text[start:end], shifted)
        if len(re.findall(r"[^\W_]{2,}", claim)) >= _FEWEST_WORDS:
            cut.append(Part(claim.strip(" ,;"), quotations(text[start:end]), marker))
        else:
            same = cut[-1] if cut and not claim.strip(" .,;:") else whole
            cut.append(Part(same.claim, same.quotations, marker))
        start = marker.end
    return tuple(cut)


def _ours(text: str, found: Sequence[Marker], passages: Sequence[str]) -> tuple[Marker, ...]:
    """*found* without the references of the source itself, which a copied sentence carries along.

    Such a one stands in a passage together with the words before it, and a marker of ours follows behind it.
    """
    kept = []
    for i, marker in enumerate(found):
        before = text[: marker.start].split()[-4:]
        words = " ".join([*before, text[marker.start : marker.end]])
        copied = len(before) > 1 and any(find(words, passage) for passage in passages)
        if i == len(found) - 1 or not copied:
            kept.append(marker)
    return tuple(kept)
