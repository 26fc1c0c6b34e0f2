"""What happens in a run, told to whoever watches. Metrics, traces, logs and streams are observers of this.

An observer is a plain function; it is called in the loop and must not block. What it raises is counted in
:data:`broken_observers` and breaks nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .live import Stream
from .outcome import Outcome

if TYPE_CHECKING:
    from .race import HedgeOutcome
    from .result import Run

log = logging.getLogger("vital_engine.flow")


@dataclass(frozen=True, slots=True)
class FlowStarted:
    """``at``: the loop's clock, in seconds, here and below."""

    flow: str
    at: float


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step has what it needs, and a seat; it runs from now on."""

    flow: str
    step: str
    tier: str
    at: float


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A step has begun to stream; ``live`` is a handle of the observer's own."""

    flow: str
    step: str
    live: Stream[Any]
    at: float


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step has its one outcome, whether it ever started or not."""

    flow: str
    step: str
    tier: str
    outcome: Outcome[Any]
    at: float


@dataclass(frozen=True, slots=True)
class LateResult:
    """An abandoned step has ended after all; what it made is thrown away."""

    flow: str
    step: str
    at: float


@dataclass(frozen=True, slots=True)
class Hedged:
    """A step's call was late. ``became``: what came of its copy, see :data:`.race.HedgeOutcome`; told when that is known.

    ``sent_at``: when the copy was sent; None: it was not.
    """

    flow: str
    step: str
    became: HedgeOutcome
    sent_at: float | None
    at: float


@dataclass(frozen=True, slots=True)
class FlowEnded:
    """Every step has its outcome. Told also when the caller was cancelled: ``run`` is then what he would have got."""

    flow: str
    run: Run
    at: float


Event: TypeAlias = FlowStarted | StepStarted | StreamOpened | StepEnded | LateResult | Hedged | FlowEnded
Observer: TypeAlias = Callable[[Any], None]
"""Is called with each :data:`Event` of a flow; whoever runs the flow may tell it more. What it does not know, it ignores."""

broken_observers: dict[str, int] = {}


def tell(observers: Sequence[Observer], event: object) -> None:
    """Tell every observer; one that raises is counted and logged, and the others are told all the same."""
    for observer in observers:
        try:
            observer(event)
        except (Exception, asyncio.CancelledError):
            name = getattr(observer, "__qualname__", type(observer).__name__)
            broken_observers[name] = broken_observers.get(name, 0) + 1
            log.exception("an observer failed", extra={"observer": name})
