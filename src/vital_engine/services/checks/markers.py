"""Markers, the ways in which an answer points at its passages; what each answers for; and what is quoted literally.

======================================= =====================================================
read as a marker                        ``[1]`` ``[2,3]`` ``[2; 3]`` ``[1][2]`` ``[1-3]`` ``[1–3]`` ``[1]-[3]``
                                        ``【1】`` ``【1†source】`` ``［1］`` ``[Source 1]`` ``[passages 1, 2]``
not a marker                            ``[Fig. 1]`` ``[mg/dL]`` ``[^1]`` ``[1.5-2.0]`` ``[95% CI 1-2]`` ``x[0]`` or
                                        ``[1]`` inside back-ticks, a reference list's ``[1]:`` at a line's start
======================================= =====================================================

Numbers are positions in :attr:`Evidence.passages`, from 1. A number without a passage is a dangling marker,
whatever it looks like: ``[0]``, ``[99]`` and also a year such as ``[2019]``, because to the reader it is a
citation that leads nowhere. A range that leaves the evidence is cut at its last passage, and its end dangles.

Parts: a sentence with one group of markers is one claim. With several, each answers for the words before it, back to
the one before; the words behind the last belong to it. ``[1][2]`` share a claim, and a part of fewer than three words
is read as the whole sentence.

Quotations: the words that a sentence puts in quotation marks. Typography is not content: quotation marks, dashes,
white space, hyphens at a line's end and ligatures may differ. Case and every letter, digit and sign else must be the
same. What is found is given in offsets of the text as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Marker", "Part", "find", "markers", "parts", "quotations", "without_markers"]

_DASH = r"\s?[-‐-―−]\s?"
_WORD = r"(?:(?:passages?|sources?|documents?|docs?|refs?\.?|references?)\s*)?"
_ITEM = rf"\d{{1,9}}(?:{_DASH}\d{{1,9}})?"
_INSIDE = rf"\s*{_WORD}(?P<items>{_ITEM}(?:\s*(?:[,;]|\band\b|&)\s*{_ITEM})*)\s*"
_GROUP = re.compile(
    rf"(?:\[{_INSIDE.replace('items', 'square')}\]|[【［]{_INSIDE}(?:†[^】］]{{0,80}})?[】］])", re.IGNORECASE
)
_CODE = re.compile(r"(`+)(?:(?!\1).)+\1", re.DOTALL)
_LIST = re.compile(r"\s*\[\d{1,9}\]:")
_JOIN = re.compile(_DASH)


@dataclass(frozen=True, slots=True)
class Marker:
    """Numbers that one group of brackets points at, in order, and where the group stands in the text."""

    numbers: tuple[int, ...]
    start: int
    end: int


def markers(text: str, count: int) -> tuple[Marker, ...]:
    """The markers of *text* in order. *count*: how many passages there are; it bounds a range."""
    found = list[tuple[list[tuple[int, int]], int, int]]()
    code = [m.span() for m in _CODE.finditer(text)]
    for match in _GROUP.finditer(text):
        start, end = match.span()
        if any(a <= start < b for a, b in code) or _is_index(text, start, end):
            continue
        spans = [_span(item) for item in re.split(r"\s*(?:[,;&]|\band\b)\s*", match["square"] or match["items"])]
        if found and _JOIN.fullmatch(text[found[-1][2] : start]):
            before, first, _ = found[-1]
            low, high = before[-1][1], spans[0][1]
            # "[3]-[1]" is no range: both are meant
            joined = [*before, (low + 1, high), *spans[1:]] if low < high else [*before, *spans]
            found[-1] = (joined, first, end)
            continue
        found.append((spans, start, end))
    return tuple(Marker(_numbers(spans, count), start, end) for spans, start, end in found)


def without_markers(text: str, found: Sequence[Marker] | None = None) -> str:
    """*text* as a claim: without *found* (default: all its markers), single spaces, no gap before punctuation."""
    kept, at = [], 0
    for marker in markers(text, 0) if found is None else found:
        kept.append(text[at : marker.start])
        at = marker.end
    plain = " ".join(" ".join([*kept, text[at:]]).split())
    return re.sub(r"\s+([.,;:!?])", r"\1", plain) if kept else plain


def _is_index(text: str, start: int, end: int) -> bool:
    """``x[0]`` is an index, and ``[1]: http...`` at the start of a line defines a reference, it does not cite."""
    zero = text[start:end] == "[0]" and start > 0 and text[start - 1].isalnum()
    line = text.rfind("\n", 0, start) + 1
    return zero or (not text[line:start].strip() and _LIST.match(text, line) is not None)


def _span(item: str) -> tuple[int, int]:
    ends = [int(n) for n in re.findall(r"\d+", item)]
    return ends[0], ends[-1]


def _numbers(spans: list[tuple[int, int]], count: int) -> tuple[int, ...]:
    numbers = dict[int, None]()
    for first, last in spans:
        if last <= first or first > count:
            numbers |= dict.fromkeys((first, last))
        else:
            numbers |= dict.fromkeys(range(first, min(last, count) + 1))
            numbers[last] = None
    return tuple(numbers)


SHORTEST = 3
"""Words from which on a text in quotation marks is a quotation, and not a term ("so-called" or a title)."""

_QUOTED = re.compile(r"“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|\"([^\"]+)\"")
_MARKS = {**dict.fromkeys("“”„«»‟″", '"'), **dict.fromkeys("‘’‚‛′", "'"), **dict.fromkeys("‐‑‒–—―−", "-")}


def quotations(sentence: str) -> tuple[str, ...]:
    """What *sentence* quotes literally, in order. An ellipsis parts a quotation into its pieces."""
    found = []
    for match in _QUOTED.finditer(sentence):
        inner = next(g for g in match.groups() if g is not None)
        for piece in re.split(r"\s*(?:\[?…\]?|\[?\.\.\.\]?)\s*", inner):
            words = piece.strip().rstrip(".,;:!?")
            if len(words.split()) >= SHORTEST:
                found.append(words)
    return tuple(found)


def find(wanted: str, text: str) -> tuple[int, int] | None:
    """Where *wanted* first stands in *text*: ``(start, end)`` in *text* as it is, or None. Whole words only.

    The case of the first letter may differ: a quotation is often taken into another sentence.
    """
    plain, places = _plain(text)
    key = _plain(wanted)[0].strip()
    if not key:
        return None
    places_of = (_place(key, plain), _place(key[0].swapcase() + key[1:], plain))
    found = min((p for p in places_of if p is not None), default=None)
    return (places[found[0]], places[found[1] - 1] + 1) if found else None


def _place(key: str, plain: str) -> tuple[int, int] | None:
    at = plain.find(key)
    while at >= 0:
        end = at + len(key)
        inside = (at > 0 and key[0].isalnum() and plain[at - 1].isalnum()) or (
            end < len(plain) and key[-1].isalnum() and plain[end].isalnum()
        )
        if not inside:
            return at, end
        at = plain.find(key, at + 1)
    return None


@lru_cache(maxsize=512)
def _plain(text: str) -> tuple[str, tuple[int, ...]]:
    """*text* without its typography, and for each character left its offset in *text*."""
    characters, places = list[str](), list[int]()
    for at, character in enumerate(text):
        if character == "\u00ad":  # a soft hyphen is not written
            continue
        if character.isspace():
            # a word divided at a line's end: "treat-\nment"
            if character in "\n\r" and len(characters) > 1 and characters[-1] == "-" and characters[-2].isalpha():
                following = text[at:].lstrip()[:1]
                if following.islower():
                    characters.pop()
                    places.pop()
                    continue
            if characters and characters[-1] != " ":
                characters.append(" ")
                places.append(at)
            continue
        for letter in _MARKS.get(character) or unicodedata.normalize("NFKC", character):
            characters.append(letter)
            places.append(at)
    return "".join(characters), tuple(places)


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
