"""Keep the turn: written down when it begins, and kept exactly once when it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vital_engine.flow import call
from vital_engine.nouns import Question, TurnRecord
from vital_engine.ports import Keeper, Register


@dataclass(frozen=True, slots=True)
class Registered:
    """The turn's beginning is written down (or nobody asked for that)."""

    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """The turn is kept (or nobody asked for that)."""

    run_id: str = ""


def registering(book: Register | None, *, mode: int) -> Callable[..., Awaitable[Registered]]:
    async def register(question: Question) -> Registered:
        if book is not None:
            await call(book.begin, question, mode=mode)
        return Registered(question.run_id)

    return register


def saving(keeper: Keeper | None) -> Callable[..., Awaitable[Saved]]:
    async def save(turn: TurnRecord) -> Saved:
        if keeper is not None:
            await call(keeper.keep, turn)
        return Saved(turn.run_id)

    return save
