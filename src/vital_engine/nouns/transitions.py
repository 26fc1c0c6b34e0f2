"""The life of an approval, as pure transitions: what may follow what. Whoever keeps approvals only stores the result.

::

    proposed -> approved | rejected | edited | expired
    approved, edited -> started (kept BEFORE the call) -> done | failed | outcome_unknown
    approved, edited -> failed                        (void: the tool has changed or refuses the arguments)

A ruling settles an approval once: the same again returns the first, another is a Conflict. A call that was started and
left no result was cut. What may be repeated (PURE, READ) or is made once by its key (KEYED_WRITE, same key) is called
again; an EFFECT is not: nobody knows whether it happened, and its ``outcome_unknown`` is never left by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from vital_engine.errors import Conflict, Expired, InvalidArguments, NotFound, Refused

from .approved import Approval, ApprovalDecision, ApprovalStatus, Paused
from .gathered import Effect, ToolCall, ToolResult

SETTLED: Final[Mapping[str, ApprovalStatus]] = MappingProxyType(
    {"approve": "approved", "reject": "rejected", "edit": "edited"}
)
UNKNOWN: Final = "outcome_unknown"
MAX_ARGUMENT_BYTES: Final = 65_536
"""Of one call, as JSON: a person must be able to read what they approve."""


def canonical(arguments: Mapping[str, Any]) -> str:
    """*arguments* as JSON with sorted keys and no spaces. InvalidArguments for what is not JSON, or too much of it."""
    try:
        text = json.dumps(arguments, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidArguments(f"the arguments are not JSON: {error}") from None
    if len(text) > MAX_ARGUMENT_BYTES:
        raise InvalidArguments(f"the arguments have more than {MAX_ARGUMENT_BYTES} characters")
    return text


def hash_of(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical arguments, in hex."""
    return hashlib.sha256(canonical(arguments).encode(errors="surrogatepass")).hexdigest()


def asked(paused: Paused) -> tuple[ToolCall, ...]:
    """The proposals that a person is asked about. Two of one id: the first (an id is one call)."""
    refused = {decision.tool_call.id for decision in paused.refused}
    first: dict[str, ToolCall] = {}
    for tool_call in paused.suggestions.tool_calls:
        if tool_call.id not in refused:
            first.setdefault(tool_call.id, tool_call)
    return tuple(first.values())


def proposed(paused: Paused, *, now: datetime, seconds: float) -> tuple[Approval, ...]:
    """One approval for each proposal that a person is asked about, open until *now* + *seconds*."""
    until, run_id = now + timedelta(seconds=seconds), paused.question.run_id
    return tuple(Approval(p, run_id, hash_of(p.arguments), p.id, now, until) for p in asked(paused))


def lapse(approval: Approval, now: datetime) -> Approval:
    """The approval as it stands at *now*: one that nobody settled in time has expired."""
    if approval.pending and now >= approval.expires_at:
        return replace(approval, status="expired", decided_at=approval.expires_at)
    return approval


def decide(approval: Approval, decision: ApprovalDecision, *, by: str, now: datetime) -> Approval:
    """The approval as *ruling* settles it; settled the same way before: as it is.

    :raises Conflict: it was settled otherwise.
    :raises Expired: the time to decide has passed.
    """
    first = approval.decision
    if first is not None:
        edits = first.action == "edit" and hash_of(first.arguments or {}) != hash_of(decision.arguments or {})
        if first.action != decision.action or edits:
            raise Conflict(f"the call {approval.id} was {SETTLED[first.action]} by {approval.by or 'somebody'} before")
        return approval
    if lapse(approval, now).status == "expired":
        raise Expired(f"the call {approval.id} could be decided until {approval.expires_at.isoformat()}")
    arguments = decision.arguments if decision.action == "edit" else None
    return replace(
        approval,
        status=SETTLED[decision.action],
        decision=replace(decision, arguments=arguments),
        arguments_hash=approval.arguments_hash if arguments is None else hash_of(arguments),
        by=by,
        decided_at=now,
    )


def decide_all(
    approvals: Iterable[Approval], decisions: Mapping[str, ApprovalDecision], *, by: str, now: datetime
) -> tuple[Approval, ...]:
    """All of *rulings* or, where one of them is refused, none. NotFound for an id that is not among them."""
    known = {a.id: a for a in approvals}
    for unknown in decisions.keys() - known.keys():
        raise NotFound(f"no proposed call {unknown}")
    return tuple(
        decide(a, decisions[a.id], by=by, now=now) if a.id in decisions else lapse(a, now) for a in known.values()
    )


def start(approval: Approval) -> tuple[Approval, bool]:
    """The approval as its call begins, and whether to make the call now.

    :raises Refused: nobody has approved it.
    """
    match approval.status:
        case "approved" | "edited":
            return replace(approval, status="started", attempts=1), True
        case "started" if approval.tool_call.effect is Effect.EFFECT:
            cut = ToolResult(approval.call, UNKNOWN, error="tool.cut")
            return replace(approval, status="outcome_unknown", tool_result=cut), False
        case "started":
            return replace(approval, attempts=approval.attempts + 1), True
        case "done" | "failed" | "outcome_unknown":
            return approval, False
        case _:
            raise Refused(f"the call {approval.id} is {approval.status}: it may not run")


def finish(approval: Approval, tool_result: ToolResult) -> Approval:
    """The approval with what became of its call; the first result stands."""
    if approval.tool_result is not None:
        return approval
    if tool_result.status == "done":
        return replace(approval, status="done", tool_result=tool_result)
    return replace(
        approval, status="outcome_unknown" if tool_result.status == UNKNOWN else "failed", tool_result=tool_result
    )
