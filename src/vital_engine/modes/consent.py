"""Who says yes to a tool call. In the automatic modes a policy does, and gives its reason each time.

A pure function of what is proposed: (menu, expert, settings) -> decisions. The rules, in order: a tool that the expert
may not use, one that is on the never-automatic list, one with effects outside of the engine, one whose tool demands a
person's consent, one whose arguments may hold text that is not the person's own and that is more than a calculation, and
whatever would exceed the turn's ceiling, all need a person.

In the manual modes a person is asked about every call that the expert may use at all, and nothing else says yes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal

from vital_engine.nouns import (
    Approval,
    Brief,
    Consent,
    Decision,
    Effect,
    PausedTurn,
    Question,
    ToolCall,
    ToolSuggestions,
)

from .settings import TurnSettings

POLICY = "policy"
NOBODY = "nobody"
"""Who let an approval expire."""


def by_policy(
    suggestions: ToolSuggestions, brief: Brief, settings: TurnSettings, ceiling: Decimal | None = None
) -> Consent:
    """Decide each proposal, best first. *ceiling*: the turn's own, if it is lower than the settings'."""
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


def consenting_by_policy(settings: TurnSettings) -> Callable[..., Awaitable[Consent]]:
    async def consent(question: Question, brief: Brief, suggestions: ToolSuggestions) -> Consent:
        return by_policy(suggestions, brief, settings, question.limits.cost_usd)

    return consent


def not_asked(suggestions: ToolSuggestions, brief: Brief, ceiling: Decimal | None = None) -> tuple[Decision, ...]:
    """The proposals that no person is asked about, since the expert may not use their tool, or the question's own
    *ceiling* does not pay for it."""
    refused = []
    for tool_call in suggestions.tool_calls:
        if not _allowed(tool_call, brief):
            refused.append(Decision(tool_call, False, POLICY, f"{brief.expert.id} may not use it"))
        elif ceiling is not None and tool_call.cost_usd > ceiling:
            refused.append(Decision(tool_call, False, POLICY, _too_dear(tool_call, ceiling)))
    return tuple(refused)


def by_person(turn: PausedTurn) -> Consent:
    """What was decided on a paused turn's calls. A call that nobody decided in time is not approved, nor is one that
    those before it have left no money for, of what the question may cost."""
    ceiling, spent, decisions = turn.paused.question.limits.cost_usd, Decimal(0), []
    for said in map(_decision, turn.approvals):
        call, decision = said.tool_call, said
        if said.approved and ceiling is not None and call.cost_usd > ceiling - spent:
            decision = replace(said, approved=False, by=POLICY, reason=_too_dear(call, ceiling - spent))
        elif said.approved:
            spent += call.cost_usd
        decisions.append(decision)
    return Consent((*decisions, *turn.paused.refused))


def _decision(approval: Approval) -> Decision:
    if approval.decision is None:
        return Decision(approval.tool_call, False, NOBODY, "nobody decided in time", approval.decided_at)
    said = {"approve": "approved", "reject": "rejected", "edit": "approved with other arguments"}
    action, reason = approval.decision.action, approval.decision.reason
    return Decision(approval.call, action != "reject", approval.by, reason or said[action], approval.decided_at)


def _allowed(tool_call: ToolCall, brief: Brief) -> bool:
    return not brief.expert.tools or tool_call.tool in brief.expert.tools
