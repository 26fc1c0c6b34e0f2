r"""Foreign text, shown in full: characters that steer a screen or hide from the eye are written out.

Escape sequences can rewrite what stands on the screen; bidirectional and invisible characters make a text read
otherwise than it is ("Trojan Source", CVE-2021-42574). There is one table of them for every face: the terminal writes
them as ``‹U+202E›``, HTTP as JSON does, ``\u202e``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from vital_engine.errors import InvalidArguments

__all__ = ["BIDIRECTIONAL", "arguments", "exact", "hidden", "json_object", "safe", "visible"]

BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
"""Unicode's categories of what has no shape of its own: controls, formats, blanks, and what is no character (yet)."""
_DRAWN_AS_NOTHING: Final = re.compile(
    "["
    # Unicode's property Default_Ignorable_Code_Point, whatever the category: joiners, fillers, variation selectors, tags
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # and characters whose glyph is blank
    "\u2800\u2d7f\U0001107f\U00013441\U00013442\U00016fe4\U0001d159"
    "]"
)
_UNCOMMON: Final = re.compile("[^ -~]")


def hidden(c: str) -> bool:
    """Whether the eye does not see the character *c*, or takes it for another: all but the common blank."""
    return c != " " and (unicodedata.category(c) in _CATEGORIES or _DRAWN_AS_NOTHING.match(c) is not None)


def safe(text: str) -> str:
    """*text* for reading: controls and bidirectional characters are shown as ``‹U+202E›``, tabs as spaces."""
    return "".join(_shown(c) if unicodedata.category(c) == "Cc" or c in BIDIRECTIONAL else c for c in text)


def exact(text: str) -> str:
    """*text* for deciding, in a terminal: all that is :func:`hidden` is shown by number; line breaks are kept."""
    return _UNCOMMON.sub(lambda found: _shown(found[0]) if hidden(found[0]) else found[0], text)


def arguments(values: Mapping[str, Any]) -> str:
    """The arguments of a call, exactly: a line for each, as JSON, in the order of their names."""
    if not values:
        return "(none)"
    lines = [f"{exact(_json(name)[1:-1])} = {exact(_json(value))}" for name, value in sorted(values.items())]
    return "\n".join(lines)


def visible(value: Any) -> str:
    """*value* as JSON in which every character is seen, in the order of the names.

    ``json.loads(visible(value)) == value``. Letters and marks of any script stand as they are; what is :func:`hidden`
    stands as ``\\u202e``.
    """
    return _UNCOMMON.sub(_escaped, _json(value))


def json_object(text: str) -> dict[str, object]:
    """The arguments that a person typed. :raises InvalidArguments: that is no JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidArguments(f"the arguments are no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArguments('the arguments must be a JSON object, like {"name": value}')
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _shown(c: str) -> str:
    return {"\n": "\n", "\t": "    "}.get(c, f"‹U+{ord(c):04X}›")


def _escaped(found: re.Match[str]) -> str:
    c = found[0]
    if c == "\x7f":  # which JSON need not escape
        return "\\u007f"
    return json.dumps(c)[1:-1] if hidden(c) else c
