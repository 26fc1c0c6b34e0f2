"""What stands still while a person decides: the nouns of a pause, its approvals, and who may go on."""

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
    """What a person says to one proposed call. ``arguments``: the new ones, for an edit."""

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
        return self.tool_call.id

    @property
    def call(self) -> ToolCall:
        """The call as it may run: with the arguments of a person's edit."""
        if self.decision is None or self.decision.arguments is None:
            return self.tool_call
        return edited(self.tool_call, self.decision.arguments)

    @property
    def pending(self) -> bool:
        return self.status == "proposed"


@dataclass(frozen=True, slots=True)
class Paused:
    """What a turn had made when it was paused: all that the rest of it needs, so that nothing is made twice.

    ``outcomes``: of the steps before the pause. ``settings``: what the request had set for this turn alone. ``refused``: calls
    that no person is asked about. ``seconds``: what the turn had taken by then.
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
    """A paused turn, its approvals as they stand now, and the receipt of its answer once that is kept."""

    paused: Paused
    approvals: tuple[Approval, ...]
    receipt: Mapping[str, Any] | None = None

    @property
    def pending(self) -> tuple[Approval, ...]:
        return tuple(a for a in self.approvals if a.pending)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to go on with a paused turn. ``fence`` grows with each claim: whoever holds an older one is refused."""

    run_id: str
    scope: Scope
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A turn's place in the line of its conversation; the lowest number speaks. ``number`` is the fencing token."""

    scope: Scope
    conversation: str
    run_id: str
    number: int
