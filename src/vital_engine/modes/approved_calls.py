"""Make calls that a person approved, each once: written down before it is made, and when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from vital_engine.approving import UNKNOWN
from vital_engine.errors import InvalidArguments, StoreError, ToolError, ToolTimeout, ToolUnavailable, VitalError
from vital_engine.flow import Done, Failed, bounded, call, supervise, together
from vital_engine.nouns import Brief, Claim, Consent, Effect, Finding, Findings, Proposal, Question, Scope
from vital_engine.ports import Approvals, Caller, Services, Vetter
from vital_engine.turn import invoking

CALL_SECONDS = 30.0
"""For one call; its tool may have a shorter limit of its own."""
WRITE_SECONDS = 10.0
"""To write down what became of a call."""


class ApprovedCaller:
    """Fulfils the port Caller for one paused turn that goes on.

    What was done before is not done again; what was cut is, or is not, as :mod:`vital_engine.approving` says.
    """

    def __init__(self, caller: Caller, approvals: Approvals, claim: Claim, vetter: Vetter | None) -> None:
        self._caller, self._approvals, self._claim, self._vetter = caller, approvals, claim, vetter

    async def call(self, proposal: Proposal, *, scope: Scope) -> Finding:
        """The finding of the one call that *proposal*'s approval allows. A call that failed is a finding too.

        :raises Conflict: another goes on with the turn.
        :raises StoreError: it could not be written down that the call begins, so that it was not made.
        """
        if (void := await self._void(proposal)) is not None:
            return await self._finish(proposal, void)
        approval, now = await self._approvals.start(self._claim, proposal.id)
        if not now:
            return approval.finding or Finding(proposal, UNKNOWN)
        make = partial(call, self._caller.call, proposal, scope=scope)
        try:
            (outcome,) = await together([make], within=CALL_SECONDS)
        except asyncio.CancelledError:
            self._cut(proposal)
            raise
        if isinstance(outcome, Done) and isinstance(outcome.value, Finding):
            return await self._finish(proposal, outcome.value)
        return await self._finish(proposal, _failed(proposal, outcome))

    async def _void(self, proposal: Proposal) -> Finding | None:
        """Why the call must not be made any more: its tool is gone, has changed, or refuses the arguments."""
        if self._vetter is None:
            return None
        try:
            await call(self._vetter.vet, proposal)
        except ToolError as error:
            return Finding(proposal, "void", error=error.code)
        return None

    async def _finish(self, proposal: Proposal, finding: Finding) -> Finding:
        try:
            kept = await self._approvals.finish(self._claim, proposal.id, finding)
        except StoreError:  # it has happened all the same; a turn that dies now finds it cut
            return finding
        return kept.finding or finding

    def _cut(self, proposal: Proposal) -> None:
        """We are being cancelled: whether an effect has happened is not known, and is written down as that."""
        if proposal.effect is Effect.EFFECT:
            unknown = Finding(proposal, UNKNOWN, error="tool.cut")
            writing = bounded(self._finish(proposal, unknown), within=WRITE_SECONDS)
            supervise(writing, name=f"cut {proposal.tool}")


def _failed(proposal: Proposal, outcome: Done[Finding] | Failed) -> Finding:
    """A call that gave no finding. An effect that a tool did not itself report as failed may have happened."""
    if isinstance(outcome, Done):  # something, but no finding
        status = UNKNOWN if proposal.effect is Effect.EFFECT else "wrong_type"
        return Finding(proposal, status, seconds=outcome.seconds, error="service.wrong_type")
    error = outcome.error
    code = error.code if isinstance(error, VitalError) else ""
    said_so = isinstance(error, InvalidArguments) or (
        isinstance(error, ToolError) and not isinstance(error, ToolTimeout | ToolUnavailable)
    )
    status = UNKNOWN if proposal.effect is Effect.EFFECT and not said_so else outcome.reason
    return Finding(proposal, status, seconds=outcome.seconds, error=code)


def invoking_approved(services: Services, approvals: Approvals) -> Callable[..., Awaitable[Findings]]:
    async def invoke(question: Question, brief: Brief, consent: Consent, claim: Claim) -> Findings:
        caller = ApprovedCaller(services.caller, approvals, claim, services.vetter)
        # The limit of each call is the caller's own; this one is above it, so that a call is never cut unwritten.
        findings: Findings = await invoking(caller, within=CALL_SECONDS + WRITE_SECONDS)(question, brief, consent)
        return findings

    return invoke
