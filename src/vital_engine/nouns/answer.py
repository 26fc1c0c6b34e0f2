"""The result of a turn: the answer, all that can be checked about it, and its receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Annotated, Any, Literal, NamedTuple

from typing_extensions import TypedDict  # of typing, pydantic takes it from Python 3.12 on

from vital_engine.errors import StepFailed, VitalError, WrongType
from vital_engine.flow import Outcome, Reason, Skipped

from .approved import Approval
from .asked import Brief, Expert, Question
from .codec import (
    JSON,
    ErrorForm,
    OutcomeForm,
    error_from,
    from_form_1,
    made_by,
    outcome_from,
    product_in_form_1,
    read_value,
    to_json,
)
from .gathered import Consent, Decision, Evidence, Passage, ToolResult, ToolResults
from .replied import CACHE, Discarded, Draft, Prefilled, ReadConversation, ReadInstructions, ReadTools
from .reviewed import Citation, Citations, Cost, LedgerRow, Quality, SentenceSupport, Support, TurnRecord

RECEIPT_VERSION = 2
"""Of a receipt's form. Receipts without a version were written in form 1, and can be read."""

Status = Literal["complete", "paused", "partial", "failed"]


class TierFacts(TypedDict):
    """Of one tier: seconds from its first step's start to its last one's end, and the work done per second of that."""

    seconds: float
    speedup: float | None


