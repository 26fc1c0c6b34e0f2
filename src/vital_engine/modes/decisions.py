"""What a person says to proposed calls, in all the forms in which it may be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from vital_engine.errors import InvalidArguments, Refused
from vital_engine.flow import call
from vital_engine.nouns import ApprovalDecision, PausedTurn
from vital_engine.ports import ArgumentValidator

Decisions: TypeAlias = Mapping[str, Any]
"""Proposal id -> ``"approve"``, ``"reject"``, ``("reject", reason)``, ``("edit", arguments)``, or a :class:`ApprovalDecision`."""


def decisions_of(decisions: Decisions) -> dict[str, ApprovalDecision]:
    """*decisions*, read. InvalidArguments for what is none."""
    return {str(call_id): _ruling(call_id, said) for call_id, said in decisions.items()}


def _ruling(call_id: str, said: Any) -> ApprovalDecision:
    match said:
        case ApprovalDecision(action="edit", arguments=None):
            pass
        case ApprovalDecision(action="approve" | "reject" | "edit"):
            return said
        case "approve" | "reject":
            return ApprovalDecision(said)
        case ("approve" | "reject" as action, str() as reason):
            return ApprovalDecision(action, reason)
        case ("edit", Mapping() as arguments):
            return ApprovalDecision("edit", arguments=dict(arguments))
        case ("edit", Mapping() as arguments, str() as reason):
            return ApprovalDecision("edit", reason, dict(arguments))
        case _:
            pass
    raise InvalidArguments(
        f'the decision on {call_id!r} must be "approve", "reject", ("reject", reason) or ("edit", arguments), not {said!r}'
    )


async def validated(
    turn: PausedTurn, decisions: Mapping[str, ApprovalDecision], argument_validator: ArgumentValidator | None
) -> dict[str, ApprovalDecision]:
    """*rulings*, with the arguments of each edit as the tool would take them.

    :raises InvalidArguments: the tool refuses them.
    :raises Refused: nobody here knows what the tool takes, so that a call cannot be edited.
    """
    tool_calls = {a.id: a.tool_call for a in turn.approvals}
    result = dict(decisions)
    for call_id, decision in decisions.items():
        if decision.arguments is None or call_id not in tool_calls:
            continue
        if argument_validator is None:
            raise Refused("calls can be approved and rejected here, but not edited")
        edited = await call(argument_validator.validate, replace(tool_calls[call_id], arguments=decision.arguments))
        result[call_id] = replace(decision, arguments=edited.arguments)
    return result
