"""Options that several commands share, and the limits of a turn as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import typer

from vital_engine.errors import InvalidQuestion
from vital_engine.nouns import Limits

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None, typer.Option(help="The model: a name on --model-url, a .gguf file, smollm2 or extractive.")
]
ModelUrl = Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible server.")]
Tenant = Annotated[str | None, typer.Option(help="The tenant whose documents are used; default: the settings'.")]
Mode = Annotated[
    int, typer.Option(help="1: you approve tools; 2: the policy does; 3 and 4: the same in a conversation.")
]
Profile = Annotated[str | None, typer.Option(help="dataflow, tiers or sequential.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting of the turn, as name=value. Repeatable.")]
Limit = Annotated[
    list[str] | None,
    typer.Option("--limit", help="What the turn may use, as name=value: seconds, output_tokens, cost_usd, passages."),
]
_LIMITS: Final[Mapping[str, Callable[[str], Any]]] = {
    "seconds": float,
    "output_tokens": int,
    "cost_usd": Decimal,
    "passages": int,
}


def limits_of(typed: Iterable[str]) -> Limits:
    """``["cost_usd=0.01", "passages=4"]`` as limits.

    :raises InvalidQuestion: there is no such limit, or it is not of its type or its range.
    """
    given = {}
    for text in typed:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in _LIMITS:
            raise InvalidQuestion(f"--limit wants name=value, one of {', '.join(_LIMITS)}, not {text!r}")
        try:
            given[name] = _LIMITS[name](value)
        except (ValueError, InvalidOperation):
            raise InvalidQuestion(f"--limit {name} must be a number, not {value!r}") from None
    return Limits(**given)
