"""Who approves tool calls: a policy, which decides within the turn, or a person, for whom the turn pauses.

Both are an :class:`Approver`: given what the opening of a turn has made, it returns a :class:`Consent`, or a
:class:`Pause` with what waits for a decision. Both refuse a tool that the expert may not use.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias

from vital_engine.errors import Conflict, InvalidArguments, Refused
from vital_engine.flow import Done, Outcome, call
from vital_engine.nouns import (
    Approval,
    ApprovalDecision,
    Brief,
    Claim,
    Consent,
    Decision,
    Effect,
    Evidence,
    Memory,
    Paused,
    PausedTurn,
    Question,
    Scope,
    ToolCall,
    ToolResults,
    ToolSuggestions,
)
from vital_engine.nouns.codec import to_json
from vital_engine.nouns.transitions import asked
from vital_engine.ports import Approvals, ArgumentValidator
from vital_engine.turn.plan import CONSENT, INVOKE

from .settings import KEYS, TurnSettings

POLICY = "policy"
UNDECIDED = "nobody"
"""In the place of a person, where an approval expired."""
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between two looks at a turn that another process goes on with: from the first, growing, to the second."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a turn has made when its tool calls are to be decided.

    :param question: the question.
    :param brief: the expert.
    :param suggestions: the suggested calls.
    :param settings: of this turn.
    :param deployed: the workflow's settings, without those of this turn.
    :param mode: 1 to 4.
    :param evidence: what was retrieved.
    :param memory: what was recalled.
    :param outcomes: step -> how it ended.
    :param critical_path: names of the steps that the decision waited for.
    :param seconds: duration of the turn so far.
    """

    question: Question
    brief: Brief
    suggestions: ToolSuggestions
    settings: TurnSettings
    deployed: TurnSettings
    mode: int = 0
    evidence: Evidence = Evidence()
    memory: Memory = Memory()
    outcomes: Mapping[str, Outcome[Any]] = field(default_factory=dict)
    critical_path: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause(Consent):
    """No consent yet: ``turn`` waits for a person."""

    turn: PausedTurn | None = None


class Approver(Protocol):
    """Decides which of the suggested calls may run. ``waits``: whether a decision may take as long as a person takes."""

    waits: bool

    async def decide(self, opened: Opened) -> Consent | Pause:
        """Decide which of the suggested calls may run.

        :param opened: what the turn has made so far.
        :returns: the decisions, or a pause.
        """


# -- a policy
class Policy:
    """The automatic modes. Pure: (suggestions, expert, settings) -> decisions, each with its reason.

    The rules, in order: a tool that the expert may not use, one that is on the never-automatic list, one with effects outside
    of the engine, one whose tool demands a person's consent, one whose arguments may hold text that is not the person's own
    and that is more than a calculation, and a call that would exceed the turn's ceiling, all need a person.
    """

    waits = False

    async def decide(self, opened: Opened) -> Consent:
        """Decide by :func:`by_policy`.

        :param opened: what the turn has made so far.
        """
        ceiling = opened.question.limits.cost_usd
        return by_policy(opened.suggestions, opened.brief, opened.settings, ceiling)


def by_policy(
    suggestions: ToolSuggestions, brief: Brief, settings: TurnSettings, ceiling: Decimal | None = None
) -> Consent:
    """Decide each call, best first.

    :param suggestions: the suggested calls.
    :param brief: the expert.
    :param settings: of the turn.
    :param ceiling: the question's own ceiling in USD; the lower of both counts. None: only the settings' ceiling
        counts.
    :returns: a decision for each call, with its reason.
    """
    limit = settings.tool_cost_ceiling_usd if ceiling is None else min(ceiling, settings.tool_cost_ceiling_usd)
    spent = Decimal(0)
    decisions = []
    for tool_call in suggestions.tool_calls:
        refusal = _refusal(tool_call, brief, settings, limit - spent)
        if not refusal:
            spent += tool_call.cost_usd
        reason = refusal or f"allowed to {brief.expert.id}, {tool_call.effect.value}, within ${limit:f} for this turn"
        decisions.append(Decision(tool_call, not refusal, POLICY, reason))
    return Consent(tuple(decisions))


