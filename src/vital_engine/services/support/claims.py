"""Which sentences of an answer claim something. The others need no citation and get no score."""

from __future__ import annotations

import re

from vital_engine.nouns import TOOL_RESULT
from vital_engine.services.checks.markers import without_markers

__all__ = ["claims_something", "is_not_found"]

_NOT_FOUND = re.compile(
    r"\bnot\s+(?:be\s+)?found\s+in\s+the\s+(?:document|passage|evidence|source|text)s?"
    r"|\b(?:documents?|passages?|evidence|sources?|context|information)\b[^.]{0,60}?\b(?:do(?:es)?\s+not|don['’]t"
    r"|doesn['’]t|did\s+not)\s+(?:\w+\s+)?(?:contain|mention|say|address|answer|include|provide|cover|discuss|state)\b"
    r"|\b(?:i|we)\s+(?:could\s+not|couldn['’]t|cannot|can['’]t|was\s+unable\s+to|were\s+unable\s+to|did\s+not)\s+"
    r"(?:find|answer|determine|locate|search)\b"
    r"|\bno\s+(?:relevant\s+)?(?:documents?|passages?|information|evidence)\s+(?:was|were|is|are)\s+(?:found|available"
    r"|provided)\b"
    r"|\b(?:documents|knowledge base)\s+could\s+not\s+be\s+searched\b",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"^(?:sure|certainly|of course|hello|hi|thank you|thanks|please|i hope|let me|here (?:is|are)|in summary:?$|note:?$"
    r"|sources?:?$|references?:?$|would you|do you|if you (?:have|would|need|want))\b",
    re.IGNORECASE,
)


def is_not_found(text: str) -> bool:
    """Whether *text* says that the documents do not answer: an honest sentence, and no claim about the world."""
    return _NOT_FOUND.search(text) is not None


def claims_something(text: str) -> bool:
    """Whether *text*, a sentence of an answer, states something that evidence could carry.

    No claim: a heading, a label ("Results:"), a question, a word to the reader, a "not found in the documents",
    a rule or a bare marker, a tool's result quoted as such.
    """
    plain = without_markers(text).strip().strip("*_ ").strip()
    if len(re.findall(r"[^\W\d_]{2,}", plain)) < 2:
        return False
    if plain.startswith(("#", TOOL_RESULT)) or plain.endswith(("?", ":")):
        return False
    return not is_not_found(plain) and _ADDRESSED.match(plain) is None
