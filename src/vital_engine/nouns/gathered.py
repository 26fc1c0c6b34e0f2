"""What is known before the model answers: nouns of the steps of tier 1, ``consent`` and ``invoke``."""

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
    """A stretch of a stored document.

    :param id: id of the passage.
    :param text: its text.
    :param document: id of the document.
    :param title: title of the document.
    :param start: offset of the first character in the document's text.
    :param end: offset behind the last character.
    :param page: page number, from 1; None: the document has no pages.
    :param source: where the document comes from, for example a URL.
    :param domain: domain of the document.
    :param score: fused score; higher is better.
    :param scores: method -> score.
    """

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
    """Passages, best first. The answer cites passage *i* (from 0) as ``[i + 1]``.

    :param passages: what was found.
    :param failed: the search failed; this is different from finding nothing.
    :param index_version: version of the index that was searched.
    :param notes: what the search had to do without, for example vectors. Evidence with notes is not cached.
    :param cached: found for an earlier question, or for another one at the same time.
    """

    passages: tuple[Passage, ...] = ()
    failed: bool = False
    index_version: str = ""
    notes: tuple[str, ...] = ()
    cached: bool = False

    @classmethod
    def missing(cls) -> Evidence:
        """The fallback value of a failed search."""
        return cls(failed=True)


class Effect(StrEnum):
    """What a tool does to the world. It decides who may approve a call and whether the engine may repeat or hedge it.

    ``PURE`` computes. ``READ`` reads. ``KEYED_WRITE`` writes, and a repeated call with the same idempotency key writes
    once. ``EFFECT`` acts outside of the engine.
    """

    PURE = "pure"
    READ = "read"
    KEYED_WRITE = "keyed_write"
    EFFECT = "effect"


class ArgumentSource(StrEnum):
    """Where the arguments of a suggested call come from. Only the first two are the user's own words."""

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
    """A suggested tool call: not yet approved, not yet made.

    :param id: id of the call, and its idempotency key.
    :param tool: name of the tool.
    :param arguments: its arguments, as JSON values.
    :param reason: why the call is suggested.
    :param score: how well the tool fits the question.
    :param cost_usd: estimated cost.
    :param effect: what the tool does to the world.
    :param tainted: whether the arguments may hold text that the user did not write, such as documents or tool results.
        The engine computes it when the call enters the turn (:mod:`vital_engine.nouns.provenance`); a suggester may set
        it, not clear it.
    :param definition: hash of the tool's definition; a tool that has changed since voids an approval. Empty: unknown.
    :param needs_consent: whether only a person may approve the call, whatever its effect.
    :param sources: where the suggester read the arguments from; empty: it does not say.
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
    """Suggested tool calls, best first.

    :param tool_calls: the calls.
    :param failed: the suggestion failed; this is different from suggesting nothing.
    :param cached: known from the same question before.
    :param calls: the paid model calls that suggested them, if a model did.
    """

    tool_calls: tuple[ToolCall, ...] = ()
    failed: bool = False
    cached: bool = False
    calls: tuple[Call, ...] = ()

    @classmethod
    def missing(cls) -> ToolSuggestions:
        """The fallback value of a failed suggestion."""
        return cls(failed=True)


@dataclass(frozen=True, slots=True)
class PastTurn:
    """An earlier turn of a conversation.

    :param question: what the user asked.
    :param answer: what the engine answered.
    :param run_id: id of the turn; empty: unknown.
    """

    question: str
    answer: str
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What was said before.

    :param turns: earlier turns of the conversation, oldest first.
    :param summary: a summary of turns that are older still.
    :param facts: what is known of the user.
    :param failed: recalling failed; this is different from having no memory.
    """

    turns: tuple[PastTurn, ...] = ()
    summary: str = ""
    facts: tuple[str, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Memory:
        """The fallback value of a failed recall."""
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
    """The decisions on all suggested tool calls.

    :param decisions: one for each call.
    """

    decisions: tuple[Decision, ...] = ()

    @property
    def approved(self) -> tuple[ToolCall, ...]:
        """The calls that may be made."""
        return tuple(d.tool_call for d in self.decisions if d.approved)

    @classmethod
    def missing(cls) -> Consent:
        """The fallback value: no call is approved."""
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
    """The results of all approved calls.

    :param results: one for each call.
    :param failed: the calls could not be made at all.
    """

    results: tuple[ToolResult, ...] = ()
    failed: bool = False

    @property
    def cost_usd(self) -> Decimal:
        """US dollars of all calls that were made, also of those that failed: their providers may charge for them."""
        return sum((f.tool_call.cost_usd for f in self.results if f.status != "void"), Decimal(0))

    @classmethod
    def missing(cls) -> ToolResults:
        """The fallback value of a failed invocation."""
        return cls(failed=True)


def passages_of(found: Sequence[Passage]) -> tuple[Passage, ...]:
    """*found* as a tuple of passages.

    :param found: what a retriever returned.
    :returns: the same passages.
    :raises TypeError: it is no sequence of :class:`Passage`.
    """
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise TypeError(f"expected a sequence of Passage, got {type(found).__name__}")
    for item in found:
        if not isinstance(item, Passage):
            raise TypeError(f"expected a Passage, got {type(item).__name__}")
    return tuple(found)
