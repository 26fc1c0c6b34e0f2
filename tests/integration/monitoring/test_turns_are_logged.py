"""What a log holds of a turn, and what it must not."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from vital_engine.errors import ConfigError, ModelUnavailable
from vital_engine.flow import Flow, Hedge, run_virtual, step
from vital_engine.monitoring import LogWriter, configure, log_turn, registry
from vital_engine.monitoring.logs import logger


class TurnRecord: ...


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written() -> Iterator[Callable[..., Lines]]:
    """Configure logs into memory; the call that it gives flushes them and reads them."""
    root = logging.getLogger()
    handlers, level, writers = root.handlers[:], root.level, list[LogWriter]()

    def begin(**settings: Any) -> Lines:
        stream = io.StringIO()
        writer = configure(stream=stream, **settings)
        writers.append(writer)

        def read() -> list[dict[str, Any]]:
            writer.stop()
            return [json.loads(line) for line in stream.getvalue().splitlines()]

        return read

    yield begin
    for writer in writers:
        writer.stop()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_one_record_per_start_and_end(build: Any, question: Any, written: Any) -> None:
    read = written()
    run_virtual(build().run(question, observers=[log_turn(question, 2)]))
    lines = read()
    steps = ("brief", "retrieve", "suggest", "recall", "reply", "cite", "assess", "tally")
    for event in ("step started", "step ended"):
        assert sorted(x["step"] for x in lines if x["event"] == event) == sorted(steps)
    for line in lines:
        assert (line["run_id"], line["tenant"], line["mode"]) == ("run-1", "tenant-1", 2)
        assert line["level"] == "info" and line["logger"] == "vital_engine.turn" and line["at"].endswith("+00:00")
    (cited,) = [x for x in lines if x["event"] == "step ended" and x["step"] == "cite"]
    assert (cited["outcome"], cited["seconds"], cited["tier"]) == ("done", 0.15, "tier2")


def test_a_late_call_is_said_with_what_became_of_its_copy(question: Any, written: Any) -> None:
    async def work() -> TurnRecord:
        await asyncio.sleep(9)
        return TurnRecord()

    async def copy() -> TurnRecord:
        return TurnRecord()

    hedge, read = Hedge(after=1.0), written()
    hedge._tokens = 4.0
    late = Flow("turn", step(work).named("retrieve").hedged(copy, hedge))
    run_virtual(late.run(observers=[log_turn(question, 2)]))
    assert [(x["step"], x["copy"]) for x in read() if x["event"] == "call late"] == [("retrieve", "sent_won")]


def test_a_failed_step_is_a_warning_with_a_code(build: Any, question: Any, written: Any) -> None:
    read = written()
    script = {"retrieve": "hang", "reply": ModelUnavailable("x", service="model")}
    run_virtual(build(script).run(question, observers=[log_turn(question, 2)]))
    warned = {
        x["step"]: (x["outcome"], x["reason"], x["code"], x.get("service")) for x in read() if x["level"] == "warning"
    }
    assert warned["retrieve"] == ("degraded", "timeout", "TimeoutError", None)
    assert warned["reply"] == ("failed", "error", "model.unavailable", "model")


def test_a_cancelled_turn_has_an_end(build: Any, question: Any, written: Any) -> None:
    read = written()

    async def scenario() -> None:
        turn = asyncio.get_running_loop().create_task(build().run(question, observers=[log_turn(question, 2)]))
        await asyncio.sleep(1.0)
        turn.cancel()
        await asyncio.wait({turn})

    run_virtual(scenario())
    (end,) = [x for x in read() if x["event"] == "turn ended"]
    assert (end["outcome"], end["seconds"]) == ("cancelled", 1.0)


def test_no_text_of_people_models_or_exceptions_at_info(build: Any, question: Any, written: Any, canary: str) -> None:
    read = written()

    def breaks(event: object) -> None:
        raise ValueError(f"quoting {canary}")

    for script in ({}, {"retrieve": RuntimeError(canary)}, {"reply": ModelUnavailable(canary)}):
        run_virtual(build(script).run(question, observers=[log_turn(question, 2), breaks]))
    lines = read()
    assert canary not in json.dumps(lines)
    broken = next(x for x in lines if x["event"] == "an observer failed")
    assert broken["code"] == "ValueError" and "breaks" in broken["observer"]
    assert any(frame.endswith(" breaks") for frame in broken["frames"])


def test_texts_of_exceptions_at_debug(written: Any) -> None:
    read = written(level="debug")
    try:
        raise ValueError("the whole story")
    except ValueError:
        logging.getLogger("vital_engine.x").exception("it failed")
        logger("vital_engine.y", tenant="t").exception("so did this")
    lines = read()
    assert [("the whole story" in x["exception"]) for x in lines] == [True, True]


def test_records_of_other_libraries_have_the_same_form(written: Any) -> None:
    theirs = logging.getLogger("uvicorn.access")
    theirs.addHandler(logging.StreamHandler(io.StringIO()))
    theirs.propagate = False
    read = written()
    with structlog.contextvars.bound_contextvars(run_id="r-9"):
        theirs.info('%s - "%s" %d', "127.0.0.1", "GET /livez", 200)
    (line,) = read()
    assert line["event"] == '127.0.0.1 - "GET /livez" 200'
    assert (line["logger"], line["run_id"]) == ("uvicorn.access", "r-9")


def test_structlogs_own_loggers_are_routed_too(written: Any) -> None:
    read = written()
    structlog.get_logger("vital_engine.services").info("ingested", documents=3)
    (line,) = read()
    assert (line["event"], line["documents"], line["logger"]) == ("ingested", 3, "vital_engine.services")


def test_below_the_level_nothing_is_written(build: Any, question: Any, written: Any) -> None:
    read = written(level="error")
    run_virtual(build().run(question, observers=[log_turn(question, 2)]))
    assert read() == []


def test_a_stalled_pipe_loses_records_and_never_waits(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vital_engine.monitoring.logs.QUEUE_RECORDS", 10)
    stalled, reached = threading.Event(), threading.Event()

    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            reached.set()
            stalled.wait(10)
            return len(text)

    before = registry.get_sample_value("vital_log_records_dropped_total") or 0.0
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    writer = configure(stream=Pipe())
    try:
        logging.getLogger("x").info("the first")
        assert reached.wait(5)
        for _ in range(15):
            logging.getLogger("x").info("more")
        assert registry.get_sample_value("vital_log_records_dropped_total") == before + 5
    finally:
        stalled.set()
        writer.stop()
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()


def test_for_people(written: Any) -> None:
    stream = io.StringIO()
    writer = configure("console", stream=stream)
    logger("vital_engine.turn").info("turn started", mode=2)
    writer.stop()
    writer.stop()
    assert "turn started" in stream.getvalue() and "mode=2" in stream.getvalue()


@pytest.mark.parametrize("settings", [{"form": "xml"}, {"level": "loud"}])
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        configure(**settings)
