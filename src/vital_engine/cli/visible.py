"""Text of others on a terminal: what would steer it, or hide from the eye, is shown instead of obeyed.

Escape sequences can rewrite what stands on the screen; bidirectional and invisible characters make a text read
otherwise than it is ("Trojan Source", CVE-2021-42574). Nobody approves what they could not see.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from vital_engine.errors import InvalidArguments

BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANKS: Final = frozenset(" \n")


def safe(text: str) -> str:
    """*text* for reading: controls and bidirectional characters are shown as ``‹U+202E›``, tabs as spaces."""
    return "".join(_shown(c) if unicodedata.category(c) == "Cc" or c in BIDIRECTIONAL else c for c in text)


def exact(text: str) -> str:
    """*text* for deciding: also whatever else has no shape of its own, and blanks that are not the common one."""
    return "".join(_shown(c) if _hidden(c) else c for c in text)


def arguments(values: Mapping[str, Any]) -> str:
    """The arguments of a call, exactly: a line for each, as JSON, in the order of their names."""
    if not values:
        return "(none)"
    lines = [f"{exact(name)} = {exact(_json(value))}" for name, value in sorted(values.items())]
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _hidden(c: str) -> bool:
    category = unicodedata.category(c)
    return category in _HIDDEN or (category == "Zs" and c not in _BLANKS)


def _shown(c: str) -> str:
    return {"\n": "\n", "\t": "    "}.get(c, f"‹U+{ord(c):04X}›")


def json_object(text: str) -> dict[str, Any]:
    """The arguments that a person typed. :raises InvalidArguments: that is no JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidArguments(f"the arguments are no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArguments('the arguments must be a JSON object, like {"name": value}')
    return value
