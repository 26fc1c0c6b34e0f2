"""What requests may say and what responses say: the models behind ``/openapi.json``.

They are the wire's own, not the engine's nouns: a noun may be renamed, a field here may not (docs/http.md).

What goes out is written once. A small response is built as its model, which checks it, and pydantic writes it. A turn and
its receipt are JSON already, as they stand in the store, and events are written as they happen: these are sent as they
are, also such as an earlier version has kept, and the tests hold each of them to its model here. Sets of values
(:func:`one_of`) and forms of text are therefore said in the schema only.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from vital_engine.flow import REASONS
from vital_engine.modes import StepEvent
from vital_engine.nouns import Answer, ApprovalStatus, ArgumentSource, Effect, Limits, Status
from vital_engine.nouns.asked import MOST_PASSAGES
from vital_engine.nouns.codec import JSON
from vital_engine.turn.ask import LONGEST_NAME

from .problems import nearest, told
from .running import CANCELLED, RunningTurn


def one_of(*values: str) -> WithJsonSchema:
    """A text that is one of *values*."""
    return WithJsonSchema({"type": "string", "enum": list(values)})


Money: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$"})]
"""USD. A text, so that no reader rounds it."""
Moment: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
AnswerStatus: TypeAlias = Annotated[str, one_of(*get_args(Status))]
TurnStatus: TypeAlias = Annotated[str, one_of("running", "cancelled", *get_args(Status))]
CallStatus: TypeAlias = Annotated[str, one_of(*get_args(ApprovalStatus))]
StepOutcome: TypeAlias = Annotated[str, one_of("done", "degraded", "failed", "skipped")]
Source: TypeAlias = Annotated[str, one_of(*ArgumentSource)]
EffectClass: TypeAlias = Annotated[str, one_of(*Effect)]
Verdict: TypeAlias = Annotated[str, one_of("verified", "weak", "mismatch", "dangling")]
Reason: TypeAlias = Annotated[str, one_of(*REASONS)]


class Strict(BaseModel):
    """A body whose every field is known: one that is misspelt must not be one that is silently not obeyed."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for name in value:
                if name not in cls.model_fields:
                    raise ValueError(nearest(str(name), cls.model_fields))
        return value


class TurnLimits(Strict):
    """What one turn may use: seconds in all, tokens of the answer, US dollars for tools and model, passages of evidence."""

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    output_tokens: Annotated[int, Field(ge=1)] | None = None
    cost_usd: Annotated[Decimal, Field(ge=0)] | None = None
    passages: Annotated[int, Field(ge=1, le=MOST_PASSAGES)] = 8

    def noun(self) -> Limits:
        """The limits as the engine's noun."""
        return Limits(self.seconds, self.output_tokens, self.cost_usd, self.passages)


class TurnRequest(Strict):
    """A question, and how it is to be answered. ``settings``: those of a turn, for this turn alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "Does metformin lower HbA1c?"},
                {"question": "And in adults?", "mode": 4, "conversation": "metformin", "limits": {"seconds": 20}},
            ]
        }
    )

    question: str
    mode: int = 2
    expert: str | None = None
    conversation: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = None
    profile: str | None = None
    settings: dict[str, JSON] = Field(default_factory=dict)
    limits: TurnLimits = Field(default_factory=TurnLimits)
    stream: bool | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None

    def overrides(self) -> dict[str, JSON]:
        """The settings of this turn alone."""
        return self.settings if self.profile is None else {**self.settings, "profile": self.profile}


def _open(schema: dict[str, JSON]) -> None:
    """A later version may say more: a client must not refuse that. The tests do (tests/http_schema.py)."""
    schema.pop("additionalProperties", None)


class Body(BaseModel):
    """A part of a response. A field with a default may be left out of it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_open)


class Links(Body):
    """Where the rest of a turn is found."""

    turn: str
    events: str
    receipt: str
    cancel: str


class TurnError(Body):
    """Why an answer is not whole. ``message`` is fit for a user."""

    code: str
    message: str


# Tools, and who allowed their calls


class ToolCall(Body):
    """A call that was proposed. ``score``: how well it fits the question; ``definition``: the hash of the tool as it was."""

    id: str
    tool: str
    arguments: dict[str, JSON]
    reason: str
    score: float
    cost_usd: Money
    effect: EffectClass
    tainted: bool
    definition: str
    needs_consent: Annotated[bool, Field(description="No policy may approve it.")]
    sources: Annotated[list[Source], Field(description="What the arguments were read from; empty: not known.")]


