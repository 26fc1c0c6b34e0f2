"""With consent, call the tools: all at once, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from vital_engine.errors import VitalError, WrongType
from vital_engine.flow import Done, call, together
from vital_engine.nouns import Brief, Consent, Finding, Findings, Proposal, Question, Scope
from vital_engine.ports import Caller


def invoking(caller: Caller, *, width: int = 8, within: float = 30.0) -> Callable[..., Awaitable[Findings]]:
    """*width*: calls at once; *within*: seconds for each."""

    async def invoke(question: Question, brief: Brief, consent: Consent) -> Findings:
        scope = Scope(question.tenant, question.user, brief.expert.domains)
        approved = consent.approved
        calls = [partial(_call, caller, proposal, scope) for proposal in approved]
        outcomes = await together(calls, width=width, within=within)
        results = []
        for proposal, outcome in zip(approved, outcomes, strict=True):
            if isinstance(outcome, Done):
                results.append(outcome.value)
            else:
                error = outcome.error
                code = error.code if isinstance(error, VitalError) else ""
                results.append(Finding(proposal, outcome.reason, seconds=outcome.seconds, error=code))
        return Findings(tuple(results))

    return invoke


async def _call(caller: Caller, proposal: Proposal, scope: Scope) -> Finding:
    finding = await call(caller.call, proposal, scope=scope)
    if not isinstance(finding, Finding):
        raise WrongType(f"the tool {proposal.tool!r} gave a {type(finding).__name__}", service="tool")
    return finding
