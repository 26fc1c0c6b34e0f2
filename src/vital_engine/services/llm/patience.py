"""How long a model is waited for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Patience"]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection (and for a free one of the pool), for the first token of one attempt, for any
    next chunk, and for all of it, retries included."""

    connect: float = 5.0
    first: float = 60.0
    silence: float = 30.0
    total: float = 300.0
