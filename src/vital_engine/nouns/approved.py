"""Nouns of a pause: the paused turn, its approvals, and the right to continue it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from vital_engine.flow import Outcome

from .asked import Brief, Question, Scope
from .codec import OutcomeForm
from .gathered import Decision, Evidence, Memory, ToolCall, ToolResult, ToolSuggestions
from .provenance import edited

Action = Literal["approve", "reject", "edit"]
ApprovalStatus = Literal[
    "proposed", "approved", "rejected", "edited", "expired", "started", "done", "failed", "outcome_unknown"
]


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """A person's decision on one suggested call.

    :param action: approve, reject or edit.
    :param reason: why; may be empty.
    :param arguments: the new arguments, for an edit.
    """

    action: Action
    reason: str = ""
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """One proposed call that waits for a person, and all that became of it.

    ``tool_call`` is as it was proposed; :attr:`call` is what would run. ``arguments_hash``: SHA-256, in hex, of the
    call's arguments in canonical JSON. ``key``: the idempotency key, fixed when the call is proposed. ``attempts``:
    how often the tool was called. Times are aware.
    """

    tool_call: ToolCall
    run_id: str
    arguments_hash: str
    key: str
    proposed_at: datetime
    expires_at: datetime
    status: ApprovalStatus = "proposed"
    decision: ApprovalDecision | None = None
    by: str = ""
    decided_at: datetime | None = None
    attempts: int = 0
    tool_result: ToolResult | None = None

    @property
    def id(self) -> str:
        """Id of the call."""
        return self.tool_call.id

    @property
    def call(self) -> ToolCall:
        """The call that would be made: the suggested one, with the arguments of an edit."""
        if self.decision is None or self.decision.arguments is None:
            return self.tool_call
        return edited(self.tool_call, self.decision.arguments)

    @property
    def pending(self) -> bool:
        """Whether no decision has been made yet."""
        return self.status == "proposed"


@dataclass(frozen=True, slots=True)
class Paused:
    """All that a turn has made when it pauses, so that nothing is made twice after the pause.

    :param question: the question.
    :param mode: 1 or 3.
    :param brief: the expert.
    :param evidence: what was retrieved.
    :param suggestions: the suggested calls.
    :param memory: what was recalled.
    :param outcomes: step -> outcome, of the steps before the pause.
    :param critical_path: names of the steps that the pause waited for.
    :param seconds: duration of the turn up to the pause.
    :param refused: calls that no person is asked about.
    :param settings: settings of this turn alone.
    """

    question: Question
    mode: int
    brief: Brief
    evidence: Evidence
    suggestions: ToolSuggestions
    memory: Memory
    outcomes: Annotated[Mapping[str, Annotated[Outcome[Any], OutcomeForm]], "by step"] = field(default_factory=dict)
    critical_path: tuple[str, ...] = ()
    seconds: float = 0.0
    refused: tuple[Decision, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PausedTurn:
    """A paused turn and its approvals as they stand now.

    :param paused: what the turn has made.
    :param approvals: one for each call that a person decides.
    :param receipt: the receipt of the answer, once that is stored.
    """

    paused: Paused
    approvals: tuple[Approval, ...]
    receipt: Mapping[str, Any] | None = None

    @property
    def pending(self) -> tuple[Approval, ...]:
        """The approvals without a decision."""
        return tuple(a for a in self.approvals if a.pending)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to continue a paused turn.

    :param run_id: the turn.
    :param scope: tenant and user.
    :param fence: grows with each claim; the store refuses a claim with an older number.
    """

    run_id: str
    scope: Scope
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A turn's place in the queue of its conversation.

    :param scope: tenant and user.
    :param conversation: id of the conversation.
    :param run_id: the turn.
    :param number: the turn with the lowest number runs; also the fencing token.
    """

    scope: Scope
    conversation: str
    run_id: str
    number: int
