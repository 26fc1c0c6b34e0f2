"""What one turn took, and what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from vital_engine.nouns import Question


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the question was asked until the first token, the last token, and all that is known of the answer.

    ``status``: complete, partial or failed. ``degraded``: the steps that did without their own product.
    ``retracted``: its reader was shown a word that is not in the answer. ``known``: the inputs that were had from an earlier turn.
    """

    first_token: float | None
    last_token: float | None
    total: float
    status: str = "complete"
    degraded: tuple[str, ...] = ()
    retracted: bool = False
    known: tuple[str, ...] = ()


Turn: TypeAlias = Callable[[Question], Awaitable[Times]]
"""One way to run a turn, set up: called once for each."""
