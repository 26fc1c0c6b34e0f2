"""What became of a step: exactly one of four things. ``None`` never means "it broke"."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from vital_engine.errors import CircuitOpen, OverCapacity, StepAbandoned, WrongType

T = TypeVar("T")

Reason: TypeAlias = Literal[
    "timeout", "error", "cancelled", "wrong_type", "breaker_open", "shed", "abandoned", "skipped"
]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The step returned in time.

    ``seconds``: its own work, without the time that it waited for somebody else's stream.
    ``began``, ``ended``: seconds since the run began.
    """

    value: T
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Degraded(Generic[T]):
    """The step failed, ran late or could not run; ``value`` stands in, ``reason`` says why."""

    value: T
    error: BaseException
    reason: Reason
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed and had nothing to stand in."""

    error: BaseException
    reason: Reason
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Skipped(Generic[T]):
    """The step did not run: its product was known before, or something that it needs was never made.

    ``value`` holds the known product, and is None where there is none; ``known`` tells the two apart.
    """

    because: str
    value: T | None = None
    known: bool = False
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0


Outcome: TypeAlias = Done[T] | Degraded[T] | Failed | Skipped[T]


def reason_of(error: BaseException) -> Reason:
    """The reason code of an error that a step raised. Codes are a closed set, fit for a metric label."""
    match error:
        case StepAbandoned():
            return "abandoned"
        case WrongType():
            return "wrong_type"
        case CircuitOpen():
            return "breaker_open"
        case OverCapacity():
            return "shed"
        case TimeoutError():
            return "timeout"
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return "error"
