"""The calculator as a tool, and how an expression is found in a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from vital_engine.errors import InvalidArguments

from .arithmetic import MAX_LENGTH, evaluate
from .tool import Output, Reading, tool

_WORDED = (
    (re.compile(r"\bdivided\s+by\b", re.IGNORECASE), "/"),
    (re.compile(r"\b(?:multiplied\s+by|times)\b", re.IGNORECASE), "*"),
    (re.compile(r"(\d\s*)x(?=\s*\d)", re.IGNORECASE), r"\1*"),
    (re.compile(r"\bplus\b", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b", re.IGNORECASE), "-"),
    (re.compile(r"\b(?:raised\s+)?to\s+the\s+power\s+of\b", re.IGNORECASE), "^"),
    (re.compile(r"\bsquared\b", re.IGNORECASE), "^2"),
    (re.compile(r"\bcubed\b", re.IGNORECASE), "^3"),
    (re.compile(r"(?<=\d)\s*(?:percent|per\s+cent)\b", re.IGNORECASE), "%"),
    (re.compile(r"\b(?:the\s+)?square\s+root\s+of\s+(\d+(?:\.\d+)?)", re.IGNORECASE), r"sqrt(\1)"),
    (re.compile(r"\bthe\s+(?:natural\s+)?log(?:arithm)?\s+of\s+(\d+(?:\.\d+)?)", re.IGNORECASE), r"ln(\1)"),
)
_BODY = r"(?P<body>(?:(?:sqrt|ln|log10|exp|min|max|abs|round)\s*\(|of\b|\d[eE][+-]?\d|[\d\s.,+\-−–*/×÷·^%()²³])+)"
_ASKED = re.compile(
    rf"\b(?P<verb>what(?:'s|’s|\s+is|\s+are)|how\s+much\s+is|calculate|compute|evaluate|work\s+out)\s*:?\s+{_BODY}(?P<tail>.?)",
    re.IGNORECASE,
)
_WHOLE = re.compile(rf"^\s*{_BODY}(?P<tail>$)", re.IGNORECASE)
_OPERATION = re.compile(r"[+\-−–*/×÷·^²³]|\bof\b|\w\(", re.IGNORECASE)
# A range, a ratio, a blood pressure, a date: figures with a sign between them that nobody wants worked out.
_NOT_MEANT = re.compile(r"\d+(?:\.\d+)?[-–/]\d+(?:\.\d+)?(?:[-–/]\d+)?")


def expressions(text: str) -> Iterator[str]:
    """Each piece of arithmetic that *text* asks for: behind a word that asks, up to its end, or all there is."""
    for pattern, sign in _WORDED:
        text = pattern.sub(sign, text)
    stripped = re.sub(r"\s*=?\s*\?*\s*$", "", text)
    whole = _WHOLE.match(stripped)
    for found in [whole] if whole else _ASKED.finditer(text):
        if found["tail"] not in ("", "?", "=", "!", ";", ":"):
            continue  # a word follows: the figures belong to a sentence, such as "what is 5 - 10 mg of"
        body = found["body"].strip().rstrip(".,").strip()
        if "min" not in body and "max" not in body and "round" not in body:
            body = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", body)
        ordered = not whole and found["verb"].lower() in ("calculate", "compute", "evaluate", "work out")
        if _OPERATION.search(body) and (ordered or "=" in text or not _NOT_MEANT.fullmatch(body)):
            yield body


def read_expressions(text: str) -> tuple[Reading, ...]:
    """A reading for each expression that can be worked out."""
    readings = []
    for expression in dict.fromkeys(expressions(text)):
        try:
            evaluate(expression)
        except InvalidArguments:
            continue
        readings.append(Reading({"expression": expression}))
    return tuple(readings)


@tool(
    cues=("calculate", "compute"),
    examples=("What is 15% of 240?", "Calculate (3.5 + 2) * 4", "12 times 7", "What is the square root of 144?"),
    reads=read_expressions,
    timeout=2.0,
)
def calculator(expression: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]) -> Output:
    """Work out an arithmetic expression exactly, in decimal numbers of 34 digits.

    :param expression: numbers (also 1.5e3), + - * / ^, brackets, %, "15% of 240", and sqrt, ln, log10, exp,
        min, max, abs, round(x, places). No names, no units.
    """
    result = evaluate(expression)
    sign = "=" if result.exact else "≈"
    return Output(f"{expression} {sign} {result}", {"result": str(result), "exact": result.exact})
