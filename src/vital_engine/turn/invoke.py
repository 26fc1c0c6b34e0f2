"""With consent, call the tools: all at once, each with an outcome of its own.

A call that a person approved is made once: it is written down before it is made, and when it has ended. What was done before
is not done again; what was cut is, or is not, as :mod:`vital_engine.nouns.transitions` says.
"""

from __future__ import annotations

import asyncio
from functools import partial

from vital_engine.errors import InvalidArguments, StoreError, ToolError, ToolTimeout, ToolUnavailable, WrongType
from vital_engine.flow import BaseOutcome, bounded, call, gather_outcomes, run_in_background
from vital_engine.nouns import Brief, Claim, Consent, Effect, Question, Scope, ToolCall, ToolResult, ToolResults
from vital_engine.nouns.transitions import UNKNOWN
from vital_engine.ports import Approvals, ArgumentValidator, Caller, Services

WIDTH = 8
"""Calls at once."""
CALL_SECONDS = 30.0
"""For one call; its tool may have a shorter limit of its own."""
WRITE_SECONDS = 10.0
"""To write down what became of a call."""


async def invoke(
    services: Services, question: Question, brief: Brief, consent: Consent, claim: Claim | None = None
) -> ToolResults:
    """Make the approved calls.

    :param services: the services.
    :param question: the question.
    :param brief: the expert.
    :param consent: the decisions.
    :param claim: the right to continue a paused turn; its calls are made once. None: the turn was not paused.
    :returns: a result for each call.
    """
    if not (approved := consent.approved):
        return ToolResults()
    scope = Scope(question.tenant, question.user, brief.expert.domains)
    caller: Caller = services.caller
    within = CALL_SECONDS
    if claim is not None and services.approvals is not None:
        caller = ApprovedCaller(caller, services.approvals, claim, services.argument_validator)
        within += WRITE_SECONDS  # the limit of a call is then the caller's own, so that none is cut unwritten
    outcomes = await gather_outcomes(
        [partial(_call, caller, one, scope) for one in approved], width=WIDTH, within=within
    )
    return ToolResults(
        tuple(
            ToolResult(one, outcome.reason, seconds=outcome.seconds, error=outcome.code)
            if outcome.value is None
            else outcome.value
            for one, outcome in zip(approved, outcomes, strict=True)
        )
    )


async def _call(caller: Caller, tool_call: ToolCall, scope: Scope) -> ToolResult:
    result = await call(caller.call, tool_call, scope=scope)
    if not isinstance(result, ToolResult):
        raise WrongType(f"the tool {tool_call.tool!r} gave a {type(result).__name__}", service="tool")
    return result


class ApprovedCaller:
    """Fulfils the port Caller for one paused turn that goes on."""

    def __init__(
        self, caller: Caller, approvals: Approvals, claim: Claim, argument_validator: ArgumentValidator | None
    ) -> None:
        self._caller, self._approvals, self._claim, self._validator = caller, approvals, claim, argument_validator

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:
        """The result of the one call that *tool_call*'s approval allows. A call that failed is a result too.

        :raises Conflict: another process goes on with the turn.
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
        if isinstance(outcome.value, ToolResult):
            return await self._finish(tool_call, outcome.value)
        return await self._finish(tool_call, _failed(tool_call, outcome))

    async def _void(self, tool_call: ToolCall) -> ToolResult | None:
        """Why the call must not be made any more: its tool is gone, has changed, or refuses the arguments."""
        if self._validator is None:
            return None
        try:
            await call(self._validator.validate, tool_call)
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
        """The turn is being cancelled: whether an effect has happened is not known, and is written down as that."""
        if tool_call.effect is Effect.EFFECT:
            unknown = ToolResult(tool_call, UNKNOWN, error="tool.cut")
            writing = bounded(self._finish(tool_call, unknown), within=WRITE_SECONDS)
            run_in_background(writing, name=f"cut {tool_call.tool}")


def _failed(tool_call: ToolCall, outcome: BaseOutcome[ToolResult]) -> ToolResult:
    """A call that gave no result. An effect that a tool did not itself report as failed may have happened."""
    effect, error = tool_call.effect is Effect.EFFECT, outcome.error
    if error is None:  # something, but no result
        status = UNKNOWN if effect else "wrong_type"
        return ToolResult(tool_call, status, seconds=outcome.seconds, error=WrongType.code)
    said_so = isinstance(error, InvalidArguments) or (
        isinstance(error, ToolError) and not isinstance(error, ToolTimeout | ToolUnavailable)
    )
    status = UNKNOWN if effect and not said_so else outcome.reason
    return ToolResult(tool_call, status, seconds=outcome.seconds, error=outcome.code)
