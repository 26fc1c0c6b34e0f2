"""What a person says to proposed calls, in all the forms in which it may be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from vital_engine.errors import InvalidArguments, Refused
from vital_engine.flow import call
from vital_engine.nouns import PausedTurn, Ruling
from vital_engine.ports import Vetter

Decisions: TypeAlias = Mapping[str, Any]
"""Proposal id -> ``"approve"``, ``"reject"``, ``("reject", reason)``, ``("edit", arguments)``, or a :class:`Ruling`."""


def rulings_of(decisions: Decisions) -> dict[str, Ruling]:
    """*decisions*, read. InvalidArguments for what is none."""
    return {str(call_id): _ruling(call_id, said) for call_id, said in decisions.items()}


def _ruling(call_id: str, said: Any) -> Ruling:
    match said:
        case Ruling(action="edit", arguments=None):
            pass
        case Ruling(action="approve" | "reject" | "edit"):
            return said
        case "approve" | "reject":
            return Ruling(said)
        case ("approve" | "reject" as action, str() as reason):
            return Ruling(action, reason)
        case ("edit", Mapping() as arguments):
            return Ruling("edit", arguments=dict(arguments))
        case ("edit", Mapping() as arguments, str() as reason):
            return Ruling("edit", reason, dict(arguments))
        case _:
            pass
    raise InvalidArguments(
        f'the decision on {call_id!r} must be "approve", "reject", ("reject", reason) or ("edit", arguments), not {said!r}'
    )


async def vetted(turn: PausedTurn, rulings: Mapping[str, Ruling], vetter: Vetter | None) -> dict[str, Ruling]:
    """*rulings*, with the arguments of each edit as the tool would take them.

    :raises InvalidArguments: the tool refuses them.
    :raises Refused: nobody here knows what the tool takes, so that a call cannot be edited.
    """
    proposals = {a.id: a.proposal for a in turn.approvals}
    result = dict(rulings)
    for call_id, ruling in rulings.items():
        if ruling.arguments is None or call_id not in proposals:
            continue
        if vetter is None:
            raise Refused("calls can be approved and rejected here, but not edited")
        edited = await call(vetter.vet, replace(proposals[call_id], arguments=ruling.arguments))
        result[call_id] = replace(ruling, arguments=edited.arguments)
    return result