class ToolResult(Body):
    """What became of a call. ``status``: done, or why not; ``text``: what the model read."""

    tool_call: ToolCall
    status: str
    text: str
    value: Any
    seconds: float
    error: str


class PersonsDecision(Body):
    """What a person said to a call. ``arguments``: all of them anew, for an edit."""

    action: Annotated[str, one_of("approve", "reject", "edit")]
    reason: str
    arguments: dict[str, JSON] | None


class ProposedCall(Body):
    """A call that a person is asked about, and all that became of it."""

    tool_call: ToolCall
    run_id: str
    arguments_hash: str
    key: str
    proposed_at: Moment
    expires_at: Moment
    status: CallStatus
    decision: PersonsDecision | None
    by: str
    decided_at: Moment | None
    attempts: int
    tool_result: ToolResult | None


class CallDecision(Body):
    """Whether a call was allowed to run, by whom (``policy``, or a person) and why."""

    tool_call: ToolCall
    approved: bool
    by: str
    reason: str
    at: Moment | None


# What is known of an answer


class Citation(Body):
    """A marker of the text, tied to the quote that carries it. ``start`` and ``end`` are characters of the document.

    ``sentence``: which of the answer, from 0. ``verdict``: verified (the quote stands in the document and the hard
    checks agree), weak (it stands there, they do not), mismatch (it does not stand there), dangling (no such passage).
    """

    marker: int
    verdict: Verdict
    sentence: int
    passage: str
    document: str
    title: str
    page: int | None
    start: int
    end: int
    quote: str
    source: str
    score: float | None
    notes: list[str]


class Quality(Body):
    """0 to 1; null: not known. ``cap``: what limited it."""

    score: float | None
    parts: dict[str, float | None]
    cap: str


class Cost(Body):
    """``usd`` null: something has no known price; ``at_least_usd`` is then the lower bound."""

    usd: Money | None
    at_least_usd: Money


class StepTiming(Body):
    """When a step ran: seconds since the turn began. ``critical``: the turn waited for it."""

    step: str
    makes: Annotated[str | None, Field(description="The class of what it made; null: it made nothing.")]
    began: float
    ended: float
    seconds: float
    outcome: StepOutcome
    reason: Reason | Literal[""]
    code: Annotated[str, Field(description="The code of its error; empty without one.")]
    critical: bool


class Timing(Body):
    """Seconds since the question. ``wait``: until the model was asked; null: it never came to that."""

    wait: float | None
    first_token: float | None
    last_token: float | None
    total: float


class ModelUsed(Body):
    """The model that answered, and why it stopped."""

    name: str
    provider: str
    finish: str


class _Told(Body):
    """What a turn and its receipt both say."""

    run_id: str
    mode: int
    profile: str
    status: AnswerStatus
    question: str
    text: str
    expert: str
    expert_reason: str
    expert_fallback: bool
    model: ModelUsed
    citations: list[Citation]
    quality: Quality
    tool_results: list[ToolResult]
    steps: dict[str, StepTiming]
    skipped: Annotated[dict[str, str], Field(description="Step -> why it did not run.")]
    degraded: Annotated[dict[str, Reason], Field(description="Step -> why it did not do its part.")]
    warnings: list[str]
    timing: Timing
    speedup: Annotated[float | None, Field(description="Seconds of all steps over those of the turn.")]
    critical_path: list[str]


SHOWN: Final = tuple(_Told.model_fields)
"""The parts of a receipt that make up a turn as clients see it; the receipt itself has all."""


class Turn(_Told):
    """A turn that has ended or is paused. ``support``: how well the evidence carries the text, 0 to 1."""

    conversation: str | None
    proposed: list[ProposedCall]
    error: TurnError | None
    support: float | None
    cost: Cost
    links: Links


class TurnProgress(Body):
    """A turn that has not ended, or was stopped: what is known of it. Left out where another server runs it:
    ``steps`` (step -> running, or its outcome), ``last_event`` (the log's latest number), ``error``."""

    run_id: str
    conversation: str | None
    mode: int
    status: TurnStatus
    question: str
    text: str
    begun_at: Moment
    links: Links
    error: TurnError | None = None
    steps: dict[str, Annotated[str, one_of("running", "done", "degraded", "failed", "skipped")]] | None = None
    last_event: int | None = None


class TurnFound(Links):
    """Where a turn is found; all of the answer if the same ``Idempotency-Key`` has begun it before."""

    run_id: str


class TurnAccepted(TurnFound):
    """A turn that has begun. ``written_down``: its beginning is in the store."""

    conversation: str | None
    status: Annotated[str, one_of("running")]
    written_down: bool


