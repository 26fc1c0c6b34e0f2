"""Tables, and figures as a reader meets them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vital_engine.bench.summary import Spread

NOTHING = "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """The first *left* columns are text, the others figures."""
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join(_line(row) for row in (head, rule, *rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def told(value: float | None, unit: str) -> str:
    """*value* in *unit*: ``s`` (shown in ms), ``share`` (in per cent), ``ratio``, or a plain number."""
    if value is None:
        return NOTHING
    match unit:
        case "s":
            return f"{1000 * value:,.2f} ms"
        case "share":
            return f"{value:.2%}"
        case "ratio":
            return f"{value:.4f}"
        case _:
            return number(value)


def ms(seconds: float | None, digits: int = 1) -> str:
    return NOTHING if seconds is None else f"{1000 * seconds:,.{digits}f}"


def share(value: float | None, digits: int = 2) -> str:
    return NOTHING if value is None else f"{value:.{digits}%}"


def number(value: float | None, digits: int | None = None) -> str:
    """As many digits as it takes, if nobody says how many."""
    if value is None:
        return NOTHING
    if digits is None:
        digits = 0 if value == int(value) or abs(value) >= 1000 else 2
    return f"{value:,.{digits}f}"


def of(spread: Spread | None, quantile: str) -> float | None:
    return None if spread is None else spread.quantiles.get(quantile)
