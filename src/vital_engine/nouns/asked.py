"""The question and the expert: nouns of the steps ``ask`` and ``brief``."""

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
    """What one turn may use; None: the deployment's limit. The engine checks the values when the question is asked.

    :param seconds: deadline of the whole turn; above 0.
    :param output_tokens: output tokens of the answer; at least 1.
    :param cost_usd: US dollars for tools and model together, 0 or more. A whole number is taken as a Decimal; a binary
        float is refused, because money is exact.
    :param passages: passages of evidence; from 1 to :data:`MOST_PASSAGES`.
    """

    seconds: float | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    passages: int = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks. ``tenant`` and ``user`` have no default on purpose.

    :param text: the question.
    :param tenant: whose documents and turns these are.
    :param user: who asks.
    :param conversation: id of the conversation; None: a single question.
    :param expert: id of the expert who must answer; None: the engine chooses.
    :param limits: what the turn may use.
    :param run_id: id of the turn; empty: the engine makes one.
    :param memory: earlier turns, if you keep them yourself; then nothing is recalled.
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
    """Tenant, user and domains: every search, tool call and database row is bound to a scope.

    :param tenant: whose documents and turns these are.
    :param user: for whom a service works.
    :param domains: domains of documents; empty: all.
    """

    tenant: str
    user: str
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expert:
    """A profile: instructions, model, tools and knowledge of the expert who answers.

    :param id: stable id.
    :param name: for people.
    :param description: what the router compares questions with.
    :param instructions: the system message.
    :param model: name of the model; None: the deployment's.
    :param temperature: sampling temperature.
    :param max_output_tokens: output tokens of one answer.
    :param tools: tools that the expert may use; empty: all.
    :param domains: domains of documents that are searched; empty: all.
    :param modes: modes in which the expert may answer.
    """

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
    """The chosen expert.

    :param expert: who answers.
    :param reason: why this expert.
    :param scores: expert id -> method -> score.
    :param fallback: whether no expert fitted, so that the fallback expert answers.
    """

    expert: Expert
    reason: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fallback: bool = False
