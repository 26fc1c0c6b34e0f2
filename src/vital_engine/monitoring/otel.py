"""A span per turn and a child per step, by the OpenTelemetry API. Without its SDK nothing is recorded.

A turn's span is a child of whatever is current where the turn runs, as the server's span of an HTTP request.
Times are those of the events, on the loop's clock, laid on the wall clock once per flow. An error is recorded by its
code, never by its text. What people and models wrote is recorded only with ``payloads``.

The OpenTelemetry GenAI attribute names stand here too, by version of the conventions, and nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer, TracerProvider

from vital_engine.errors import ConfigError, code_of
from vital_engine.flow import Outcome, StepEnded, StepStarted
from vital_engine.nouns import Brief, Draft, Evidence, Question
from vital_engine.turn.plan import RECALL, REPLY, RETRIEVE

from .watch import TURN, OpenFlow, Watch

#: Stable, of the general conventions.
ERROR_TYPE: Final = "error.type"

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"


@dataclass(frozen=True, slots=True)
class Names:
    """Attribute names. ``operations``: step -> the well-known operation that it is."""

    version: str
    provider: str = "gen_ai.provider.name"
    operation: str = "gen_ai.operation.name"
    agent: str = "gen_ai.agent.name"
    conversation: str = "gen_ai.conversation.id"
    response_model: str = "gen_ai.response.model"
    finish_reasons: str = "gen_ai.response.finish_reasons"
    input_tokens: str = "gen_ai.usage.input_tokens"
    output_tokens: str = "gen_ai.usage.output_tokens"
    cached_tokens: str | None = "gen_ai.usage.cache_read.input_tokens"
    reasoning_tokens: str | None = "gen_ai.usage.reasoning.output_tokens"
    time_to_first_chunk: str | None = "gen_ai.response.time_to_first_chunk"
    input_messages: str | None = "gen_ai.input.messages"
    output_messages: str | None = "gen_ai.output.messages"
    documents: str | None = "gen_ai.retrieval.documents"
    query: str | None = "gen_ai.retrieval.query.text"
    operations: Mapping[str, str] = field(
        default_factory=lambda: {REPLY.name: CHAT, RETRIEVE.name: "retrieval", RECALL.name: "search_memory"}
    )


_V0_1: Final = Names("0.1")
_V1_41: Final = replace(_V0_1, version="1.41", operations={REPLY.name: CHAT, RETRIEVE.name: "retrieval"})
_V1_36: Final = replace(
    _V1_41,
    version="1.36",
    provider="gen_ai.system",
    cached_tokens=None,
    reasoning_tokens=None,
    time_to_first_chunk=None,
    input_messages=None,
    output_messages=None,
    documents=None,
    query=None,
    operations={REPLY.name: CHAT},
)
VERSIONS: Final[Mapping[str, Names]] = {n.version: n for n in (_V1_36, _V1_41, _V0_1)}
LATEST: Final = _V0_1.version


def names(version: str = LATEST) -> Names:
    """The names of one *version*.

    :raises ConfigError: it is not one of :data:`VERSIONS`.
    """
    if version not in VERSIONS:
        raise ConfigError(f"no GenAI names of version {version!r}; there are {', '.join(VERSIONS)}")
    return VERSIONS[version]


INSTRUMENTATION = "vital_engine"


class Tracing:
    """Makes the observer that traces one turn; pass it to a workflow as one of its watchers.

    :param provider: where spans go; None: the process's own, as ``trace.set_tracer_provider`` set it.
    :param payloads: record the question, the answer and the ids of passages too. They may hold personal data.
    :param version: of the GenAI conventions; see :class:`Names`.
    :raises ConfigError: there is no such version.
    """

    def __init__(
        self, provider: TracerProvider | None = None, *, payloads: bool = False, version: str = LATEST
    ) -> None:
        self.names = names(version)
        self.payloads = payloads
        self.tracer: Tracer = trace.get_tracer(INSTRUMENTATION, tracer_provider=provider)

    def __call__(self, question: Question, mode: int) -> TurnTrace:
        return TurnTrace(self.tracer, self.names, question, mode, self.payloads)

    @contextmanager
    def reading(self, reader: str, *, of: SpanContext | None = None) -> Iterator[Span]:
        """A span for a reader of a turn's stream. It is linked to the turn and not part of it, because it may outlive
        the turn.

        :param reader: kind of the reader.
        :param of: context of the turn's span.
        """
        links = [Link(of)] if of is not None and of.is_valid else []
        with self.tracer.start_as_current_span(
            f"read {reader}", links=links, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute(ERROR_TYPE, code_of(error))
                span.set_status(Status(StatusCode.ERROR, code_of(error)))
                raise


class TurnTrace(Watch):
    """See :class:`Tracing`. ``span_context``: of the turn's span, once it has begun."""

    __slots__ = ("_epochs", "_names", "_payloads", "_question", "_roots", "_steps", "_tracer", "_turn", "mode")

    def __init__(self, tracer: Tracer, names: Names, question: Question, mode: int, payloads: bool) -> None:
        super().__init__()
        self._tracer, self._names, self._question, self._payloads = tracer, names, question, payloads
        self.mode = mode
        self._roots: dict[str, Span] = {}
        self._epochs: dict[str, int] = {}  # flow -> nanoseconds since 1970 at which its loop's clock was 0
        self._steps: dict[tuple[str, str], Span] = {}
        self._turn: Context | None = None

    @property
    def span_context(self) -> SpanContext | None:
        """Context of the turn's span, once it has begun."""
        return trace.get_current_span(self._turn).get_span_context() if self._turn is not None else None

    # -- flows
    def flow_started(self, flow: OpenFlow) -> None:
        """Open the turn's span."""
        self._epochs[flow.name] = time.time_ns() - int(flow.at * 1e9)
        if self._turn is not None:  # what follows the turn, as its saving, is part of it
            return
        n, whole = self._names, flow.name == TURN
        span = self._tracer.start_span(INVOKE_AGENT if whole else flow.name, start_time=self._at(flow, flow.at))
        self._roots[flow.name] = span
        if whole:
            self._turn = trace.set_span_in_context(span)
        if not span.is_recording():
            return
        span.set_attributes(
            {
                n.operation: INVOKE_AGENT,
                "vital.mode": self.mode,
                "vital.run_id": self._question.run_id,
                "vital.tenant": self._question.tenant,
            }
        )
        if self._question.conversation:
            span.set_attribute(n.conversation, self._question.conversation)
        if self._payloads and n.input_messages:
            span.set_attribute(n.input_messages, _message("user", self._question.text))

    def flow_ended(self, flow: OpenFlow, cancelled: bool) -> None:
        """Close the turn's span."""
        span = self._roots.pop(flow.name, None)
        if span is None:
            return
        failed = [e.outcome for e in flow.ended if e.outcome.kind == "failed"]
        if cancelled:
            _mark(span, "cancelled")
        elif failed:
            _mark(span, failed[0].code)
        span.end(self._at(flow, flow.last))

    # -- steps
    def step_started(self, flow: OpenFlow, event: StepStarted) -> None:
        """Open a step's span."""
        root = self._roots.get(flow.name)
        parent = trace.set_span_in_context(root) if root is not None else self._turn
        operation = self._names.operations.get(event.step)
        span = self._tracer.start_span(
            operation or event.step,
            context=parent,
            kind=SpanKind.CLIENT if event.step == REPLY.name else SpanKind.INTERNAL,
            start_time=self._at(flow, event.at),
        )
        self._steps[flow.name, event.step] = span
        if span.is_recording():
            span.set_attribute("vital.step", event.step)
            if event.tier:
                span.set_attribute("vital.tier", event.tier)
            if operation:
                span.set_attribute(self._names.operation, operation)

    def step_ended(self, flow: OpenFlow, event: StepEnded) -> None:
        """Close a step's span, with its outcome."""
        span = self._steps.pop((flow.name, event.step), None)
        root = self._roots.get(flow.name)
        if span is None:
            if root is not None and root.is_recording():
                at = self._at(flow, event.at)
                root.add_event("step not run", {"vital.step": event.step, "vital.why": _why(event.outcome)}, at)
            return
        if span.is_recording():
            self._describe(flow, event, span, root)
        span.end(self._at(flow, event.at))

    def _describe(self, flow: OpenFlow, event: StepEnded, span: Span, root: Span | None) -> None:
        outcome = event.outcome
        span.set_attribute("vital.outcome", outcome.kind)
        span.set_attribute("vital.own_seconds", outcome.seconds)
        waited = round(outcome.ended - outcome.began - outcome.seconds, 9)
        if waited > 0:
            span.set_attribute("vital.stream_wait_seconds", waited)
        if outcome.broke:
            span.set_attribute("vital.reason", outcome.reason)
            _mark(span, outcome.code)
        stream = flow.streams.get(event.step)
        if stream is not None and stream.first_at is not None:
            span.add_event("first item", timestamp=self._at(flow, stream.first_at))
            if event.step == REPLY.name and self._names.time_to_first_chunk:
                span.set_attribute(self._names.time_to_first_chunk, stream.first_at - flow.at - outcome.began)
        match outcome.value:
            case Draft() as draft:
                self._describe_draft(span, draft)
            case Evidence() as evidence:
                self._describe_evidence(span, evidence)
            case Brief() as brief if root is not None:
                root.update_name(f"{INVOKE_AGENT} {brief.expert.id}")
                root.set_attribute(self._names.agent, brief.expert.id)

    def _describe_draft(self, span: Span, draft: Draft) -> None:
        n = self._names
        if draft.model:
            span.update_name(f"{n.operations[REPLY.name]} {draft.model}")
            span.set_attribute(n.response_model, draft.model)
        if draft.provider:
            span.set_attribute(n.provider, draft.provider)
        span.set_attribute(n.finish_reasons, [draft.finish])
        if (usage := draft.usage) is not None:
            counts = {
                n.input_tokens: usage.input,
                n.output_tokens: usage.output,
                n.cached_tokens: usage.cached,
                n.reasoning_tokens: usage.reasoning,
            }
            span.set_attributes({name: count for name, count in counts.items() if name is not None})
            if usage.estimated:
                span.set_attribute("vital.usage_estimated", True)
        if self._payloads and n.output_messages:
            span.set_attribute(n.output_messages, _message("assistant", draft.text, finish_reason=draft.finish))

    def _describe_evidence(self, span: Span, evidence: Evidence) -> None:
        n = self._names
        span.set_attribute("vital.passages", len(evidence.passages))
        if self._payloads and n.documents and n.query:
            found = [{"id": p.id, "score": p.score} for p in evidence.passages]
            span.set_attribute(n.documents, json.dumps(found))
            span.set_attribute(n.query, self._question.text)

    def _at(self, flow: OpenFlow, at: float) -> int:
        return self._epochs[flow.name] + int(at * 1e9)


def _mark(span: Span, code: str) -> None:
    span.set_attribute(ERROR_TYPE, code)
    span.set_status(Status(StatusCode.ERROR, code))


def _why(outcome: Outcome[Any]) -> str:
    return outcome.reason or ("known" if outcome.made else "unmet")


def _message(role: str, text: str, **more: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}], **more}], ensure_ascii=False)
