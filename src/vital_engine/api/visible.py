"""Text of others, so that whoever decides on it sees all of it.

Bidirectional and invisible characters make a text read otherwise than it is ("Trojan Source", CVE-2021-42574). They
are written here as JSON writes them, by number: what is shown is still JSON, and still says exactly the same.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
"""Unicode's categories of what has no shape of its own: controls, formats, blanks, and what is no character (yet)."""
_IGNORED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""Characters of other categories that are drawn as nothing: joiners, fillers, variation selectors."""
_UNCOMMON: Final = re.compile("[^ -~]")


def visible(value: Any) -> str:
    """*value* as JSON in which every character is seen, in the order of the names.

    ``json.loads(visible(value)) == value``. Letters and marks of any script stand as they are; controls, format
    characters, blanks other than the common one and unassigned characters as ``\\u202e``.
    """
    return _UNCOMMON.sub(_seen, json.dumps(value, ensure_ascii=False, sort_keys=True))


def _seen(found: re.Match[str]) -> str:
    c = found[0]
    if c == "\x7f":  # which JSON need not escape
        return "\\u007f"
    hidden = unicodedata.category(c) in _HIDDEN or _IGNORED.match(c)
    return json.dumps(c)[1:-1] if hidden else c