def _refusal(tool_call: ToolCall, brief: Brief, settings: TurnSettings, left: Decimal) -> str:
    if not _allowed(tool_call, brief):
        return f"{brief.expert.id} may not use it"
    if tool_call.tool in settings.never_automatic:
        return "on the never-automatic list: a person must approve it"
    if tool_call.effect is Effect.EFFECT:
        return "it has effects outside of the engine: a person must approve it"
    if tool_call.needs_consent:
        return "its tool demands consent to each call: a person must approve it"
    if tool_call.tainted and tool_call.effect is not Effect.PURE:
        return "its arguments do not come from the question alone: a person must approve it"
    if tool_call.cost_usd > left:
        return _too_dear(tool_call, left)
    return ""


def _too_dear(tool_call: ToolCall, left: Decimal) -> str:
    return f"it costs ${tool_call.cost_usd:f}, more than the ${left:f} that are left of this turn's ceiling"


def _allowed(tool_call: ToolCall, brief: Brief) -> bool:
    return not brief.expert.tools or tool_call.tool in brief.expert.tools


# -- a person
DecisionGiven: TypeAlias = (
    Literal["approve", "reject"]
    | tuple[Literal["approve", "reject"], str]
    | tuple[Literal["edit"], Mapping[str, Any]]
    | tuple[Literal["edit"], Mapping[str, Any], str]
    | ApprovalDecision
)
Decisions: TypeAlias = Mapping[str, DecisionGiven]
"""Id of a call -> ``"approve"``, ``"reject"``, ``("reject", reason)``, ``("edit", arguments)``, or an
:class:`ApprovalDecision`."""


class Person:
    """The manual modes: a person is asked about every call that the expert may use at all, and nothing else approves.

    :param approvals: where a pause is kept.
    :param argument_validator: checks the arguments of an edit; None: calls cannot be edited.
    """

    waits = True

    def __init__(self, approvals: Approvals, argument_validator: ArgumentValidator | None) -> None:
        self.approvals, self._validator = approvals, argument_validator

    async def decide(self, opened: Opened) -> Consent | Pause:
        """The consent, if there is no call to ask about; else the pause, which is kept now."""
        paused = pause_of(opened)
        if not asked(paused):
            return Consent(paused.refused)
        return Pause(turn=await self.approvals.pause(paused, seconds=opened.settings.approval_seconds))

    async def take(
        self, turn: PausedTurn, decisions: Mapping[str, ApprovalDecision], scope: Scope, *, by: str
    ) -> PausedTurn:
        """Take all of *decisions* on *turn*'s calls, or none.

        :raises Conflict: a call was decided otherwise before.
        :raises Expired: the time to decide has passed.
        :raises NotFound: there is no such call in it.
        :raises InvalidArguments: an edit that the tool refuses.
        :raises Refused: calls cannot be edited here.
        """
        valid = await self._validated(turn, decisions)
        return await self.approvals.decide(turn.paused.question.run_id, valid, scope, by=by)

    async def _validated(
        self, turn: PausedTurn, decisions: Mapping[str, ApprovalDecision]
    ) -> dict[str, ApprovalDecision]:
        """*decisions*, with the arguments of each edit as the tool would take them."""
        tool_calls = {a.id: a.tool_call for a in turn.approvals}
        result = dict(decisions)
        for call_id, decision in decisions.items():
            if decision.arguments is None or call_id not in tool_calls:
                continue
            if self._validator is None:
                raise Refused("calls can be approved and rejected here, but not edited")
            edited = await call(self._validator.validate, replace(tool_calls[call_id], arguments=decision.arguments))
            result[call_id] = replace(decision, arguments=edited.arguments)
        return result

    async def claim(self, run_id: str, scope: Scope, settings: TurnSettings) -> tuple[PausedTurn, Claim | None]:
        """The turn and the right to go on with it, once no other process has it; without it, if the turn is answered.

        :raises Conflict: another process has the right, and does not end.
        """
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + settings.turn_timeout_ms / 1000 + 2 * settings.lease_seconds, FIRST_LOOK
        while loop.time() < until:
            claim = await self.approvals.claim(run_id, scope, seconds=settings.lease_seconds)
            turn = await self.approvals.look(run_id, scope)
            if claim is not None or turn.receipt is not None:
                return turn, claim
            await asyncio.sleep(pause)
            pause = min(LAST_LOOK, 2 * pause)
        raise Conflict(f"another goes on with the run {run_id}, and has not ended")


