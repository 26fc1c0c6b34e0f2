"""The calculator as a tool, how an expression is found in a question, and arithmetic by a parser of its own: what is
not in the grammar cannot be said.

::

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/" | "of") signed)*          "15% of 240"
    signed  = ("+" | "-") signed | power
    power   = percent (("^" | "**") signed)?               right to left; -2^2 is -4, 2^-1 is 0.5
    percent = atom "%"*
    atom    = number | function "(" sum ("," sum)* ")" | "(" sum ")"

Decimal floating point of 34 digits (IEEE 754-2019 decimal128): 0.1 + 0.2 is 0.3. No names, no attributes,
no assignment; length, depth, exponents and results are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, Underflow
from typing import Annotated, Final

from pydantic import Field

from vital_engine.errors import InvalidArguments

from .tool import Output, Reading, tool

MAX_LENGTH: Final = 500
MAX_DEPTH: Final = 32
MAX_EXPONENT: Final = 1000

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|[-+*/^%(),]))"
)
_SAME_SIGN = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "²": "^2", "³": "^3"})

Function = Callable[[Context, list[Decimal]], Decimal]


@dataclass(frozen=True, slots=True)
class Result:
    """``exact``: no digit was rounded away on the way."""

    value: Decimal
    exact: bool

    def __str__(self) -> str:
        """All digits of an exact result, 15 of a rounded one; scientific below 1e-6 and from 1e21."""
        context = Context(prec=34 if self.exact else 15)
        short = context.plus(self.value)
        if short == 0:
            return "0"
        if -7 < short.adjusted() < 21:
            plain = f"{short:f}"
            return plain.rstrip("0").rstrip(".") if "." in plain else plain
        return f"{short.normalize(context):E}"


def evaluate(expression: str) -> Result:
    """The value of *expression*. InvalidArguments says what is wrong with it, and where."""
    if len(expression) > MAX_LENGTH:
        raise _refused(f"longer than {MAX_LENGTH} characters")
    context = Context(
        prec=34, Emax=MAX_EXPONENT, Emin=-MAX_EXPONENT, traps=[DivisionByZero, InvalidOperation, Overflow, Underflow]
    )
    parser = _Parser(_tokens(expression.translate(_SAME_SIGN)), context)
    try:
        value = parser.result()
    except DivisionByZero:
        raise _refused("division by zero") from None
    except (Overflow, Underflow):
        raise _refused(f"a result beyond 10^±{MAX_EXPONENT}") from None
    except InvalidOperation:
        raise _refused("not defined for these numbers (such as the root or logarithm of a negative one)") from None
    return Result(value, exact=not context.flags[Inexact])


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(expression: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, end = 0, len(expression.rstrip())
    while at < end:
        found = _TOKEN.match(expression, at)
        if found is None or found.lastgroup is None:
            start = at + len(expression[at:]) - len(expression[at:].lstrip())
            raise _refused(f"{expression[start]!r} at {start + 1} is not arithmetic")
        tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
        at = found.end()
    return [*tokens, _Token("end", "", end)]


class _Parser:
    """Recursive descent; each method returns the value of what it has read, and whether that was a percentage."""

    def __init__(self, tokens: list[_Token], context: Context) -> None:
        self._tokens, self._context = tokens, context
        self._at = self._depth = 0

    def result(self) -> Decimal:
        value, _ = self._sum()
        if self._next.kind != "end":
            raise _refused(f"{self._next.text!r} at {self._next.at + 1} is not expected there")
        return value

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> str:
        """The next token's text if it is one of *texts*, which is then read; else an empty string."""
        token = self._next
        if token.kind != "end" and token.text in texts:
            self._at += 1
            return token.text
        return ""

    def _sum(self) -> tuple[Decimal, bool]:
        value, percent = self._product()
        while sign := self._take("+", "-"):
            other, other_percent = self._product()
            if other_percent and not percent:
                raise _refused("adding a percentage to a number has two meanings; write 200 * 1.1, or 200 + 0.1")
            value = self._context.add(value, other) if sign == "+" else self._context.subtract(value, other)
            percent = percent and other_percent
        return value, percent

    def _product(self) -> tuple[Decimal, bool]:
        value, percent = self._signed()
        while sign := self._take("*", "/", "of"):
            if sign == "of" and not percent:
                raise _refused("'of' follows a percentage, as in 15% of 240")
            other, _ = self._signed()
            value = self._context.divide(value, other) if sign == "/" else self._context.multiply(value, other)
            percent = False
        return value, percent

    def _signed(self) -> tuple[Decimal, bool]:
        sign = self._take("+", "-")
        if not sign:
            return self._power()
        self._enter()
        value, percent = self._signed()
        self._depth -= 1
        return (self._context.minus(value) if sign == "-" else value), percent

    def _power(self) -> tuple[Decimal, bool]:
        base, percent = self._percent()
        if not self._take("^", "**"):
            return base, percent
        self._enter()
        exponent, _ = self._signed()
        self._depth -= 1
        if abs(exponent) > MAX_EXPONENT:
            raise _refused(f"an exponent beyond ±{MAX_EXPONENT}")
        if base == 0 and exponent == 0:
            return Decimal(1), False  # as IEEE 754 pow does
        return self._context.power(base, exponent), False

    def _percent(self) -> tuple[Decimal, bool]:
        value, percent = self._atom(), False
        while self._take("%"):
            value, percent = self._context.divide(value, Decimal(100)), True
        return value, percent

    def _atom(self) -> Decimal:
        token = self._next
        if token.kind == "number":
            self._at += 1
            return self._context.create_decimal(token.text)
        if self._take("("):
            value = self._inside()
            self._close()
            return value
        if token.kind == "name" and token.text.lower() in _FUNCTIONS:
            return self._call(token.text.lower())
        if token.kind == "name":
            known = ", ".join(sorted(_FUNCTIONS))
            raise _refused(f"the name {token.text!r} at {token.at + 1}: only {known} are known")
        raise _refused(f"a number is missing at {token.at + 1}")

    def _call(self, name: str) -> Decimal:
        self._at += 1
        if not self._take("("):
            raise _refused(f"{name} needs its arguments in brackets")
        arguments = [self._inside()]
        while self._take(","):
            arguments.append(self._inside())
        self._close()
        low, high, function = _FUNCTIONS[name]
        if not low <= len(arguments) <= high:
            raise _refused(f"{name} takes {low if low == high else f'{low} to {high}'} arguments, not {len(arguments)}")
        return function(self._context, arguments)

    def _inside(self) -> Decimal:
        self._enter()
        value, _ = self._sum()
        self._depth -= 1
        return value

    def _close(self) -> None:
        if not self._take(")"):
            raise _refused(f"a closing bracket is missing at {self._next.at + 1}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH}")


