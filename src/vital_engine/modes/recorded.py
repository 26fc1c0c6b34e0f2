"""A turn as it was written down, read back: how its steps ended before a pause, and its whole answer afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

from vital_engine import errors
from vital_engine.nouns.answer import Answer, Status, Timing
from vital_engine.errors import StepFailed, VitalError
from vital_engine.flow import Degraded, Done, Failed, Outcome, Skipped
from vital_engine.nouns import (
    Citation,
    Citations,
    Consent,
    Cost,
    Decision,
    Draft,
    LedgerRow,
    PastStep,
    Paused,
    PausedTurn,
    Quality,
    SentenceSupport,
    Support,
    ToolResult,
    ToolResults,
)
from vital_engine.turn import Registered

from .consent import by_person

T = TypeVar("T")

_ERRORS: Mapping[str, type[VitalError]] = {getattr(errors, n).code: getattr(errors, n) for n in errors.__all__}


def past_steps(outcomes: Mapping[str, Outcome[Any]]) -> tuple[PastStep, ...]:
    """How the steps ended, without what they made."""
    return tuple(_past(name, outcome) for name, outcome in outcomes.items())


def _past(name: str, o: Outcome[Any]) -> PastStep:
    times = (o.seconds, o.began, o.ended)
    match o:
        case Done():
            return PastStep(name, "done", "", "", *times)
        case Degraded(error=error, reason=reason):
            return PastStep(name, "degraded", reason, _code(error), *times)
        case Failed(error=error, reason=reason):
            return PastStep(name, "failed", reason, _code(error), *times)
        case Skipped(because=because):
            return PastStep(name, "skipped", because, "", *times)


def outcomes_of(paused: Paused) -> dict[str, Outcome[Any]]:
    """The outcomes of the steps before the pause, with what they made."""
    made = {
        "register": Registered(paused.question.run_id),
        "brief": paused.brief,
        "retrieve": paused.evidence,
        "suggest": paused.suggestions,
        "recall": paused.memory,
    }
    return {step.name: _outcome(step, made.get(step.name)) for step in paused.steps}


def known_of(turn: PausedTurn) -> dict[str, Outcome[Any]]:
    """What was made before the pause, what was decided, and what the calls have brought."""
    paused, tool_results = turn.paused, tuple(a.tool_result for a in turn.approvals if a.tool_result is not None)
    known_then = outcomes_of(paused)
    known_then["consent"] = Done(by_person(turn), 0.0, paused.seconds, paused.seconds)
    if tool_results:
        called = sum(tool_result.seconds for tool_result in tool_results)
        known_then["invoke"] = Done(ToolResults(tool_results), called, paused.seconds, paused.seconds)
    return known_then


def _outcome(step: PastStep, value: Any) -> Outcome[Any]:
    times = (step.seconds, step.began, step.ended)
    reason: Any = step.reason
    match step.outcome:
        case "done":
            return Done(value, *times)
        case "degraded":
            return Degraded(value, error_of(step.code), reason, *times)
        case "failed":
            return Failed(error_of(step.code), reason, *times)
        case "skipped":
            return Skipped(step.reason, value, value is not None, *times)


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, VitalError) else ""


def error_of(code: str) -> VitalError:
    """An error with the stable *code*; of what was foreign only that it failed is known."""
    return _ERRORS.get(code, StepFailed)("as it was written down")


def answer_of(turn: PausedTurn, *, profile: str) -> Answer:
    """The answer of a paused turn that went on and was kept, as its receipt has it. *profile*: if that has none."""
    paused, receipt = turn.paused, turn.receipt or {}
    steps = tuple(_step(name, row) for name, row in receipt["steps"].items())
    skipped = tuple(PastStep(name, "skipped", because) for name, because in receipt["skipped"].items())
    cost, model = receipt["cost"], receipt["model"]
    degraded: dict[str, str] = dict(receipt["degraded"])
    tool_results = ToolResults(_read(tuple[ToolResult, ...], receipt["tool_results"]), failed="invoke" in degraded)
    consent = Consent(_read(tuple[Decision, ...], receipt["approvals"]))
    rows = _read(tuple[LedgerRow, ...], cost["calls"])
    usage = next((row.call.usage for row in rows if row.call.purpose == "reply"), None)
    draft = Draft(receipt["text"], model["name"], model["provider"], model["finish"], usage)
    citations = Citations(_read(tuple[Citation, ...], receipt["citations"]), failed="cite" in degraded)
    support = Support(_read(tuple[SentenceSupport, ...], receipt["support"]["sentences"]), failed="assess" in degraded)
    spent = Cost(rows, failed="tally" in degraded)
    before = {name: getattr(outcome, "value", None) for name, outcome in outcomes_of(paused).items()}
    after = (consent, tool_results, draft, citations, support, spent)
    made = before | dict(zip(("consent", "invoke", "reply", "cite", "assess", "tally"), after, strict=True))
    return Answer(
        run_id=receipt["run_id"],
        question=paused.question,
        mode=receipt["mode"],
        profile=receipt.get("profile", profile),
        status=_read(Status, receipt["status"]),
        text=receipt["text"],
        brief=paused.brief,
        evidence=paused.evidence,
        tool_results=tool_results,
        consent=consent,
        draft=draft,
        citations=citations,
        support=support,
        cost=spent,
        quality=_read(Quality, receipt["quality"]),
        outcomes={step.name: _outcome(step, made.get(step.name)) for step in (*steps, *skipped)},
        degraded=degraded,
        warnings=tuple(receipt["warnings"]),
        timing=_read(Timing, receipt["timing"]),
        speedup=receipt["speedup"],
        critical_path=tuple(receipt["critical_path"]),
        tiers=receipt["tiers"],
        error=error_of(receipt["error"]) if receipt["error"] else None,
        approvals=turn.approvals,
        hedges=receipt.get("hedges", {}),
    )


def _step(name: str, row: Mapping[str, Any]) -> PastStep:
    return PastStep(name, row["outcome"], row["reason"], "", row["seconds"], row["began"], row["ended"])


def _read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)
