"""What is found before the model speaks: the nouns of gather, consent and invoke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from .paid import Call


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a stored document. ``start``/``end`` are offsets into the document's text, page is from 1."""

    id: str
    text: str
    document: str = ""
    title: str = ""
    start: int = 0
    end: int = 0
    page: int | None = None
    source: str = ""
    domain: str = ""
    score: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Passages, best first; passage *i* is cited as ``[i + 1]``. ``failed`` says that nobody could look.

    ``notes`` say what the search had to do without ("words only: ..."); such Evidence is not to be cached.
    ``cached``: it was found for an earlier question, or for another that is being asked just now.
    """

    passages: tuple[Passage, ...] = ()
    failed: bool = False
    index_version: str = ""
    notes: tuple[str, ...] = ()
    cached: bool = False

    @classmethod
    def missing(cls) -> Evidence:
        return cls(failed=True)


class Effect(StrEnum):
    """What a tool does to the world; decides who may approve, repeat, hedge or guess it."""

    PURE = "pure"
    READ = "read"
    KEYED_WRITE = "keyed_write"
    EFFECT = "effect"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that someone suggests: not yet allowed, not yet run.

    ``definition`` is the hash of the tool as it was when the call was proposed: a tool that has changed
    since voids what was approved. Empty: not known.
    """

    id: str
    tool: str
    arguments: Mapping[str, Any]
    reason: str = ""
    score: float = 0.0
    cost_usd: Decimal = Decimal(0)
    effect: Effect = Effect.PURE
    tainted: bool = False
    definition: str = ""


@dataclass(frozen=True, slots=True)
class ToolSuggestions:
    """Tool calls worth making, best first. ``cached``: read out of the same question before. ``calls``: what was paid for
    them, where a model was asked."""

    tool_calls: tuple[ToolCall, ...] = ()
    failed: bool = False
    cached: bool = False
    calls: tuple[Call, ...] = ()

    @classmethod
    def missing(cls) -> ToolSuggestions:
        return cls(failed=True)


@dataclass(frozen=True, slots=True)
class PastTurn:
    question: str
    answer: str
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Earlier turns of this conversation, oldest first; a summary of older ones; what is known of the user.

    ``by_question``: there are more turns than the latest, and which of those are here depends on the question.
    """

    turns: tuple[PastTurn, ...] = ()
    summary: str = ""
    facts: tuple[str, ...] = ()
    failed: bool = False
    by_question: bool = False

    @classmethod
    def missing(cls) -> Memory:
        return cls(failed=True)


@dataclass(frozen=True, slots=True)
class Guess:
    """What gathering will probably find, known before it has; ``source`` says who thinks so. It is never shown: a prompt
    made of it counts only if the prompt made of what was found is the same to the character."""

    evidence: Evidence
    suggestions: ToolSuggestions
    memory: Memory
    source: str = ""


@dataclass(frozen=True, slots=True)
class Guessed:
    """What became of a turn's guess: who made it, whether it was ``right`` (None: there was none), and whether the model
    had started on it (``used``)."""

    source: str = ""
    right: bool | None = None
    used: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether one proposed call may run, who said so, why, and when (None: a policy, in the course of the turn)."""

    tool_call: ToolCall
    approved: bool
    by: str
    reason: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    decisions: tuple[Decision, ...] = ()

    @property
    def approved(self) -> tuple[ToolCall, ...]:
        return tuple(d.tool_call for d in self.decisions if d.approved)

    @classmethod
    def missing(cls) -> Consent:
        return cls()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One tool result. ``status`` is "done" or a reason code; ``text`` is what the model reads."""

    tool_call: ToolCall
    status: str
    text: str = ""
    value: Any = None
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ToolResults:
    results: tuple[ToolResult, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> ToolResults:
        return cls(failed=True)


def passages_of(found: Sequence[Passage]) -> tuple[Passage, ...]:
    """*found* as a tuple, or TypeError if anything in it is not a Passage."""
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise TypeError(f"expected a sequence of Passage, got {type(found).__name__}")
    for item in found:
        if not isinstance(item, Passage):
            raise TypeError(f"expected a Passage, got {type(item).__name__}")
    return tuple(found)
