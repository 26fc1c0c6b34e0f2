"""A call that is paid for, and what it used: of the model that answers, and of one that suggests tools before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by class, as the server reported them. ``cached`` is part of ``input``, ``reasoning`` of ``output``."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A paid call, for pricing. ``status``: done, partial, failed, cancelled, or discarded (its words were not shown).

    ``purpose``: reply, suggest, or why the words of a discarded one were not shown.
    """

    id: str
    purpose: str
    model: str
    provider: str
    usage: Usage | None
    status: str = "done"