def _round(context: Context, arguments: list[Decimal]) -> Decimal:
    """To the nearest, halves to even (IEEE 754), at 0 to 30 decimal places."""
    places = arguments[1] if len(arguments) == 2 else Decimal(0)
    if places != places.to_integral_value() or not 0 <= places <= 30:
        raise _refused("round takes 0 to 30 decimal places")
    return arguments[0].quantize(Decimal(1).scaleb(-int(places)), context=context)


_FUNCTIONS: Final[Mapping[str, tuple[int, int, Function]]] = {
    "sqrt": (1, 1, lambda context, a: context.sqrt(a[0])),
    "ln": (1, 1, lambda context, a: context.ln(a[0])),
    "log10": (1, 1, lambda context, a: context.log10(a[0])),
    "exp": (1, 1, lambda context, a: context.exp(a[0])),
    "abs": (1, 1, lambda context, a: context.abs(a[0])),
    "round": (1, 2, _round),
    "min": (1, 50, lambda _, a: min(a)),
    "max": (1, 50, lambda _, a: max(a)),
}


def _refused(why: str) -> InvalidArguments:
    return InvalidArguments(f"calculator: expression: {why}", fields=("expression",), service="calculator")


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
# A range, a ratio, a blood pressure, a date: figures with a sign between them that are no calculation.
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
