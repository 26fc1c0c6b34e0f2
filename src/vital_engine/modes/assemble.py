"""Put the answer together from what a turn made: pure, and the same for the engine's own path and for a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from vital_engine.errors import CostLimit, ModelError, OutOfTime, StepFailed, VitalError
from vital_engine.flow import Outcome, Reason, speedup
from vital_engine.nouns import (
    NOTHING_FOUND,
    Answer,
    Approval,
    Call,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    HedgeFacts,
    LedgerRow,
    PausedTurn,
    Quality,
    Question,
    Status,
    Support,
    TierFacts,
    Timing,
    ToolResults,
    ToolSuggestions,
)
from vital_engine.nouns.transitions import UNKNOWN
from vital_engine.ports import Grader
from vital_engine.turn.plan import (
    ASSESS,
    BRIEF,
    CITE,
    CONSENT,
    EARLY,
    INVOKE,
    REPLY,
    RETRIEVE,
    SUGGEST,
    TALLY,
    TIERS,
    for_user,
    tools_matched,
)


def assemble(
    question: Question,
    outcomes: Mapping[str, Outcome[Any]],
    *,
    mode: int,
    profile: str,
    grader: Grader,
    timing: Timing,
    critical_path: tuple[str, ...] = (),
    approvals: tuple[Approval, ...] = (),
    hedges: Mapping[str, HedgeFacts] | None = None,
) -> Answer:
    """The answer of a turn whose steps ended in *outcomes* (by the step's name)."""
    chosen = BRIEF.outcome(outcomes)
    evidence = RETRIEVE.made(outcomes, Evidence.missing())
    draft = REPLY.made(outcomes, Draft(finish="error"))
    citations = CITE.made(outcomes, Citations.missing())
    support = ASSESS.made(outcomes, Support.missing())
    tool_results = INVOKE.made(outcomes, ToolResults())
    status, error = _status(outcomes)
    degraded = _degraded(outcomes)
    cost = _cost(question, outcomes, draft)
    return Answer(
        run_id=question.run_id,
        question=question,
        mode=mode,
        profile=profile,
        status=status,
        text=draft.text,
        brief=chosen.value if chosen is not None else None,
        evidence=evidence,
        tool_results=tool_results,
        consent=CONSENT.made(outcomes, Consent()),
        draft=draft,
        citations=citations,
        support=support,
        cost=cost,
        quality=grader(citations, support, evidence, draft, _share_done(degraded)),
        outcomes=outcomes,
        degraded=degraded,
        warnings=(
            *_warnings(outcomes, degraded, evidence, citations, tool_results, draft),
            *_spending(question.limits.cost_usd, tool_results, cost, draft),
        ),
        timing=timing,
        speedup=speedup([o.seconds for o in outcomes.values() if o.kind != "skipped"], timing.total),
        critical_path=critical_path,
        tiers={tier: facts for tier, steps in TIERS.items() if (facts := _tier(outcomes, steps)) is not None},
        error=error,
        approvals=approvals,
        hedges=hedges or {},
    )


def assemble_paused(turn: PausedTurn, outcomes: Mapping[str, Outcome[Any]], *, profile: str, timing: Timing) -> Answer:
    """The answer of a turn that waits for a person: what is known by then. Nothing was said, and what was paid for
    suggestions is priced with the rest of the turn."""
    paused = turn.paused
    degraded = _degraded(outcomes)
    nothing = Citations(), ToolResults(), Draft(finish="")
    waiting = f"{len(turn.pending)} tool call{'s wait' if len(turn.pending) > 1 else ' waits'} for your decision."
    return Answer(
        run_id=paused.question.run_id,
        question=paused.question,
        mode=paused.mode,
        profile=profile,
        status="paused",
        text="",
        brief=paused.brief,
        evidence=paused.evidence,
        tool_results=ToolResults(),
        consent=Consent(),
        draft=Draft(finish=""),
        citations=Citations(),
        support=Support(),
        cost=Cost(_unpriced(paused.suggestions)),
        quality=Quality(),
        outcomes=outcomes,
        degraded=degraded,
        warnings=(*_warnings(outcomes, degraded, paused.evidence, *nothing), waiting),
        timing=timing,
        speedup=speedup([o.seconds for o in outcomes.values() if o.kind != "skipped"], timing.total),
        critical_path=paused.critical_path,
        tiers={tier: facts for tier, steps in TIERS.items() if (facts := _tier(outcomes, steps)) is not None},
        approvals=turn.approvals,
    )


def _degraded(outcomes: Mapping[str, Outcome[Any]]) -> dict[str, Reason]:
    return {name: o.reason for name, o in outcomes.items() if o.reason and name not in EARLY}


def _share_done(degraded: Mapping[str, str]) -> float:
    """Which share of the steps that run beside others did their part."""
    steps = [name for names in TIERS.values() for name in names]
    return 1.0 - sum(name in degraded for name in steps) / len(steps)


def _status(outcomes: Mapping[str, Outcome[Any]]) -> tuple[Status, BaseException | None]:
    spoken = REPLY.outcome(outcomes)
    if spoken is not None and spoken.error is not None:
        return "partial" if spoken.made else "failed", _typed(spoken.error)
    if spoken is not None and spoken.made:
        return "complete", None
    # The model was not asked: what failed before it says why.
    name, failed = next(((n, o) for n, o in outcomes.items() if o.kind == "failed"), ("", None))
    if failed is not None and isinstance(failed.error, VitalError):
        return "failed", failed.error
    error = StepFailed(f"the model was not asked: {name or 'a step'} failed")
    error.__cause__ = failed.error if failed else None
    return "failed", error


def _typed(error: BaseException) -> BaseException:
    """What the model's step raised, as an error with a stable code; a cancel stays one."""
    if isinstance(error, VitalError | asyncio.CancelledError):
        return error
    typed: VitalError = OutOfTime(str(error)) if isinstance(error, TimeoutError) else ModelError(repr(error))
    typed.__cause__ = error
    return typed


def _cost(question: Question, outcomes: Mapping[str, Outcome[Any]], draft: Draft) -> Cost:
    """As tallied; a call that failed is on the bill too, at an unknown price."""
    spoken = REPLY.outcome(outcomes)
    if spoken is not None and spoken.kind == "failed":
        if isinstance(spoken.error, CostLimit):  # the model was not called
            return Cost(_unpriced(SUGGEST.made(outcomes, ToolSuggestions())))
        failed = LedgerRow(Call(question.run_id, REPLY.name, draft.model, draft.provider, None, "failed"), None)
        return Cost((failed, *_unpriced(SUGGEST.made(outcomes, ToolSuggestions()))))
    return TALLY.made(outcomes, Cost.missing())


def _unpriced(suggestions: ToolSuggestions) -> tuple[LedgerRow, ...]:
    return tuple(LedgerRow(paid, None) for paid in suggestions.calls)


def _tier(outcomes: Mapping[str, Outcome[Any]], steps: Iterable[str]) -> TierFacts | None:
    ran = [o for name in steps if (o := outcomes.get(name)) is not None and o.kind != "skipped"]
    if not ran:
        return None
    wall = round(max(o.ended for o in ran) - min(o.began for o in ran), 9)
    return {"seconds": wall, "speedup": speedup([o.seconds for o in ran], wall)}


def _warnings(
    outcomes: Mapping[str, Outcome[Any]],
    degraded: Mapping[str, Reason],
    evidence: Evidence,
    citations: Citations,
    tool_results: ToolResults,
    draft: Draft,
) -> Iterable[str]:
    for step, reason in degraded.items():
        if step == SUGGEST.name and not SUGGEST.made(outcomes, ToolSuggestions.missing()).failed:
            yield tools_matched(reason)
        elif not (step == REPLY.name and outcomes[step].kind == "failed"):
            yield for_user(step, reason)
    retrieved = RETRIEVE.outcome(outcomes)
    looked = retrieved is not None and retrieved.kind != "skipped"
    if looked and not evidence.failed and not evidence.passages:
        yield NOTHING_FOUND
    for tool_result in tool_results.results:
        if tool_result.status == UNKNOWN:
            yield f"Whether the call of the tool {tool_result.tool_call.tool!r} took effect is not known. It is not repeated."
        elif tool_result.status != "done":
            yield f"The tool {tool_result.tool_call.tool!r} gave no result ({tool_result.status})."
    if citations.dangling:
        numbers = ", ".join(f"[{n}]" for n in citations.dangling)
        yield f"The answer cites {numbers}, which is no passage of this turn."
    if mismatched := sum(c.verdict == "mismatch" for c in citations.items):
        yield f"{mismatched} of its quotations do not stand in the passage that is cited for them."
    if draft.finish == "length":
        yield "The answer reached its length limit and may be incomplete."


def _spending(limit: Decimal | None, tool_results: ToolResults, cost: Cost, draft: Draft) -> Iterable[str]:
    """What became of the question's cost limit."""
    if limit is None:
        return
    if draft.output_limit is not None:
        yield f"The cost limit of ${limit:f} left {draft.output_limit} tokens for the answer."
    if cost.usd is None:
        yield f"What the model costs is not known: it could not be held to the cost limit of ${limit:f}."
    elif (spent := cost.usd + tool_results.cost_usd) > limit:
        yield f"This question cost ${spent:f}, more than its limit of ${limit:f}."
