"""Markers: the ways in which an answer points at its passages.

======================================= =====================================================
read as a marker                        ``[1]`` ``[2,3]`` ``[2; 3]`` ``[1][2]`` ``[1-3]`` ``[1–3]`` ``[1]-[3]``
                                        ``【1】`` ``【1†source】`` ``［1］`` ``[Source 1]`` ``[passages 1, 2]``
not a marker                            ``[Fig. 1]`` ``[mg/dL]`` ``[^1]`` ``[1.5-2.0]`` ``[95% CI 1-2]`` ``x[0]`` or
                                        ``[1]`` inside back-ticks, a reference list's ``[1]:`` at a line's start
======================================= =====================================================

Numbers are positions in :attr:`Evidence.passages`, from 1. A number without a passage is a dangling marker,
whatever it looks like: ``[0]``, ``[99]`` and also a year such as ``[2019]``, because to the reader it is a
citation that leads nowhere. A range that leaves the evidence is cut at its last passage, and its end dangles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Marker", "markers", "without_markers"]

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
