"""All three watchers on one workflow: each sees the whole turn, and none sees what it must not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from vital_engine.errors import ModelUnavailable
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.monitoring import Tracing, default_watchers, log_turn
from vital_engine.testing import run_virtual, scripted


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    kept: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert isinstance(record.msg, dict)
            kept.append({**record.msg, "at_level": record.levelname})

    log, handler = logging.getLogger("vital_engine.turn"), Keep()
    level = log.level
    log.setLevel("INFO")
    log.addHandler(handler)
    yield kept
    log.removeHandler(handler)
    log.setLevel(level)


def test_the_end_of_a_turn_is_logged_with_its_status_time_and_cost(
    question: Any, canary: str, records: list[dict[str, Any]]
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watchers: list[Any] = [*default_watchers(), log_turn, Tracing(provider)]
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(reply=1.5), watchers=watchers).execute(question))
    (end,) = [r for r in records if r["event"] == "turn ended"]
    assert (end["outcome"], end["seconds"], end["code"]) == ("complete", answer.timing.total, "")
    assert end["cost_usd"] == str(answer.cost.usd) and end["first_token"] == answer.timing.first_token
    names = {s.name for s in exporter.get_finished_spans()}
    assert {f"invoke_agent {answer.expert}", "chat scripted", "save"} <= names
    assert canary not in str(records) + "".join(s.to_json() for s in exporter.get_finished_spans())


def test_a_failed_turn_is_an_error_with_a_code(question: Any, records: list[dict[str, Any]]) -> None:
    services = scripted(reply=ModelUnavailable("down"))
    run_virtual(Mode2AutomaticWorkflow(services, watchers=[log_turn]).execute(question))
    (end,) = [r for r in records if r["event"] == "turn ended"]
    assert (end["at_level"], end["outcome"]) == ("ERROR", "failed")
    assert end["code"] == "model.unavailable"
