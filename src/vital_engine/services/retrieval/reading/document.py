"""A document as everything behind the reader sees it: one normalised text, and where its pages lie in it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Document", "Page", "Problem", "compose", "normalised"]


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
