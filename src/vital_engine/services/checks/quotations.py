"""Quotations: the words that a sentence puts in quotation marks, and where they stand in a text.

Typography is not content: quotation marks, dashes, white space, hyphens at a line's end and ligatures may differ.
Case and every letter, digit and sign else must be the same. What is found is given in offsets of the text as it is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["find", "quotations"]

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
