"""Who says yes to a tool call. In the automatic modes a policy does, and gives its reason each time.

A pure function of what is proposed: (menu, expert, settings) -> decisions. The rules, in order: a tool that the expert
may not use, one that is on the never-automatic list, one with effects outside of the engine, one whose arguments come
from retrieved text and that writes anything, and whatever would exceed the turn's ceiling, all need a person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

from vital_engine.nouns import Brief, Consent, Decision, Effect, Menu, Proposal, Question

from .settings import TurnSettings

POLICY = "policy"


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
    allowed = brief.expert.tools
    if allowed and proposal.tool not in allowed:
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
