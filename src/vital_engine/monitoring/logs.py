"""One structured record per start and end of a turn and of a step, and where records go.

At level info a record holds names, codes, numbers, the run's id and the tenant: no question, no answer, no user, and
no text of an exception, which may quote any of them. Texts of exceptions come only at level debug.
"""

from __future__ import annotations

import atexit
import copy
import logging
import queue
import sys
import traceback
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from vital_engine.errors import ConfigError, ServiceError, code_of
from vital_engine.flow import Hedged, LateResult, Skipped, StepEnded, StepStarted
from vital_engine.nouns import Answer, Question

from . import metrics
from .track import decided
from .watch import TURN, OpenFlow, Watch

#: Records that may wait for a slow writer; those beyond are dropped and counted.
QUEUE_RECORDS: Final = 10_000
#: How long a writer that is stopped waits for room in a full queue, in seconds.
STOP_SECONDS: Final = 5.0
#: Frames of a traceback that a record keeps, innermost last.
FRAMES: Final = 20
#: Loggers that bring their own handlers; theirs are taken away, so that all records have one form.
_ROUTED: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "fastapi")

Format = Literal["json", "console"]


def log_turn(question: Question, mode: int) -> TurnLog:
    """The observer that logs one turn; pass it to a workflow as one of its watchers.

    :param question: of the turn.
    :param mode: 1 to 4.
    """
    return TurnLog(run_id=question.run_id, tenant=question.tenant, mode=mode)


class TurnLog(Watch):
    """Logs to ``vital_engine.turn`` by way of the standard library, as it is configured there.

    A step that made its own product is logged at info, one that did not at warning, a turn that failed at error.
    """

    __slots__ = ("_began", "_log", "_over")

    def __init__(self, *, run_id: str, tenant: str, mode: int) -> None:
        super().__init__()
        self._log = logger("vital_engine.turn", run_id=run_id, tenant=tenant, mode=mode)
        self._began: float | None = None
        self._over = False

    def flow_started(self, flow: OpenFlow) -> None:
        """Log that the turn begins."""
        if flow.name == TURN:
            self._began = flow.at
            self._log.info("turn started")

    def step_started(self, _: OpenFlow, event: StepStarted) -> None:
        """Log that a step begins."""
        self._log.info("step started", step=event.step, tier=event.tier)

    def step_ended(self, _: OpenFlow, event: StepEnded) -> None:
        """Log how a step ended."""
        outcome = event.outcome
        facts: dict[str, str | float] = {"step": event.step, "tier": event.tier, "outcome": outcome.kind}
        facts["seconds"] = outcome.seconds
        if outcome.broke:
            if isinstance(outcome.error, ServiceError) and outcome.error.service:
                facts["service"] = outcome.error.service
            self._log.warning("step ended", **facts, reason=outcome.reason, code=outcome.code)
        elif isinstance(outcome, Skipped):
            self._log.info("step ended", **facts, reason="known" if outcome.known else "unmet")
        else:
            self._log.info("step ended", **facts)

    def late_result(self, event: LateResult) -> None:
        """Log that an abandoned step ended after all."""
        self._log.warning("late result thrown away", step=event.step)

    def hedged(self, event: Hedged) -> None:
        """Log what became of a hedged call."""
        self._log.info("call late", step=event.step, copy=event.became)

    def flow_ended(self, flow: OpenFlow, cancelled: bool) -> None:
        """Log that the turn was cancelled."""
        if cancelled and self._began is not None and not self._over:
            self._over = True
            self._log.warning("turn ended", outcome="cancelled", seconds=round(flow.last - self._began, 9))

    def turn_ended(self, answer: Answer) -> None:
        """Log the answer: status, times, cost, decisions."""
        if self._over:
            return
        self._over = True
        self._decisions(answer)
        timing, usd = answer.timing, answer.cost.usd
        log = self._log.info if answer.error is None else self._log.error
        log(
            "turn ended",
            outcome=answer.status,
            seconds=timing.total,
            first_token=timing.first_token,
            degraded=dict(answer.degraded),
            code=answer.code,
            cost_usd=None if usd is None else str(usd),
        )

    def _decisions(self, answer: Answer) -> None:
        """Each decision on a proposed call, and each call without a result. A policy's reason is a rule; a person's may
        hold anything, and stays out."""
        for decision, (what, by) in zip(answer.consent.decisions, decided(answer), strict=True):
            why = {"reason": decision.reason} if by == "policy" else {}
            self._log.info("call decided", tool=decision.tool_call.tool, decision=what, by=by, **why)
        for tool_result in answer.tool_results.results:
            if tool_result.status != "done":
                self._log.warning(
                    "call failed", tool=tool_result.tool_call.tool, reason=tool_result.status, code=tool_result.error
                )


