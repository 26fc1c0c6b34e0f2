"""Put the answer together from what a turn made: pure, and the same for the engine's own path and for a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from vital_engine.answer import Answer, Status, Timing
from vital_engine.approving import UNKNOWN
from vital_engine.errors import ModelError, OutOfTime, StepFailed, VitalError
from vital_engine.flow import Degraded, Done, Failed, Outcome, Skipped, speedup
from vital_engine.notices import NOTHING_FOUND, for_user, tools_matched
from vital_engine.nouns import (
    Approval,
    Brief,
    Call,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    LedgerRow,
    PausedTurn,
    Quality,
    Question,
    Support,
    ToolResults,
    ToolSuggestions,
    TurnRecord,
)
from vital_engine.ports import Grader
from vital_engine.turn import EARLY

T = TypeVar("T")

TIERS: Mapping[str, tuple[str, ...]] = {
    "tier1": ("retrieve", "suggest", "recall"),
    "tier2": ("cite", "assess", "tally"),
}


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
    hedges: Mapping[str, Mapping[str, Any]] | None = None,
) -> Answer:
    """The answer of a turn whose steps ended in *outcomes* (by the step's name)."""
    brief = _made(outcomes, "brief", cast("Brief | None", None))
    evidence = _made(outcomes, "retrieve", Evidence.missing())
    draft = _made(outcomes, "reply", Draft(finish="error"))
    citations = _made(outcomes, "cite", Citations.missing())
    support = _made(outcomes, "assess", Support.missing())
    tool_results = _made(outcomes, "invoke", ToolResults())
    status, error = _status(outcomes)
    degraded = _degraded(outcomes)
    return Answer(
        run_id=question.run_id,
        question=question,
        mode=mode,
        profile=profile,
        status=status,
        text=draft.text,
        brief=brief,
        evidence=evidence,
        tool_results=tool_results,
        consent=_made(outcomes, "consent", Consent()),
        draft=draft,
        citations=citations,
        support=support,
        cost=_cost(question, outcomes, draft),
        quality=grader(citations, support, evidence, draft, degraded),
        outcomes=outcomes,
        degraded=degraded,
        warnings=tuple(_warnings(outcomes, degraded, evidence, citations, tool_results, draft)),
        timing=timing,
        speedup=speedup([o.seconds for o in outcomes.values() if not isinstance(o, Skipped)], timing.total),
        critical_path=critical_path,
        tiers={tier: facts for tier, steps in TIERS.items() if (facts := _tier(outcomes, steps))},
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
        speedup=speedup([o.seconds for o in outcomes.values() if not isinstance(o, Skipped)], timing.total),
        critical_path=paused.critical_path,
        tiers={tier: facts for tier, steps in TIERS.items() if (facts := _tier(outcomes, steps))},
        approvals=turn.approvals,
    )


def _degraded(outcomes: Mapping[str, Outcome[Any]]) -> dict[str, str]:
    broke = {name: o.reason for name, o in outcomes.items() if isinstance(o, Degraded | Failed)}
    return {name: reason for name, reason in broke.items() if name not in EARLY}


def kept(answer: Answer) -> TurnRecord:
    """The answer as the store keeps it."""
    return TurnRecord(
        run_id=answer.run_id,
        question=answer.question,
        mode=answer.mode,
        status=answer.status,
        text=answer.text,
        expert=answer.expert,
        receipt=answer.receipt(),
        citations=answer.citations,
        cost=answer.cost,
        seconds=answer.timing.total,
    )


def _made(outcomes: Mapping[str, Outcome[Any]], step: str, otherwise: T) -> T:
    match outcomes.get(step):
        case Done(value=value) | Degraded(value=value) | Skipped(value=value, known=True):
            return cast("T", value)
        case _:
            return otherwise


def _status(outcomes: Mapping[str, Outcome[Any]]) -> tuple[Status, BaseException | None]:
    match outcomes.get("reply"):
        case Done() | Skipped(known=True):
            return "complete", None
        case Degraded(error=error):
            return "partial", _typed(error)
        case Failed(error=error):
            return "failed", _typed(error)
        case _:  # it never came to that; what failed before it says why
            name, failed = next(((n, o) for n, o in outcomes.items() if isinstance(o, Failed)), ("", None))
            if failed is None or not isinstance(failed.error, VitalError):
                error = StepFailed(f"the model was not asked: {name or 'a step'} failed")
                error.__cause__ = failed.error if failed else None
                return "failed", error
            return "failed", failed.error


def _typed(error: BaseException) -> BaseException:
    """What the model's step raised, as an error with a stable code; a cancel stays one."""
    if isinstance(error, VitalError | asyncio.CancelledError):
        return error
    typed: VitalError = OutOfTime(str(error)) if isinstance(error, TimeoutError) else ModelError(repr(error))
    typed.__cause__ = error
    return typed


def _cost(question: Question, outcomes: Mapping[str, Outcome[Any]], draft: Draft) -> Cost:
    """As tallied; a call that failed is on the bill too, at an unknown price."""
    if isinstance(outcomes.get("reply"), Failed):
        failed = LedgerRow(Call(question.run_id, "reply", draft.model, draft.provider, None, "failed"), None)
        return Cost((failed, *_unpriced(_made(outcomes, "suggest", ToolSuggestions()))))
    return _made(outcomes, "tally", Cost.missing())


def _unpriced(suggestions: ToolSuggestions) -> tuple[LedgerRow, ...]:
    return tuple(LedgerRow(paid, None) for paid in suggestions.calls)


def _tier(outcomes: Mapping[str, Outcome[Any]], steps: Iterable[str]) -> dict[str, Any]:
    ran = [o for name in steps if (o := outcomes.get(name)) is not None and not isinstance(o, Skipped)]
    if not ran:
        return {}
    wall = round(max(o.ended for o in ran) - min(o.began for o in ran), 9)
    return {"seconds": wall, "speedup": speedup([o.seconds for o in ran], wall)}


def _warnings(
    outcomes: Mapping[str, Outcome[Any]],
    degraded: Mapping[str, str],
    evidence: Evidence,
    citations: Citations,
    tool_results: ToolResults,
    draft: Draft,
) -> Iterable[str]:
    for step, reason in degraded.items():
        if step == "suggest" and not _made(outcomes, step, ToolSuggestions.missing()).failed:
            yield tools_matched(reason)
        elif not (step == "reply" and isinstance(outcomes[step], Failed)):
            yield for_user(step, reason)
    retrieved = outcomes.get("retrieve")
    if not evidence.failed and not evidence.passages and not isinstance(retrieved, Skipped | None):
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


def later(outcome: Outcome[Any], seconds: float) -> Outcome[Any]:
    """The same outcome of a step of a run that began *seconds* after its turn."""
    return replace(outcome, began=round(outcome.began + seconds, 9), ended=round(outcome.ended + seconds, 9))
