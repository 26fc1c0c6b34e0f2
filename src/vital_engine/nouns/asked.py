"""Who asks what, and who answers: the nouns of ask and brief."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from .gathered import Memory

MOST_PASSAGES: Final = 100
"""Of one turn: more would fill the prompt of any model."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one turn may use; None leaves it to the deployment. Checked when the question is asked.

    :param seconds: the turn's whole deadline; above 0.
    :param output_tokens: of the answer; at least 1.
    :param cost_usd: US dollars for tools and model together, 0 or more. A whole number is taken as a Decimal; a binary
        float is refused, since money is exact.
    :param passages: of evidence; from 1 to :data:`MOST_PASSAGES`.
    """

    seconds: float | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    passages: int = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asked, and who they are. ``tenant`` and ``user`` have no default on purpose.

    ``memory``: what was said before, of a caller who keeps that; then nothing is recalled.
    """

    text: str
    tenant: str
    user: str
    conversation: str | None = None
    expert: str | None = None
    limits: Limits = Limits()
    run_id: str = ""
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom and where a service works: what every search, tool call and row is bound to."""

    tenant: str
    user: str
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expert:
    """A profile: who answers, with what model, tools and knowledge. An empty tuple means "all"."""

    id: str
    name: str
    description: str
    instructions: str
    model: str | None = None
    temperature: float = 0.0
    max_output_tokens: int = 1024
    tools: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    modes: tuple[int, ...] = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Brief:
    """The expert chosen, why, and how each method scored each candidate (expert id -> method -> score)."""

    expert: Expert
    reason: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fallback: bool = False