# -- where records go
def configure(form: Format = "json", level: str = "info", stream: TextIO | None = None) -> LogWriter:
    """Send every record of this process, also those of uvicorn and of other libraries, to *stream* (standard error).

    Start uvicorn with ``log_config=None``, or it takes its records back.

    :param form: ``json``, a line per record; ``console``, for people.
    :returns: the writer; it stops by itself at exit, and earlier if one wants all that was logged to be written.
    :raises ConfigError: an unknown form or level.
    """
    if form not in ("json", "console"):
        raise ConfigError(f"logs are 'json' or 'console', not {form!r}")
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigError(f"no such log level: {level!r}")
    target = sys.stderr if stream is None else stream
    last: Processor
    if form == "json":
        last = structlog.processors.JSONRenderer(default=str)
    else:
        last = structlog.dev.ConsoleRenderer(colors=target.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            _from_record,
            structlog.stdlib.ExtraAdder(allow=("observer",)),
            structlog.processors.format_exc_info if number <= logging.DEBUG else _frames_only,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            last,
        ]
    )
    structlog.configure(
        processors=_BEFORE,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.setLevel(number)
    for name in _ROUTED:
        routed = logging.getLogger(name)
        routed.handlers.clear()
        routed.propagate = True
    return LogWriter(target, formatter)


class LogWriter(QueueListener):
    """The thread that writes records: a stalled terminal or pipe does not hold up the loop. See :func:`configure`."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        writer = logging.StreamHandler(stream)
        writer.setFormatter(formatter)
        self._records: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_RECORDS)
        super().__init__(self._records, writer)
        self._handover = _Handover(self._records)
        logging.getLogger().addHandler(self._handover)
        self.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Take no more, and write what has been taken. A second time does nothing."""
        logging.getLogger().removeHandler(self._handover)
        atexit.unregister(self.stop)
        if self._thread is not None:
            super().stop()

    def enqueue_sentinel(self) -> None:
        """Make the writing thread end."""
        self._records.put(self._sentinel, timeout=STOP_SECONDS)  # type: ignore[attr-defined]


class _Handover(QueueHandler):
    """Takes with a record what only its own thread and task know; all else is left to the writer."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record = copy.copy(record)
        record.bound = structlog.contextvars.get_contextvars()
        if not isinstance(record.msg, dict):
            record.msg, record.args = record.getMessage(), ()
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            super().enqueue(record)
        except queue.Full:
            metrics.dropped_records.inc()


def _exception_of_here(_: object, __: str, event: EventDict) -> EventDict:
    """The exception that is being handled is known only in its own thread."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    return event


#: What a record goes through where it is made: dropped early if no logger is enabled for it, else handed over as it is.
_BEFORE: Final[tuple[Processor, ...]] = (
    structlog.stdlib.filter_by_level,
    _exception_of_here,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
)


def logger(name: str, **facts: Any) -> structlog.stdlib.BoundLogger:
    """A logger of the standard library's *name* for structured records, each with *facts*.

    It obeys what is configured there, by :func:`configure` or otherwise, and prints nothing on its own account.
    """
    made: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=_BEFORE,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return made.bind(**facts)


def _from_record(_: object, __: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    bound: dict[str, object] = getattr(record, "bound", {})
    return {"at": at, "level": record.levelname.lower(), "logger": record.name, **bound, **event}


def _frames_only(_: object, __: str, event: EventDict) -> EventDict:
    """An exception as its code and its frames. Its text may quote a question, and stays out."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        event["code"] = code_of(error)
        event["frames"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    return event