class TurnCancelled(TurnFound):
    """How the turn stands after the request to stop it."""

    status: TurnStatus


# The receipt


class RetrievedPassage(Body):
    """A passage that the model was shown; it is cited as ``[number]``."""

    number: int
    id: str
    document: str
    title: str
    page: int | None
    start: int
    end: int


class SentenceSupport(Body):
    """How well the evidence carries one sentence of the answer. ``checks``: the hard ones, by name."""

    sentence: int
    score: float | None
    passage: str
    quote: str
    checks: dict[str, bool]


class Support(Body):
    """``score``: the mean of the sentences that have one."""

    score: float | None
    sentences: list[SentenceSupport]


class TokenUsage(Body):
    """Tokens. ``cached`` is part of ``input``, ``reasoning`` of ``output``."""

    input: int
    output: int
    cached: int
    reasoning: int
    estimated: bool


class PaidCall(Body):
    """``status``: done, partial, failed, cancelled, or discarded (its words were not shown)."""

    id: str
    purpose: str
    model: str
    provider: str
    usage: TokenUsage | None
    status: str


class LedgerRow(Body):
    """A paid call and its price. ``price``: the list and date that it is from."""

    call: PaidCall
    usd: Money | None
    price: str


class Ledger(Cost):
    """What the turn cost, call by call."""

    calls: list[LedgerRow]


class Hedge(Body):
    """A call that was sent a second time: when, in seconds since the question, and whether a copy won."""

    sent: float
    won: bool


class Prefill(Body):
    """Tokens of the prompt that the model's server had read before the whole was known."""

    computed: int
    cached: int
    failed: bool


class Tier(Body):
    """Steps that run side by side: seconds of the wall, and seconds of work per second."""

    seconds: float
    speedup: float | None


class Receipt(_Told):
    """The turn's whole account. ``error``: the code of why the answer is not whole; empty if it is.

    ``version``: of this form. A receipt that an earlier version of the engine wrote is brought up to date when it is read.
    """

    version: Literal[2]
    error: str
    expert_scores: Annotated[dict[str, dict[str, float]], Field(description="Expert -> method -> score.")]
    hedges: dict[str, Hedge]
    prefilled: Prefill
    retrieved: list[RetrievedPassage]
    index_version: str
    cached: Annotated[list[str], Field(description="Steps whose product was known from before.")]
    support: Support
    cost: Ledger
    approvals: list[CallDecision]
    proposed: list[ProposedCall] = []
    tiers: dict[str, Tier]


# From the engine to the wire


def links(run_id: str) -> Links:
    """Where the rest of a turn is found."""
    base = f"/v1/turns/{run_id}"
    return Links(turn=base, events=f"{base}/events", receipt=f"{base}/receipt", cancel=f"{base}/cancel")


def turn_body(receipt: Mapping[str, Any], *, conversation: str | None = None) -> dict[str, JSON]:
    """A :class:`Turn`, as JSON, from its receipt: the same from memory and from the store."""
    code = CANCELLED if receipt["model"]["finish"] == "cancelled" else receipt["error"]
    return {
        **{name: receipt[name] for name in SHOWN},
        "conversation": conversation,
        "proposed": receipt.get("proposed", []),
        "error": {"code": code, "message": told(code)} if code else None,
        "support": receipt["support"]["score"],
        "cost": {name: receipt["cost"][name] for name in ("usd", "at_least_usd")},
        "links": links(receipt["run_id"]).model_dump(),
    }


def progress(entry: RunningTurn) -> TurnProgress:
    """A turn that runs here, or was stopped here."""
    ended = entry.log.ended
    code = (entry.cut or getattr(entry.log.error, "code", "") or CANCELLED) if ended else ""
    return TurnProgress(
        run_id=entry.run_id,
        conversation=entry.question.conversation,
        mode=entry.mode,
        status=("failed" if entry.log.error and not entry.cut else "cancelled") if ended else "running",
        question=entry.question.text,
        text=entry.text,
        error=TurnError(code=code, message=told(code)) if code else None,
        steps={e.step: e.outcome or "running" for e in entry.log.items if isinstance(e, StepEvent)},
        begun_at=entry.begun_at.isoformat(),
        last_event=len(entry.log.items),
        links=links(entry.run_id),
    )


def degradations(answer: Answer) -> str:
    """Which steps did not do their part, as a header says it: ``retrieve=timeout, tally=error``."""
    return ", ".join(f"{step}={reason}" for step, reason in answer.degraded.items())
