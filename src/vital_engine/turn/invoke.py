"""With consent, call the tools: all at once, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from vital_engine.errors import VitalError, WrongType
from vital_engine.flow import Done, call, gather_outcomes
from vital_engine.nouns import Brief, Consent, Question, Scope, ToolCall, ToolResult, ToolResults
from vital_engine.ports import Caller


def invoking(caller: Caller, *, width: int = 8, within: float = 30.0) -> Callable[..., Awaitable[ToolResults]]:
    """*width*: calls at once; *within*: seconds for each."""

    async def invoke(question: Question, brief: Brief, consent: Consent) -> ToolResults:
        scope = Scope(question.tenant, question.user, brief.expert.domains)
        approved = consent.approved
        calls = [partial(_call, caller, tool_call, scope) for tool_call in approved]
        outcomes = await gather_outcomes(calls, width=width, within=within)
        results = []
        for tool_call, outcome in zip(approved, outcomes, strict=True):
            if isinstance(outcome, Done):
                results.append(outcome.value)
            else:
                error = outcome.error
                code = error.code if isinstance(error, VitalError) else ""
                results.append(ToolResult(tool_call, outcome.reason, seconds=outcome.seconds, error=code))
        return ToolResults(tuple(results))

    return invoke


async def _call(caller: Caller, tool_call: ToolCall, scope: Scope) -> ToolResult:
    tool_result = await call(caller.call, tool_call, scope=scope)
    if not isinstance(tool_result, ToolResult):
        raise WrongType(f"the tool {tool_call.tool!r} gave a {type(tool_result).__name__}", service="tool")
    return tool_result
