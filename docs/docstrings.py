"""Docstrings are written for ``help()``, in reStructuredText; the site is Markdown. What differs is turned into Markdown here."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`[~.]*([^`]+)`")
LITERAL = re.compile(r"(?m)^(.*)::\n\n((?:(?: {4,}.*)?\n?)+)")


def markdown(text: str) -> str:
    """Roles become code, literal blocks become fenced ones."""

    def fenced(match: re.Match[str]) -> str:
        code = re.sub(r"(?m)^ {4}", "", match[2]).strip("\n")
        lead = f"{match[1]}:\n\n" if match[1].strip() else ""
        return f"{lead}```text\n{code}\n```\n\n"

    return ROLE.sub(r"`\1`", LITERAL.sub(fenced, text))


class Docstrings(Extension):
    """Applied to each object once it is read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Turn the docstring of *obj* into Markdown."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
