"""The states of an approval, as pure transitions. A service that stores approvals only stores the results.

::

    proposed -> approved | rejected | edited | expired
    approved, edited -> started (stored BEFORE the call) -> done | failed | outcome_unknown
    approved, edited -> failed                        (void: the tool has changed or refuses the arguments)

An approval is decided once: the same decision again returns the first result, another one is a Conflict. A call that
was started and left no result was interrupted. The engine repeats it if it may be repeated (PURE, READ) or takes effect
once by its key (KEYED_WRITE). It does not repeat an EFFECT, because it cannot know whether the effect took place: such
a call stays ``outcome_unknown``.
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
    """*arguments* as JSON with sorted keys and no spaces.

    :param arguments: of a tool call.
    :returns: at most :data:`MAX_ARGUMENT_BYTES` characters.
    :raises InvalidArguments: the arguments are not JSON, or too long.
    """
    try:
        text = json.dumps(arguments, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidArguments(f"the arguments are not JSON: {error}") from None
    if len(text) > MAX_ARGUMENT_BYTES:
        raise InvalidArguments(f"the arguments have more than {MAX_ARGUMENT_BYTES} characters")
    return text


def hash_of(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical arguments, in hex.

    :param arguments: of a tool call.
    :raises InvalidArguments: see :func:`canonical`.
    """
    return hashlib.sha256(canonical(arguments).encode(errors="surrogatepass")).hexdigest()


def asked(paused: Paused) -> tuple[ToolCall, ...]:
    """The calls that a person decides on. Of two calls with one id only the first counts.

    :param paused: the paused turn.
    """
    refused = {decision.tool_call.id for decision in paused.refused}
    first: dict[str, ToolCall] = {}
    for tool_call in paused.suggestions.tool_calls:
        if tool_call.id not in refused:
            first.setdefault(tool_call.id, tool_call)
    return tuple(first.values())


def proposed(paused: Paused, *, now: datetime, seconds: float) -> tuple[Approval, ...]:
    """One approval for each call that a person decides on.

    :param paused: the paused turn.
    :param now: when it pauses; aware.
    :param seconds: how long the person may take.
    """
    until, run_id = now + timedelta(seconds=seconds), paused.question.run_id
    return tuple(Approval(p, run_id, hash_of(p.arguments), p.id, now, until) for p in asked(paused))


def lapse(approval: Approval, now: datetime) -> Approval:
    """*approval* as it stands at *now*: ``expired`` if it was not decided in time.

    :param approval: the approval.
    :param now: aware.
    """
    if approval.pending and now >= approval.expires_at:
        return replace(approval, status="expired", decided_at=approval.expires_at)
    return approval


def decide(approval: Approval, decision: ApprovalDecision, *, by: str, now: datetime) -> Approval:
    """Apply one decision.

    :param approval: as it is stored.
    :param decision: what the person decides.
    :param by: the person.
    :param now: aware.
    :returns: the decided approval; the stored one if it was decided in the same way before.
    :raises Conflict: it was decided differently before.
    :raises Expired: the time to decide has passed.
    """
    first = approval.decision
    if first is not None:
        edits = first.action == "edit" and hash_of(first.arguments or {}) != hash_of(decision.arguments or {})
        if first.action != decision.action or edits:
            raise Conflict(
                f"the call {approval.id} was {SETTLED[first.action]} by {approval.by or 'another person'} before"
            )
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
    """Apply all of *decisions*, or none of them.

    :param approvals: of one turn.
    :param decisions: approval id -> decision.
    :param by: the person who decides.
    :param now: aware.
    :returns: all approvals of the turn.
    :raises NotFound: an id belongs to none of *approvals*.
    :raises Conflict: see :func:`decide`.
    :raises Expired: see :func:`decide`.
    """
    known = {a.id: a for a in approvals}
    for unknown in decisions.keys() - known.keys():
        raise NotFound(f"no proposed call {unknown}")
    return tuple(
        decide(a, decisions[a.id], by=by, now=now) if a.id in decisions else lapse(a, now) for a in known.values()
    )


def start(approval: Approval) -> tuple[Approval, bool]:
    """The transition at the beginning of a call.

    :param approval: as it is stored.
    :returns: the approval to store, and whether to make the call now.
    :raises Refused: the call is not approved.
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
    """The transition at the end of a call.

    :param approval: as it is stored.
    :param tool_result: of the call.
    :returns: the approval to store; the first result counts.
    """
    if approval.tool_result is not None:
        return approval
    if tool_result.status == "done":
        return replace(approval, status="done", tool_result=tool_result)
    return replace(
        approval, status="outcome_unknown" if tool_result.status == UNKNOWN else "failed", tool_result=tool_result
    )
