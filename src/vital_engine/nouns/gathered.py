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
    """What a tool does to the world; decides who may approve, repeat or hedge it."""

    PURE = "pure"
    READ = "read"
    KEYED_WRITE = "keyed_write"
    EFFECT = "effect"


class ArgumentSource(StrEnum):
    """Where the arguments of a proposed call come from. Only the first two are the person's own words."""

    QUESTION = "question"
    PERSON = "person"
    """A person wrote them in an edit."""
    CONVERSATION = "conversation"
    """Earlier turns and answers, recalled or handed in, and what is known of the user."""
    EVIDENCE = "evidence"
    TOOLS = "tools"
    """Results of other calls."""
    MODEL = "model"
    """A model wrote them; what it has read is named beside."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that someone suggests: not yet allowed, not yet run.

    ``definition`` is the hash of the tool as it was when the call was proposed: a tool that has changed
    since voids what was approved. Empty: not known. ``needs_consent``: no policy may approve it, whatever its effect.

    ``sources``: what the suggester read the arguments from; empty: it does not say. ``tainted``: they may hold text that
    is not the person's own. The engine works it out when the proposal enters the turn (:mod:`vital_engine.nouns.provenance`);
    a suggester may set it, and cannot clear it.
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
    needs_consent: bool = False
    sources: tuple[ArgumentSource, ...] = ()


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
    """Earlier turns of this conversation, oldest first; a summary of older ones; what is known of the user."""

    turns: tuple[PastTurn, ...] = ()
    summary: str = ""
    facts: tuple[str, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Memory:
        return cls(failed=True)


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

    @property
    def cost_usd(self) -> Decimal:
        """US dollars of the calls that were made, also of those that failed: who is asked may send a bill."""
        return sum((f.tool_call.cost_usd for f in self.results if f.status != "void"), Decimal(0))

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
