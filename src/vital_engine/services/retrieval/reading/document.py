"""A document as everything behind the reader sees it: one normalised text, and where its pages lie in it; and how
bytes become text, and lines paragraphs.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from vital_engine.errors import UnreadableDocument

__all__ = ["Document", "Page", "Problem", "compose", "decoded", "normalised", "unwrapped"]


@dataclass(frozen=True, slots=True)
class Page:
    """Page *number* (from 1) is ``text[start:end]`` of its document."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, or only with a doubt, and where: ``"line 17"``, ``"page 3"``."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    ``id`` is the same each time the same thing is read: a record's own id, else the file's name, else made of
    the content. ``text`` is normalised (see :func:`normalised`). ``content_hash`` is the SHA-256 of title and
    text: equal hashes, nothing to do again. ``problems``: what a reader of this document should know.
    """

    id: str
    title: str
    text: str
    source: str
    media_type: str
    content_hash: str
    pages: tuple[Page, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def compose(
    parts: Sequence[str],
    *,
    source: str,
    media_type: str,
    title: str = "",
    id: str = "",  # noqa: A002 - the name that a document's identity has everywhere
    paged: bool = False,
    metadata: Mapping[str, Any] | None = None,
    problems: Sequence[Problem] = (),
) -> Document:
    """A document of *parts*, blank lines between them; with *paged*, part ``i`` is page ``i + 1``."""
    pages, texts, at = [], list[str](), 0
    for number, part in enumerate(parts, 1):
        text = normalised(part)
        if not text:
            continue
        if texts:
            at += 2
        pages.append(Page(number, at, at + len(text)))
        texts.append(text)
        at += len(text)
    whole, title = "\n\n".join(texts), " ".join(normalised(title).split())
    digest = hashlib.sha256(f"{title}\0{whole}".encode()).hexdigest()
    return Document(
        id=" ".join(normalised(id).split()) or f"{source}#{digest[:16]}",
        title=title,
        text=whole,
        source=source,
        media_type=media_type,
        content_hash=digest,
        pages=tuple(pages) if paged else (),
        metadata=dict(metadata or {}),
        problems=tuple(problems),
    )


_LINE_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# soft hyphens, zero-width and bidirectional controls: invisible, so they hide words from search and lie to the eye.
# The joiners U+200C and U+200D stay, as some scripts need them.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
                        "\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")  # fmt: skip
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile("[\t \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_AROUND_BREAK = re.compile(" *\n *")
_MANY_BREAKS = re.compile("\n{3,}")


def normalised(text: str) -> str:
    """*text* in NFC, with ``\\n`` as its only line break, one blank between words, at most one empty line in a
    row, and without control, invisible or direction-changing characters. A lone surrogate becomes U+FFFD.

    Applying it twice changes nothing more. Compatibility forms (², µ, ½) stay: they carry meaning in doses.
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    text = _BLANKS.sub(" ", text)
    text = _AROUND_BREAK.sub("\n", text)
    return _MANY_BREAKS.sub("\n\n", text).strip()


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
