"""A turn as it happens: events with sequence numbers, kept in order, for any number of readers.

Only :class:`Token` carries the answer's text; everything else is progress. A stream always ends in :class:`Finished`
(whatever the answer's status) or in :class:`Broken`; it never just stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from vital_engine.errors import TurnError, VitalError
from vital_engine.flow import StepEnded, StepStarted, Stream, StreamOpened
from vital_engine.nouns import Answer, Citation, Cost, Piece
from vital_engine.turn.plan import CITE, REPLY, TALLY


@dataclass(frozen=True, slots=True)
class Started:
    """The turn has begun."""

    seq: int
    run_id: str
    kind: Literal["started"] = field(default="started", init=False)


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step began (``outcome`` empty) or ended. ``reason``: the code, if it did not do its part.

    ``at``, ``seconds``: seconds since the turn began, and of the step's own work.
    """

    seq: int
    step: str
    at: float
    outcome: Literal["", "done", "degraded", "failed", "skipped"] = ""
    seconds: float = 0.0
    reason: str = ""
    kind: Literal["step"] = field(default="step", init=False)


@dataclass(frozen=True, slots=True)
class Token:
    """The next piece of the answer's text."""

    seq: int
    text: str
    kind: Literal["token"] = field(default="token", init=False)


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation of the text so far, checked."""

    seq: int
    citation: Citation
    kind: Literal["citation"] = field(default="citation", init=False)


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost so far, in USD; an estimate until the answer is finished."""

    seq: int
    cost: Cost
    kind: Literal["cost"] = field(default="cost", init=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The turn has ended, with any status of the answer. The last event."""

    seq: int
    answer: Answer
    kind: Literal["finished"] = field(default="finished", init=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """The turn could not be run. ``message`` is fit for a user."""

    seq: int
    code: str
    message: str
    kind: Literal["error"] = field(default="error", init=False)


Event: TypeAlias = Started | StepEvent | Token | Cited | Spent | Finished | Broken
_Made: TypeAlias = tuple[Callable[..., Event], tuple[Any, ...]]


class TurnStream:
    """Writes a turn's events to a stream that any number of readers follow. A reader of the turn's log."""

    def __init__(self, run_id: str) -> None:
        self.events: Stream[Answer] = Stream()
        self._pumps: dict[str, _Pump] = {}
        self._began = asyncio.get_running_loop().time()
        self._seq = 1
        self.events.push(Started(self._seq, run_id))

    def __call__(self, event: object) -> None:
        self.read([event])

    def read(self, events: Sequence[object]) -> None:
        """What is new in the log of the turn."""
        made: list[_Made] = []
        opened: list[tuple[Stream[Any], _Pump]] = []
        for event in events:
            match event:
                case StepStarted(step=step, at=at):
                    made.append((StepEvent, (step, self._since(at))))
                case StepEnded(step=step, outcome=outcome, at=at):
                    if (pump := self._pumps.get(step)) is not None:  # what it has made comes before its end
                        made += pump.fresh()
                    ended = (step, self._since(at), outcome.kind, outcome.seconds, outcome.reason)
                    made.append((StepEvent, ended))
                case StreamOpened(step=step, stream=stream):
                    if (form := _FORMS.get(step)) is not None:
                        self._pumps[step] = pump = _Pump(stream, form, self._add)
                        opened.append((stream, pump))
                case _:
                    pass
        self._add(made)
        for stream, pump in opened:
            stream.subscribe(pump.due)
            if stream.items:
                pump.due()

    def finish(self, answer: Answer) -> None:
        """End the stream with the answer."""
        self._close([(Finished, (answer,))])
        self.events.close(answer)

    def fail(self, error: BaseException) -> None:
        """End the stream with an error."""
        known = error if isinstance(error, VitalError) else TurnError()
        self._close([(Broken, (known.code, known.public))])
        self.events.close(error=error)

    def cancelled(self) -> None:
        """The turn was cancelled: what was said stands, and the stream says that there will be no more."""
        self._close([(Broken, ("turn.cancelled", "The answer was stopped."))])
        self.events.close(error=asyncio.CancelledError())

    def _close(self, last: list[_Made]) -> None:
        self._add([*(made for pump in self._pumps.values() for made in pump.fresh()), *last])

    def _since(self, at: float) -> float:
        return round(at - self._began, 9)

    def _add(self, made: Sequence[_Made]) -> None:
        if made:
            self.events.extend([make(seq, *values) for seq, (make, values) in enumerate(made, start=self._seq + 1)])
            self._seq += len(made)


def _tokens(pieces: Sequence[Piece]) -> list[_Made]:
    text = "".join([piece.text for piece in pieces])
    return [(Token, (text,))] if text else []


def _citations(citations: Sequence[Citation]) -> list[_Made]:
    return [(Cited, (citation,)) for citation in citations]


def _costs(costs: Sequence[Cost]) -> list[_Made]:
    return [(Spent, (costs[-1],))] if costs else []


_Form: TypeAlias = Callable[[Sequence[Any]], list[_Made]]
_FORMS: Final[Mapping[str, _Form]] = MappingProxyType({REPLY.name: _tokens, CITE.name: _citations, TALLY.name: _costs})
"""Step -> what its stream's items become."""


class _Pump:
    """Hands on what comes on a stream, all of one pass of the event loop together. No task of its own: a token costs one
    callback."""

    __slots__ = ("_at", "_due", "_form", "_loop", "_stream", "_write")

    def __init__(self, stream: Stream[Any], form: _Form, write: Callable[[Sequence[_Made]], None]) -> None:
        self._stream, self._form, self._write = stream, form, write
        self._at, self._due = 0, False
        self._loop = asyncio.get_running_loop()

    def due(self) -> None:
        """There may be more: read it in the next pass of the event loop."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self)

    def __call__(self) -> None:
        self._due = False
        if made := self.fresh():
            self._write(made)

    def fresh(self) -> list[_Made]:
        """What has come and is not handed on yet."""
        items = self._stream.items[self._at :]
        self._at += len(items)
        return self._form(items) if items else []
