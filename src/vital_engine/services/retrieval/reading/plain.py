"""Bytes to text, and lines to paragraphs."""

from __future__ import annotations

import codecs
import re
import statistics
from itertools import pairwise

from vital_engine.errors import UnreadableDocument

from .document import Problem

__all__ = ["decoded", "unwrapped"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with UTF-16's
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def decoded(data: bytes, *, declared: str = "") -> tuple[str, tuple[Problem, ...]]:
    """*data* as text: by its byte order mark, as UTF-8, as it *declared* itself, else as Latin-1 with a note.

    :raises UnreadableDocument: it holds bytes that no text has, or is not what its mark says.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), ()
            except UnicodeDecodeError as error:
                raise UnreadableDocument(
                    f"not the {encoding} that its mark says: {error}", service="reading"
                ) from error
    if _BINARY.search(data, 0, 65536):
        raise UnreadableDocument("binary data, not text", service="reading")
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        position = error.start
    if declared:
        try:
            # the web's Latin-1 is Windows-1252 (encoding.spec.whatwg.org)
            windows = declared.lower() in ("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii")
            return data.decode("cp1252" if windows else declared), ()
        except (UnicodeDecodeError, LookupError):
            pass
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text, (Problem(f"byte {position}", "not UTF-8; read as Latin-1, so that some letters may be wrong"),)


_HYPHENATED = re.compile(r"[^\W\d_]{2,}-$")
_ITEM = re.compile(r"\s*(?:[-–—*•▪◦‣·]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s")
_ENDED = re.compile(r"[.!?:;…][\"'”’)\]]*$")


def unwrapped(text: str, *, always: bool = False) -> str:
    """*text* with the lines of each paragraph joined, if it was wrapped at a fixed width (or *always*).

    A line ends a paragraph if an empty one or a list item follows, or if it is clearly shorter than the others
    and either ends a sentence or looks like a heading. A word that was broken by a hyphen is mended.
    """
    lines = [line.strip() for line in text.split("\n")]
    lengths = [len(line) for line in lines if line]
    if len(lengths) < 3:
        return text
    width = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    full = sum(1 for length in lengths if length > 0.7 * width)
    if not always and not (40 <= width <= 120 and max(lengths) <= 160 and full >= 0.5 * len(lengths)):
        return text
    joined = [lines[0]]
    for before, line in pairwise(lines):
        if not line or not before or _ITEM.match(line) or _closes(before, line, width):
            joined.append(line)
        elif _HYPHENATED.search(before) and line[0].islower():
            joined[-1] = joined[-1][:-1] + line
        else:
            # a hyphen before a capital or a digit belongs to the word: "COVID-" "19"
            joined[-1] += line if before.endswith("-") and before[-2:-1].isalnum() else f" {line}"
    return "\n".join(joined)


def _closes(before: str, line: str, width: float) -> bool:
    if len(before) >= 0.75 * width:
        return False
    if _ENDED.search(before):
        return True
    # a heading: short, does not end like a clause, and what follows begins anew
    return len(before) < 0.6 * width and before[-1] not in ",-–(" and line[0].isupper() and before[0].isupper()
