"""Spans of real flows, exported in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from seed_profile import TIERS_TOTAL
from vital_engine.errors import ConfigError, ModelUnavailable
from vital_engine.flow import Flow, FlowEnded, run_virtual, step
from vital_engine.monitoring import Tracing
from vital_engine.monitoring.otel import VERSIONS
from vital_engine.nouns import Evidence


@dataclass
class Exported:
    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {s.name: s for s in self.exporter.get_finished_spans()}

    def __str__(self) -> str:
        return "\n".join(s.to_json() for s in self.exporter.get_finished_spans())


@pytest.fixture
def exported() -> Iterator[Exported]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Exported(provider, exporter)
    provider.shutdown()


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None and span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


TURN, REPLY = "invoke_agent cardiology", "chat small-1"


def test_a_span_per_turn_and_a_child_per_step(build: Any, exported: Exported, question: Any) -> None:
    run_virtual(build().run(question, observers=[Tracing(exported.provider)(question, 2)]))
    spans = exported.spans
    assert set(spans) == {TURN, "brief", "retrieval", "suggest", "search_memory", REPLY, "cite", "assess", "tally"}
    turn = spans.pop(TURN)
    assert turn.parent is None and seconds(turn) == pytest.approx(TIERS_TOTAL, abs=1e-6)
    for span in spans.values():
        assert span.parent is not None and span.parent.span_id == turn.context.span_id
    assert seconds(spans["retrieval"]) == pytest.approx(0.5, abs=1e-6)
    assert spans["retrieval"].start_time == spans["suggest"].start_time
    assert turn.attributes["vital.run_id"] == "run-1"
    assert turn.attributes["gen_ai.agent.name"] == "cardiology"


def test_the_model_and_those_that_read_along(build: Any, exported: Exported, question: Any) -> None:
    run_virtual(build().run(question, observers=[Tracing(exported.provider)(question, 2)]))
    reply, cite = exported.spans[REPLY], exported.spans["cite"]
    assert reply.kind is SpanKind.CLIENT
    assert reply.attributes["gen_ai.response.model"] == "small-1"
    assert reply.attributes["gen_ai.provider.name"] == "openai"
    assert reply.attributes["gen_ai.usage.input_tokens"] == 900
    assert reply.attributes["gen_ai.usage.cache_read.input_tokens"] == 600
    assert reply.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.0)
    assert [e.name for e in reply.events] == ["first item"]
    assert cite.attributes["vital.own_seconds"] == pytest.approx(0.15)
    assert cite.attributes["vital.stream_wait_seconds"] == pytest.approx(1.5)


def test_a_turn_belongs_to_the_request_in_which_it_runs(build: Any, exported: Exported, question: Any) -> None:
    tracing = Tracing(exported.provider)

    async def request() -> None:
        with exported.provider.get_tracer("server").start_as_current_span("POST /v1/turns"):
            await build().run(question, observers=[tracing(question, 2)])

    async def two() -> None:
        await asyncio.gather(request(), request())

    run_virtual(two())
    spans = exported.exporter.get_finished_spans()
    servers = {s.context.span_id for s in spans if s.name == "POST /v1/turns"}
    turns = [s for s in spans if s.name == TURN]
    assert {s.parent.span_id for s in turns if s.parent} == servers and len(turns) == 2
    for step_span in (s for s in spans if s.name == "retrieval"):
        (turn,) = [t for t in turns if t.context.trace_id == step_span.context.trace_id]
        assert step_span.parent is not None and step_span.parent.span_id == turn.context.span_id


def test_errors_are_codes_and_payloads_are_off(build: Any, exported: Exported, question: Any, canary: str) -> None:
    script = {"reply": ModelUnavailable(f"cannot say {canary}"), "retrieve": RuntimeError(canary)}
    run_virtual(build(script).run(question, observers=[Tracing(exported.provider)(question, 2)]))
    run_virtual(build().run(question, observers=[Tracing(exported.provider)(question, 2)]))
    failed = next(s for s in exported.exporter.get_finished_spans() if s.name == "chat")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "model.unavailable"
    assert failed.attributes["vital.reason"] == "error"
    assert next(iter(exported.exporter.get_finished_spans())).attributes is not None
    assert canary not in str(exported)


def test_payloads_on_request(build: Any, exported: Exported, question: Any, canary: str) -> None:
    run_virtual(build().run(question, observers=[Tracing(exported.provider, payloads=True)(question, 2)]))
    assert canary in exported.spans[TURN].attributes["gen_ai.input.messages"]
    assert canary in exported.spans[REPLY].attributes["gen_ai.output.messages"]
    assert "gen_ai.retrieval.documents" in exported.spans["retrieval"].attributes
    assert question.user not in str(exported)


def test_what_never_ran_is_an_event_of_the_turn(build: Any, exported: Exported, question: Any) -> None:
    run_virtual(build().run(question, Evidence(), observers=[Tracing(exported.provider)(question, 2)]))
    (event,) = exported.spans[TURN].events
    assert event.attributes == {"vital.step": "retrieve", "vital.why": "known"}


def test_a_cancelled_turn_is_exported_and_says_so(build: Any, exported: Exported, question: Any) -> None:
    async def scenario() -> None:
        observers = [Tracing(exported.provider)(question, 2)]
        turn = asyncio.get_running_loop().create_task(build().run(question, observers=observers))
        await asyncio.sleep(1.0)
        turn.cancel()
        await asyncio.wait({turn})

    run_virtual(scenario())
    assert exported.spans[TURN].attributes["error.type"] == "cancelled"
    assert seconds(exported.spans[TURN]) == pytest.approx(1.0, abs=1e-6)


def test_what_follows_the_turn_is_part_of_it(build: Any, exported: Exported, question: Any) -> None:
    async def save() -> Evidence:
        return Evidence()

    async def scenario() -> None:
        observers = [Tracing(exported.provider)(question, 2)]
        await build().run(question, observers=observers)
        await Flow("save", step(save)).run(observers=observers)

    run_virtual(scenario())
    assert exported.spans["save"].parent.span_id == exported.spans[TURN].context.span_id


def test_a_reader_is_linked_to_the_turn_and_not_part_of_it(build: Any, exported: Exported, question: Any) -> None:
    tracing = Tracing(exported.provider)
    trace = tracing(question, 2)
    run_virtual(build().run(question, observers=[trace]))
    with pytest.raises(ConnectionError), tracing.reading("sse", of=trace.span_context):
        raise ConnectionError("gone")
    reader = exported.spans["read sse"]
    assert reader.parent is None and reader.links[0].context.span_id == exported.spans[TURN].context.span_id
    assert reader.attributes["error.type"] == "ConnectionError" and not reader.events


@pytest.mark.parametrize("version", VERSIONS)
def test_names_by_version(build: Any, exported: Exported, question: Any, version: str) -> None:
    run_virtual(
        build().run(question, observers=[Tracing(exported.provider, payloads=True, version=version)(question, 2)])
    )
    reply = next(s for s in exported.exporter.get_finished_spans() if s.attributes.get("vital.step") == "reply")
    assert reply.attributes["gen_ai.system" if version == "1.36" else "gen_ai.provider.name"] == "openai"


def test_there_is_no_version_of_tomorrow() -> None:
    with pytest.raises(ConfigError):
        Tracing(version="9")


def test_without_the_sdk_nothing_happens(build: Any, question: Any) -> None:
    seen: list[Any] = []
    run = run_virtual(build().run(question, observers=[Tracing()(question, 2), seen.append]))
    assert not run.degraded and isinstance(seen[-1], FlowEnded)
