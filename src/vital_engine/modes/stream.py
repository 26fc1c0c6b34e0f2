"""A turn as it happens: events with sequence numbers, kept in order, for as many readers as there are.

Only :class:`Token` carries the answer's text; everything else is progress. A stream always ends in :class:`Finished`
(whatever the answer's status) or in :class:`Broken`; it never just stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from vital_engine.nouns.answer import Answer
from vital_engine.errors import TurnError, VitalError
from vital_engine.flow import (
    Degraded,
    Failed,
    StepEnded,
    StepStarted,
    Stream,
    StreamOpened,
)
from vital_engine.flow import Event as FlowEvent
from vital_engine.nouns import Citation, Cost, Piece


@dataclass(frozen=True, slots=True)
class Started:
    kind: ClassVar[str] = "started"
    seq: int
    run_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step began (``outcome`` empty) or ended. ``reason``: the code, if it did not do its part."""

    kind: ClassVar[str] = "step"
    seq: int
    step: str
    at: float
    outcome: str = ""
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    kind: ClassVar[str] = "token"
    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    kind: ClassVar[str] = "citation"
    seq: int
    citation: Citation


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost so far; an estimate until the answer is finished."""

    kind: ClassVar[str] = "cost"
    seq: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Finished:
    kind: ClassVar[str] = "finished"
    seq: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Broken:
    """The turn could not be run. ``message`` is fit for a user."""

    kind: ClassVar[str] = "error"
    seq: int
    code: str
    message: str


Event: TypeAlias = Started | Step | Token | Cited | Spent | Finished | Broken


class TurnStream:
    """Writes a turn's events to a log that any number of readers follow. An observer of the turn's flows."""

    def __init__(self, run_id: str) -> None:
        self.log: Stream[Answer] = Stream()
        self._pumps: list[_Pump] = []
        self._began = asyncio.get_running_loop().time()
        self._writers: dict[str, Callable[[Any], None]] = {
            "reply": self._said,
            "cite": self._cited,
            "tally": self._spent,
        }
        self._add(Started, run_id)

    def __call__(self, event: FlowEvent) -> None:
        match event:
            case StepStarted(step=step, at=at):
                self._add(Step, step, self._since(at))
            case StepEnded(step=step, outcome=outcome, at=at):
                reason = outcome.reason if isinstance(outcome, Degraded | Failed) else ""
                kind = type(outcome).__name__.lower()
                self._add(Step, step, self._since(at), kind, outcome.seconds, reason)
            case StreamOpened(step=step, live=live):
                if (write := self._writers.get(step)) is not None:
                    self._pumps.append(_Pump(live, write))
            case _:
                pass

    def finish(self, answer: Answer) -> None:
        self._pumped()
        self._add(Finished, answer)
        self.log.close(answer)

    def fail(self, error: BaseException) -> None:
        self._pumped()
        known = error if isinstance(error, VitalError) else TurnError()
        self._add(Broken, known.code, known.public)
        self.log.close(error=error)

    def cancelled(self) -> None:
        """The turn was cancelled: what was said stands, and the log says that there will be no more."""
        self._pumped()
        self._add(Broken, "turn.cancelled", "The answer was stopped.")
        self.log.close(error=asyncio.CancelledError())

    def _pumped(self) -> None:
        for pump in self._pumps:
            pump()

    def _said(self, pieces: Sequence[Piece]) -> None:
        if text := "".join([piece.text for piece in pieces]):
            self._add(Token, text)

    def _cited(self, citations: Sequence[Citation]) -> None:
        for citation in citations:
            self._add(Cited, citation)

    def _spent(self, costs: Sequence[Cost]) -> None:
        self._add(Spent, costs[-1])

    def _since(self, at: float) -> float:
        return round(at - self._began, 9)

    def _add(self, make: Callable[..., Event], *values: Any) -> None:
        self.log.push(make(len(self.log.items) + 1, *values))


class _Pump:
    """Hands on what comes on a stream, all of one pass of the event loop together. No task of its own: a token costs one
    callback. Called, it hands on at once what there is."""

    __slots__ = ("_at", "_due", "_live", "_loop", "_write")

    def __init__(self, live: Stream[Any], write: Callable[[Sequence[Any]], None]) -> None:
        self._live, self._write = live, write
        self._at, self._due = 0, False
        self._loop = asyncio.get_running_loop()
        live.subscribe(self._follow)

    def _follow(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self)

    def __call__(self) -> None:
        self._due = False
        if fresh := self._live.items[self._at :]:
            self._at += len(fresh)
            self._write(fresh)