class HedgeFacts(TypedDict):
    """Of one step: when its call was first sent a second time, in seconds since the question, and whether that one won."""

    sent: float
    won: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of a turn, in seconds since the question was asked; None: the turn did not come to that.

    :param wait: until the model was called.
    :param first_token: until the first token of the answer.
    :param last_token: until the last token of the answer.
    :param total: until the answer and its review were complete.
    """

    wait: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a turn. ``str(answer)`` is the text with its numbered sources.

    :param run_id: id of the turn.
    :param question: the question.
    :param mode: 1 to 4.
    :param profile: ``dataflow``, ``tiers`` or ``sequential``.
    :param status: complete, paused, partial (cut off) or failed.
    :param text: the answer.
    :param brief: the expert; None: none was chosen.
    :param evidence: what was retrieved.
    :param tool_results: what the tools returned.
    :param consent: the decisions on tool calls.
    :param draft: what the model wrote.
    :param citations: the checked citations.
    :param support: how well the evidence supports each sentence.
    :param cost: the ledger.
    :param quality: the grade.
    :param outcomes: step -> how it ended.
    :param degraded: step -> reason code, for each step that did not do its part.
    :param warnings: sentences for the user.
    :param timing: in seconds.
    :param speedup: seconds of all steps per second of the turn; 1.0 if the steps ran one after another; None if no time
        passed.
    :param critical_path: names of the steps that the end of the turn waited for.
    :param tiers: tier -> its duration, speed-up and success.
    :param error: what ended the turn; None: nothing did.
    :param approvals: the calls that a person decides, as they stand in this answer.
    :param hedges: step -> when its call was first sent a second time, and whether the second call won.
    """

    run_id: str
    question: Question
    mode: int
    profile: str
    status: Status
    text: str
    brief: Brief | None
    evidence: Evidence
    tool_results: ToolResults
    consent: Consent
    draft: Draft
    citations: Citations
    support: Support
    cost: Cost
    quality: Quality
    outcomes: Annotated[Mapping[str, Annotated[Outcome[Any], OutcomeForm]], "by step"]
    degraded: Mapping[str, Reason]
    warnings: tuple[str, ...]
    timing: Timing
    speedup: float | None
    critical_path: tuple[str, ...]
    tiers: Mapping[str, TierFacts] = field(default_factory=dict)
    error: Annotated[BaseException | None, ErrorForm] = None
    approvals: tuple[Approval, ...] = ()
    hedges: Mapping[str, HedgeFacts] = field(default_factory=dict)

    @property
    def overlap(self) -> float | None:
        """The same as ``speedup``."""
        return self.speedup

    @property
    def expert(self) -> str:
        """Id of the expert; empty if none was chosen."""
        return self.brief.expert.id if self.brief is not None else ""

    @property
    def prefilled(self) -> Prefilled:
        """Tokens of the prompt that the model server read before the whole prompt was known."""
        read = [o.value for o in self.outcomes.values() if isinstance(o.value, Prefilled)]
        return Prefilled(sum(one.computed for one in read), sum(one.cached for one in read))

    @property
    def cached(self) -> tuple[str, ...]:
        """Names of the steps whose product came from a cache, or from a turn that ran at the same time."""
        from_cache = self.draft.provider == CACHE
        return tuple(
            name
            for name, outcome in self.outcomes.items()
            # of what the model's server had read, ``cached`` is a number of tokens
            if getattr(outcome.value, "cached", False) is True or (from_cache and isinstance(outcome.value, Draft))
        )

    @property
    def code(self) -> str:
        """The stable code of :attr:`error`; empty if there is none."""
        if self.error is None:
            return ""
        return self.error.code if isinstance(self.error, VitalError) else StepFailed.code

    def raise_for_status(self) -> Answer:
        """Return this answer if it is complete.

        :returns: this answer.
        :raises VitalError: the turn failed, or its answer was cut off.
        """
        if self.error is None:
            return self
        if isinstance(self.error, VitalError):
            raise self.error
        raise StepFailed(f"the turn {self.run_id} is {self.status}") from self.error

    def timeline(self) -> list[StepRow]:
        """When each step ran, in seconds since the turn began.

        :returns: one row per step, in the order in which they began.
        """
        rows: list[StepRow] = [
            {
                "step": name,
                "makes": made_by(outcome),
                "began": outcome.began,
                "ended": outcome.ended,
                "seconds": outcome.seconds,
                "outcome": outcome.kind,
                "reason": outcome.reason,
                "code": outcome.code,
                "critical": name in self.critical_path,
            }
            for name, outcome in self.outcomes.items()
            if outcome.kind != "skipped" or outcome.ended > outcome.began
        ]
        return sorted(rows, key=lambda row: (row["began"], row["ended"]))

    def receipt(self) -> Receipt:
        """The turn's whole account as JSON: steps, paid calls, citations, approvals, the critical path.

        :returns: version :data:`RECEIPT_VERSION`; :meth:`from_receipt` reads it back.
        """
        return {
            "version": RECEIPT_VERSION,
            "run_id": self.run_id,
            "mode": self.mode,
            "profile": self.profile,
            "status": self.status,
            "error": self.code,
            "question": self.question.text,
            "text": self.text,
            "expert": self.expert,
            "expert_reason": self.brief.reason if self.brief else "",
            "expert_fallback": self.brief.fallback if self.brief else False,
            "expert_scores": to_json(self.brief.scores) if self.brief else {},
            "model": {"name": self.draft.model, "provider": self.draft.provider, "finish": self.draft.finish},
            "steps": {row["step"]: row for row in self.timeline()},
            "skipped": {n: o.because for n, o in self.outcomes.items() if isinstance(o, Skipped)},
            "degraded": dict(self.degraded),
            "hedges": to_json(self.hedges),
            "prefilled": to_json(self.prefilled),
            "warnings": list(self.warnings),
            "retrieved": [
                {
                    "number": i,
                    **{k: to_json(getattr(p, k)) for k in ("id", "document", "title", "page", "start", "end")},
                }
                for i, p in enumerate(self.evidence.passages, start=1)
            ],
            "index_version": self.evidence.index_version,
            "cached": list(self.cached),
            "citations": to_json(self.citations.items),
            "support": {"score": self.support.score, "sentences": to_json(self.support.sentences)},
            "quality": to_json(self.quality),
            "cost": {
                "usd": to_json(self.cost.usd),
                "at_least_usd": to_json(self.cost.at_least),
                "calls": to_json(self.cost.rows),
            },
            "approvals": to_json(self.consent.decisions),
            "proposed": to_json(self.approvals),
            "tool_results": to_json(self.tool_results.results),
            "timing": to_json(self.timing),
            "speedup": self.speedup,
            "tiers": to_json(self.tiers),
            "critical_path": list(self.critical_path),
        }

    def record(self) -> TurnRecord:
        """The turn as a store keeps it."""
        return TurnRecord(
            run_id=self.run_id,
            question=self.question,
            mode=self.mode,
            status=self.status,
            text=self.text,
            expert=self.expert,
            receipt=self.receipt(),
            citations=self.citations,
            cost=self.cost,
            seconds=self.timing.total,
        )

    @classmethod
    def from_receipt(
        cls,
        receipt: Mapping[str, Any],
        *,
        question: Question | None = None,
        brief: Brief | None = None,
        evidence: Evidence | None = None,
        outcomes: Mapping[str, Outcome[Any]] | None = None,
    ) -> Answer:
        """The answer that *receipt* tells of, also one that an earlier version wrote.

        Its receipt is *receipt* again. What that does not hold is lost: identity, the expert's instructions and the text of
        passages, which you can pass; the memory, the suggestions, what each step read ahead by itself (the first has
        their sum), the usage of a call that has no row in the ledger, errors' own texts, and the products of skipped steps.

        :param question: whose turn it was; default: its text, with an empty tenant and user.
        :param brief: the expert as it was; default: its id and the reason for it.
        :param evidence: what was found; default: the passages without their text.
        :param outcomes: by step, of which the receipt says only how they ended: their values are taken over.
        :raises WrongType: it is no receipt, or a newer engine wrote it.
        """
        return _from_receipt(cls, receipt, question, brief, evidence, outcomes or {})

    def __str__(self) -> str:
        """The text, and below it what its numbers stand for."""
        seen: dict[int, Citation] = {}
        for citation in self.citations:
            seen.setdefault(citation.marker, citation)
        lines = [f"[{number}] {_source(seen[number])}" for number in sorted(seen)]
        return "\n\n".join([self.text, "\n".join(lines)] if lines else [self.text])

    def __repr__(self) -> str:
        score = "unknown" if self.quality.score is None else f"{self.quality.score:.2f}"
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return (
            f"<Answer {self.status} {text!r} citations={len(self.citations)} quality={score} {self.timing.total:.2f}s>"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the text, its sources and its warnings, escaped."""
        seen = {citation.marker: citation for citation in reversed(self.citations.cited)}
        paragraphs = "".join(f"<p>{escape(part)}</p>" for part in self.text.split("\n\n"))
        sources = "".join(f"<li value='{n}'>{escape(_source(seen[n]))}</li>" for n in sorted(seen))
        warnings = "".join(f"<li>{escape(warning)}</li>" for warning in self.warnings)
        return (
            f"{paragraphs}{f'<ol>{sources}</ol>' if sources else ''}"
            f"{f'<ul class=warnings>{warnings}</ul>' if warnings else ''}<small>{escape(repr(self))}</small>"
        )


def _source(citation: Citation) -> str:
    page = f", p. {citation.page}" if citation.page is not None else ""
    quote = f': "{citation.quote}"' if citation.quote else ""
    return f"{citation.title or citation.document or citation.passage}{page} ({citation.verdict}){quote}"


class StepRow(TypedDict):
    """How one step ended. ``began``, ``ended``, ``seconds``: since the turn began; ``makes``: the class of its product."""

    step: str
    makes: str | None
    began: float
    ended: float
    seconds: float
    outcome: str
    reason: str
    code: str
    critical: bool


class Receipt(TypedDict):
    """A turn's whole account as JSON. Money is text, times are seconds."""

    version: int
    run_id: str
    mode: int
    profile: str
    status: Status
    error: str
    question: str
    text: str
    expert: str
    expert_reason: str
    expert_fallback: bool
    expert_scores: JSON
    model: JSON
    steps: dict[str, StepRow]
    skipped: dict[str, str]
    degraded: dict[str, str]
    hedges: JSON
    prefilled: JSON
    warnings: list[str]
    retrieved: JSON
    index_version: str
    cached: list[str]
    citations: JSON
    support: JSON
    quality: JSON
    cost: JSON
    approvals: JSON
    proposed: JSON
    tool_results: JSON
    timing: JSON
    speedup: float | None
    tiers: JSON
    critical_path: list[str]


_KNOWN, _DISCARDED = "known", "discarded"
"""Why a step was skipped whose product came from elsewhere; the status of a call whose words were not shown."""
_RENAMED_SINCE_1: Mapping[str, Any] = {
    "approvals": tuple[Decision, ...],
    "proposed": tuple[Approval, ...],
    "tool_results": tuple[ToolResult, ...],
}
"""The parts of a receipt whose fields had other names in form 1."""


def receipt_today(receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    """*receipt*, which an earlier version may have written, in the form of today."""
    if receipt.get("version", 1) != 1 or "steps" not in receipt:
        return receipt
    steps = {}
    for name, row in receipt["steps"].items():
        makes = None if row["outcome"] == "failed" else product_in_form_1(name)
        steps[name] = {"makes": makes, "code": StepFailed.code if row["reason"] else "", **row}
    return {
        "profile": "",
        "hedges": {},
        "prefilled": to_json(Prefilled()),
        "proposed": [],
        **{key: value for key, value in receipt.items() if key != "guess"},
        **{key: from_form_1(kind, receipt[key]) for key, kind in _RENAMED_SINCE_1.items() if key in receipt},
        "version": RECEIPT_VERSION,
        "steps": steps,
    }


def _from_receipt(
    cls: type[Answer],
    receipt: Mapping[str, Any],
    question: Question | None,
    brief: Brief | None,
    evidence: Evidence | None,
    before: Mapping[str, Outcome[Any]],
) -> Answer:
    version = receipt.get("version", 1)
    if version not in (1, RECEIPT_VERSION):
        raise WrongType(
            f"a receipt of version {version!r} cannot be read, only 1 and {RECEIPT_VERSION}", service="codec"
        )
    try:
        receipt = receipt_today(receipt)
        products = _products(receipt, brief, evidence)
        made: dict[str, Any] = {type(noun).__name__: noun for noun in products}
        made |= {type(o.value).__name__: o.value for o in before.values() if o.value is not None}
        return cls(
            run_id=receipt["run_id"],
            question=question or Question(receipt["question"], "", "", run_id=receipt["run_id"]),
            mode=receipt["mode"],
            profile=receipt["profile"],
            status=read_value(Status, receipt["status"]),
            text=receipt["text"],
            brief=made.get(Brief.__name__),
            evidence=made[Evidence.__name__],
            tool_results=made[ToolResults.__name__],
            consent=made[Consent.__name__],
            draft=made[Draft.__name__],
            citations=made[Citations.__name__],
            support=made[Support.__name__],
            cost=made[Cost.__name__],
            quality=read_value(Quality, receipt["quality"]),
            outcomes=_outcomes(receipt, made),
            degraded=dict(receipt["degraded"]),
            warnings=tuple(receipt["warnings"]),
            timing=read_value(Timing, receipt["timing"]),
            speedup=receipt["speedup"],
            critical_path=tuple(receipt["critical_path"]),
            tiers=receipt["tiers"],
            error=error_from(receipt["error"]) if receipt["error"] else None,
            approvals=read_value(tuple[Approval, ...], receipt["proposed"]),
            hedges=receipt["hedges"],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise WrongType(f"this is no receipt: {type(error).__name__}", service="codec") from error


def _products(receipt: Mapping[str, Any], brief: Brief | None, evidence: Evidence | None) -> list[object]:
    """What the steps made, as far as the receipt tells."""
    steps: list[StepRow] = list(receipt["steps"].values())
    broke = {row["makes"] for row in steps if row["outcome"] == "degraded"}
    cached = {row["makes"] for row in steps if row["step"] in receipt["cached"]}

    def failed(kind: type) -> bool:
        return kind.__name__ in broke

    rows = read_value(tuple[LedgerRow, ...], receipt["cost"]["calls"])
    unknown = receipt["cost"]["usd"] is None and all(row.usd is not None for row in rows)
    made: list[object] = [
        Consent(read_value(tuple[Decision, ...], receipt["approvals"])),
        ToolResults(read_value(tuple[ToolResult, ...], receipt["tool_results"]), failed(ToolResults)),
        Citations(read_value(tuple[Citation, ...], receipt["citations"]), failed(Citations)),
        Support(read_value(tuple[SentenceSupport, ...], receipt["support"]["sentences"]), failed(Support)),
        Cost(rows, unknown),
        _draft(receipt, rows),
    ]
    if brief is None and receipt["expert"]:
        expert = Expert(receipt["expert"], receipt["expert"], "", "")
        brief = Brief(expert, receipt["expert_reason"], receipt["expert_scores"], receipt["expert_fallback"])
    if brief is not None:
        made.append(brief)
    if evidence is None:
        found = [{"text": "", **{k: v for k, v in p.items() if k != "number"}} for p in receipt["retrieved"]]
        passages = read_value(tuple[Passage, ...], found)
        version = receipt["index_version"]
        evidence = Evidence(passages, failed(Evidence), version, cached=Evidence.__name__ in cached)
    made.append(evidence)
    whole = read_value(Prefilled, receipt["prefilled"])  # the sum of what they read stands in the first of them
    for kind in (ReadInstructions, ReadConversation, ReadTools):
        if kind.__name__ in {row["makes"] for row in steps}:
            made.append(kind(whole.computed, whole.cached, failed(kind)))
            whole = Prefilled()
    return made


def _draft(receipt: Mapping[str, Any], rows: Sequence[LedgerRow]) -> Draft:
    model, kept = receipt["model"], [row.call for row in rows if row.call.status != _DISCARDED]
    lost = [row.call for row in rows if row.call.status == _DISCARDED]
    cut = [r["code"] for r in receipt["steps"].values() if r["makes"] == "Draft" and r["outcome"] == "degraded"]
    return Draft(
        receipt["text"],
        model["name"],
        model["provider"],
        model["finish"],
        kept[0].usage if kept else None,
        cut[0] if cut else "",
        tuple(Discarded(call.purpose, call.usage, call.model, call.provider) for call in lost),
    )


def _outcomes(receipt: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Outcome[Any]]:
    skipped, cached = receipt["skipped"], receipt["cached"]
    outcomes: dict[str, Outcome[Any]] = {}
    rows = receipt["steps"]
    for name in (
        *(n for n in cached if n in rows),
        *(n for n in rows if n not in cached),
    ):  # in the order of ``cached``
        row, because = rows[name], skipped.get(name, "")
        given = {**row, "kind": row["outcome"], "made": row["makes"], "error": row["code"], "cached": name in cached}
        outcomes[name] = outcome_from({**given, "because": because, "known": because == _KNOWN}, made)
    for name, because in skipped.items():
        outcomes.setdefault(name, Skipped(because, None, because == _KNOWN))
    return outcomes


class TurnEnded(NamedTuple):
    """The last event in a turn's log, after those of its flows: the answer, whatever its status."""

    answer: Answer