def pause_of(opened: Opened) -> Paused:
    """What is kept while a person decides."""
    settings, deployed = opened.settings, opened.deployed
    return Paused(
        question=opened.question,
        mode=opened.mode,
        brief=opened.brief,
        evidence=opened.evidence,
        suggestions=opened.suggestions,
        memory=opened.memory,
        outcomes=opened.outcomes,
        critical_path=opened.critical_path,
        seconds=opened.seconds,
        refused=not_asked(opened.suggestions, opened.brief, opened.question.limits.cost_usd),
        settings={k: to_json(v) for k in KEYS if (v := getattr(settings, k)) != getattr(deployed, k)},
    )


def decisions_of(given: Decisions) -> dict[str, ApprovalDecision]:
    """*given* as decisions.

    :param given: id of a call -> decision, in any of its forms.
    :raises InvalidArguments: a value is no decision.
    """
    return {str(call_id): _decision(call_id, said) for call_id, said in given.items()}


def _decision(call_id: str, said: Any) -> ApprovalDecision:
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


def not_asked(suggestions: ToolSuggestions, brief: Brief, ceiling: Decimal | None = None) -> tuple[Decision, ...]:
    """The calls that no person is asked about: the expert may not use their tool, or the question's own *ceiling*, in USD,
    does not pay for them."""
    refused = []
    for tool_call in suggestions.tool_calls:
        if not _allowed(tool_call, brief):
            refused.append(Decision(tool_call, False, POLICY, f"{brief.expert.id} may not use it"))
        elif ceiling is not None and tool_call.cost_usd > ceiling:
            refused.append(Decision(tool_call, False, POLICY, _too_dear(tool_call, ceiling)))
    return tuple(refused)


def by_person(turn: PausedTurn) -> Consent:
    """What was decided on a paused turn's calls. A call that was not decided in time is not approved, nor is one that those
    before it have left no money for, of what the question may cost."""
    ceiling, spent, decisions = turn.paused.question.limits.cost_usd, Decimal(0), []
    for said in map(_as_decided, turn.approvals):
        tool_call, decision = said.tool_call, said
        if said.approved and ceiling is not None and tool_call.cost_usd > ceiling - spent:
            decision = replace(said, approved=False, by=POLICY, reason=_too_dear(tool_call, ceiling - spent))
        elif said.approved:
            spent += tool_call.cost_usd
        decisions.append(decision)
    return Consent((*decisions, *turn.paused.refused))


def _as_decided(approval: Approval) -> Decision:
    if approval.decision is None:
        return Decision(approval.tool_call, False, UNDECIDED, "nobody decided in time", approval.decided_at)
    said = {"approve": "approved", "reject": "rejected", "edit": "approved with other arguments"}
    action, reason = approval.decision.action, approval.decision.reason
    return Decision(approval.call, action != "reject", approval.by, reason or said[action], approval.decided_at)


def outcomes_so_far(turn: PausedTurn) -> dict[str, Outcome[Any]]:
    """How the steps of a paused turn have ended: those before the pause, what was decided, what the calls have brought."""
    paused = turn.paused
    outcomes = dict(paused.outcomes)
    outcomes[CONSENT.name] = Done(by_person(turn), 0.0, paused.seconds, paused.seconds)
    results = tuple(a.tool_result for a in turn.approvals if a.tool_result is not None)
    if results:
        called = sum(result.seconds for result in results)
        outcomes[INVOKE.name] = Done(ToolResults(results), called, paused.seconds, paused.seconds)
    return outcomes


class Recent(OrderedDict[Any, Any]):
    """The latest entries of this process, at most :attr:`SIZE`; the store has the others."""

    SIZE = 1000

    def put(self, key: Any, value: Any) -> None:
        """Store *value* under *key*; the oldest entry makes room."""
        self[key] = value
        while len(self) > self.SIZE:
            self.popitem(last=False)
