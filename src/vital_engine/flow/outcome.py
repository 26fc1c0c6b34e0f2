"""What became of a step: exactly one of four things. ``None`` never means "it broke"."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, get_args

from vital_engine.errors import StepAbandoned, WrongType, code_of

T = TypeVar("T")

Kind: TypeAlias = Literal["done", "degraded", "failed", "skipped"]
Reason: TypeAlias = Literal["timeout", "error", "cancelled", "wrong_type", "abandoned", "skipped"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REASONS: tuple[Reason, ...] = get_args(Reason)


class BaseOutcome(Generic[T]):
    """What all outcomes answer, so that no reader has to ask which of the four it holds.

    ``kind``: which of the four. ``value``: what the step made, or its fallback; None where there is neither. ``made``: whether
    there is a value for the steps that need one: made, known before, or a fallback.
    ``error`` and ``reason``: why it did not make its own product; None and empty where it did, or did not have to.
    ``seconds``: its own work, without the time that it waited for another step's stream. ``began``, ``ended``: seconds
    since the run began.
    """

    __slots__ = ()
    kind: ClassVar[Kind]
    if TYPE_CHECKING:  # fields of some kinds, constants of others

        @property
        def made(self) -> bool: ...
        @property
        def value(self) -> T | None: ...
        @property
        def error(self) -> BaseException | None: ...
        @property
        def reason(self) -> Reason | Literal[""]: ...
        @property
        def seconds(self) -> float: ...
        @property
        def began(self) -> float: ...
        @property
        def ended(self) -> float: ...

    @property
    def broke(self) -> bool:
        """Whether the step ran, or should have run, and did not make its own product."""
        return self.kind in ("degraded", "failed")

    @property
    def code(self) -> str:
        """The stable code of ``error``, the class name of a foreign one; empty without an error."""
        return "" if self.error is None else code_of(self.error)


@dataclass(frozen=True, slots=True)
class Done(BaseOutcome[T]):
    """The step returned in time."""

    value: T
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    kind: ClassVar[Literal["done"]] = "done"
    made: ClassVar[bool] = True
    error: ClassVar[None] = None
    reason: ClassVar[Literal[""]] = ""


@dataclass(frozen=True, slots=True)
class Degraded(BaseOutcome[T]):
    """The step failed, ran late or could not run; ``value`` is its fallback, ``reason`` says why."""

    value: T
    error: BaseException
    reason: Reason
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    kind: ClassVar[Literal["degraded"]] = "degraded"
    made: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Failed(BaseOutcome[Any]):
    """The step failed and had no fallback."""

    error: BaseException
    reason: Reason
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    kind: ClassVar[Literal["failed"]] = "failed"
    made: ClassVar[bool] = False
    value: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class Skipped(BaseOutcome[T]):
    """The step did not run: its product was known before, or something that it needs was never made.

    ``value`` holds the known product, and is None where there is none; ``known`` tells the two apart.
    """

    because: str
    value: T | None = None
    known: bool = False
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    kind: ClassVar[Literal["skipped"]] = "skipped"
    error: ClassVar[None] = None
    reason: ClassVar[Literal[""]] = ""

    @property
    def made(self) -> bool:
        """Whether its product was known before."""
        return self.known


Outcome: TypeAlias = Done[T] | Degraded[T] | Failed | Skipped[T]


def shift(outcome: Outcome[T], seconds: float) -> Outcome[T]:
    """The same outcome, of a step of a run that began *seconds* later."""
    return replace(outcome, began=round(outcome.began + seconds, 9), ended=round(outcome.ended + seconds, 9))


def reason_of(error: BaseException) -> Reason:
    """The reason code of an error that a step raised. Codes are a closed set, fit for a metric label."""
    match error:
        case StepAbandoned():
            return "abandoned"
        case WrongType():
            return "wrong_type"
        case TimeoutError():
            return "timeout"
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return "error"
