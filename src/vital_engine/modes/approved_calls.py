"""Make calls that a person approved, each once: written down before it is made, and when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from vital_engine.nouns.transitions import UNKNOWN
from vital_engine.errors import InvalidArguments, StoreError, ToolError, ToolTimeout, ToolUnavailable, VitalError
from vital_engine.flow import Done, Failed, bounded, call, gather_outcomes, run_in_background
from vital_engine.nouns import Brief, Claim, Consent, Effect, Question, Scope, ToolCall, ToolResult, ToolResults
from vital_engine.ports import Approvals, ArgumentValidator, Caller, Services
from vital_engine.turn import invoking

CALL_SECONDS = 30.0
"""For one call; its tool may have a shorter limit of its own."""
WRITE_SECONDS = 10.0
"""To write down what became of a call."""


class ApprovedCaller:
    """Fulfils the port Caller for one paused turn that goes on.

    What was done before is not done again; what was cut is, or is not, as :mod:`vital_engine.nouns.transitions` says.
    """

    def __init__(
        self, caller: Caller, approvals: Approvals, claim: Claim, argument_validator: ArgumentValidator | None
    ) -> None:
        self._caller, self._approvals, self._claim, self._vetter = caller, approvals, claim, argument_validator

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:
        """The finding of the one call that *proposal*'s approval allows. A call that failed is a finding too.

        :raises Conflict: another goes on with the turn.
        :raises StoreError: it could not be written down that the call begins, so that it was not made.
        """
        if (void := await self._void(tool_call)) is not None:
            return await self._finish(tool_call, void)
        approval, now = await self._approvals.start(self._claim, tool_call.id)
        if not now:
            return approval.tool_result or ToolResult(tool_call, UNKNOWN)
        make = partial(call, self._caller.call, tool_call, scope=scope)
        try:
            (outcome,) = await gather_outcomes([make], within=CALL_SECONDS)
        except asyncio.CancelledError:
            self._cut(tool_call)
            raise
        if isinstance(outcome, Done) and isinstance(outcome.value, ToolResult):
            return await self._finish(tool_call, outcome.value)
        return await self._finish(tool_call, _failed(tool_call, outcome))

    async def _void(self, tool_call: ToolCall) -> ToolResult | None:
        """Why the call must not be made any more: its tool is gone, has changed, or refuses the arguments."""
        if self._vetter is None:
            return None
        try:
            await call(self._vetter.validate, tool_call)
        except ToolError as error:
            return ToolResult(tool_call, "void", error=error.code)
        return None

    async def _finish(self, tool_call: ToolCall, tool_result: ToolResult) -> ToolResult:
        try:
            kept = await self._approvals.finish(self._claim, tool_call.id, tool_result)
        except StoreError:  # it has happened all the same; a turn that dies now finds it cut
            return tool_result
        return kept.tool_result or tool_result

    def _cut(self, tool_call: ToolCall) -> None:
        """We are being cancelled: whether an effect has happened is not known, and is written down as that."""
        if tool_call.effect is Effect.EFFECT:
            unknown = ToolResult(tool_call, UNKNOWN, error="tool.cut")
            writing = bounded(self._finish(tool_call, unknown), within=WRITE_SECONDS)
            run_in_background(writing, name=f"cut {tool_call.tool}")


def _failed(tool_call: ToolCall, outcome: Done[ToolResult] | Failed) -> ToolResult:
    """A call that gave no finding. An effect that a tool did not itself report as failed may have happened."""
    if isinstance(outcome, Done):  # something, but no finding
        status = UNKNOWN if tool_call.effect is Effect.EFFECT else "wrong_type"
        return ToolResult(tool_call, status, seconds=outcome.seconds, error="service.wrong_type")
    error = outcome.error
    code = error.code if isinstance(error, VitalError) else ""
    said_so = isinstance(error, InvalidArguments) or (
        isinstance(error, ToolError) and not isinstance(error, ToolTimeout | ToolUnavailable)
    )
    status = UNKNOWN if tool_call.effect is Effect.EFFECT and not said_so else outcome.reason
    return ToolResult(tool_call, status, seconds=outcome.seconds, error=code)


def invoking_approved(services: Services, approvals: Approvals) -> Callable[..., Awaitable[ToolResults]]:
    async def invoke(question: Question, brief: Brief, consent: Consent, claim: Claim) -> ToolResults:
        caller = ApprovedCaller(services.caller, approvals, claim, services.argument_validator)
        # The limit of each call is the caller's own; this one is above it, so that a call is never cut unwritten.
        tool_results: ToolResults = await invoking(caller, within=CALL_SECONDS + WRITE_SECONDS)(
            question, brief, consent
        )
        return tool_results

    return invoke
