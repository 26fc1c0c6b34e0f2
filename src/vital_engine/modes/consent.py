"""Who says yes to a tool call. In the automatic modes a policy does, and gives its reason each time.

A pure function of what is proposed: (menu, expert, settings) -> decisions. The rules, in order: a tool that the expert
may not use, one that is on the never-automatic list, one with effects outside of the engine, one whose arguments come
from retrieved text and that writes anything, and whatever would exceed the turn's ceiling, all need a person.

In the manual modes a person is asked about every call that the expert may use at all, and nothing else says yes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

from vital_engine.nouns import Approval, Brief, Consent, Decision, Effect, Menu, PausedTurn, Proposal, Question

from .settings import TurnSettings

POLICY = "policy"
NOBODY = "nobody"
"""Who let an approval expire."""


def by_policy(menu: Menu, brief: Brief, settings: TurnSettings, ceiling: Decimal | None = None) -> Consent:
    """Decide each proposal, best first. *ceiling*: the turn's own, if it is lower than the settings'."""
    limit = settings.tool_cost_ceiling_usd if ceiling is None else min(ceiling, settings.tool_cost_ceiling_usd)
    spent = Decimal(0)
    decisions = []
    for proposal in menu.proposals:
        refusal = _refusal(proposal, brief, settings, limit - spent)
        if not refusal:
            spent += proposal.cost_usd
        reason = refusal or f"allowed to {brief.expert.id}, {proposal.effect.value}, within ${limit} for this turn"
        decisions.append(Decision(proposal, not refusal, POLICY, reason))
    return Consent(tuple(decisions))


def _refusal(proposal: Proposal, brief: Brief, settings: TurnSettings, left: Decimal) -> str:
    if not _allowed(proposal, brief):
        return f"{brief.expert.id} may not use it"
    if proposal.tool in settings.never_automatic:
        return "on the never-automatic list: a person must approve it"
    if proposal.effect is Effect.EFFECT:
        return "it has effects outside of the engine: a person must approve it"
    if proposal.tainted and proposal.effect is not Effect.PURE:
        return "its arguments come from retrieved text: a person must approve it"
    if proposal.cost_usd > left:
        return f"it costs ${proposal.cost_usd}, more than the ${left} that are left of this turn's ceiling"
    return ""


def consenting_by_policy(settings: TurnSettings) -> Callable[..., Awaitable[Consent]]:
    async def consent(question: Question, brief: Brief, menu: Menu) -> Consent:
        return by_policy(menu, brief, settings, question.limits.cost_usd)

    return consent


def not_asked(menu: Menu, brief: Brief) -> tuple[Decision, ...]:
    """The proposals that no person is asked about, since the expert may not use their tool."""
    return tuple(
        Decision(proposal, False, POLICY, f"{brief.expert.id} may not use it")
        for proposal in menu.proposals
        if not _allowed(proposal, brief)
    )


def by_person(turn: PausedTurn) -> Consent:
    """What was decided on a paused turn's calls. A call that nobody decided in time is not approved."""
    return Consent((*map(_decision, turn.approvals), *turn.paused.refused))


def _decision(approval: Approval) -> Decision:
    if approval.ruling is None:
        return Decision(approval.proposal, False, NOBODY, "nobody decided in time", approval.settled_at)
    said = {"approve": "approved", "reject": "rejected", "edit": "approved with other arguments"}
    action, reason = approval.ruling.action, approval.ruling.reason
    return Decision(approval.call, action != "reject", approval.by, reason or said[action], approval.settled_at)


def _allowed(proposal: Proposal, brief: Brief) -> bool:
    return not brief.expert.tools or proposal.tool in brief.expert.tools
