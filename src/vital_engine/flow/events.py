"""The log of a run: what happened, in order. Metrics, traces, log records and streams of a turn are readers of it.

The run only appends to a list. Readers are handed what is new once per pass of the event loop, outside of every step and
in the context of the run's caller, so that a run calls nothing above it, and all that happened meanwhile costs a reader one
call. What a reader raises is counted in :data:`broken_observers` and breaks nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .hedging import HedgeOutcome
from .outcome import Outcome
from .stream import Stream

_whole = tuple.__new__
_log = logging.getLogger("vital_engine.flow")


class FlowStarted(NamedTuple):
    """A run begins. ``at``: the loop's clock, in seconds, here and below."""

    flow: str
    at: float


class StepStarted(NamedTuple):
    """A step has what it needs, and was admitted; it runs from now on."""

    flow: str
    step: str
    tier: str
    at: float


class StreamOpened(NamedTuple):
    """A step has begun to stream; ``stream`` is the step's own handle, for readers that write nothing."""

    flow: str
    step: str
    stream: Stream[Any]
    at: float


class StepEnded(NamedTuple):
    """A step has its one outcome, whether it ever started or not."""

    flow: str
    step: str
    tier: str
    outcome: Outcome[Any]
    at: float


class LateResult(NamedTuple):
    """An abandoned step has ended after all; its result is discarded."""

    flow: str
    step: str
    at: float


class Hedged(NamedTuple):
    """A step's call was late. ``became``: what came of it, see :data:`.hedging.HedgeOutcome`; noted once that is known.

    ``sent_at``: when the second call was sent; None: it was not.
    """

    flow: str
    step: str
    became: HedgeOutcome
    sent_at: float | None
    at: float


class FlowEnded(NamedTuple):
    """Every step has its outcome. ``cancelled``: because the caller of the run was cancelled."""

    flow: str
    cancelled: bool
    at: float


Event: TypeAlias = FlowStarted | StepStarted | StreamOpened | StepEnded | LateResult | Hedged | FlowEnded
Observer: TypeAlias = Callable[[Any], None]
"""Reads a log: called with each :data:`Event` and with what the log's owner adds. It must not block, and ignores what it
does not know."""

broken_observers: dict[str, int] = {}


class Log:
    """What happened in a run, or in several that belong together.

    :param observers: are called with each event, soon after it, and at the latest when the run ends. One that has a method
        ``read`` is handed all that is new at once.
    """

    __slots__ = ("_events", "_read", "_readers", "observed", "records", "wants_flush")

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._readers = tuple([(each, getattr(each, "read", None)) for each in observers])
        self._events: list[Any] = []
        self._read = 0
        #: Each event as (its class, *its fields): cheap to append in the middle of a run, made whole when it is read. A
        #: class is a named tuple, and has as many fields as are given: that is not checked again.
        self.records: list[tuple[Any, ...]] = []
        self.observed = bool(observers)
        #: Whether what is appended next needs a flush to be scheduled: something reads, and none is to come yet.
        self.wants_flush = self.observed

    @property
    def events(self) -> Sequence[Any]:
        """All events so far, oldest first."""
        fresh = self.records[len(self._events) :]
        self._events += [_whole(record[0], record[1:]) for record in fresh]
        return self._events

    def add(self, make: Callable[..., tuple[Any, ...]], *values: object) -> None:
        """Append an event of the owner's own, a named tuple. It is read with the next flush."""
        event = make(*values)
        self.records.append((type(event), *event))

    def flush(self) -> None:
        """Hand to each observer what is new. One that raises is counted and logged; the others get it all the same."""
        self.wants_flush = self.observed
        while self.observed and self._read < len(self.records):
            fresh = self.events[self._read :]
            self._read += len(fresh)
            for observer, read in self._readers:
                if read is None:
                    _feed(observer, observer, fresh)
                else:
                    _feed(observer, read, (fresh,))


def _feed(observer: Observer, read: Callable[[Any], None], things: Sequence[Any]) -> None:
    """Call *read* with each of *things*; the one that it fails on is lost to it alone."""
    rest, left = iter(things), True
    while left:
        try:
            for thing in rest:
                read(thing)
            left = False
        except (Exception, asyncio.CancelledError):
            name = getattr(observer, "__qualname__", type(observer).__name__)
            broken_observers[name] = broken_observers.get(name, 0) + 1
            _log.exception("an observer failed", extra={"observer": name})
