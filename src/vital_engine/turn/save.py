"""Store the turn: when it begins, and exactly once when it ends."""

from __future__ import annotations

from vital_engine.flow import call
from vital_engine.nouns import Answer, Question, Registered, Saved
from vital_engine.ports import TurnStore


async def register(turns: TurnStore | None, mode: int, question: Question) -> Registered:
    """Store that the turn has begun."""
    if turns is not None:
        await call(turns.begin, question, mode=mode)
    return Registered(question.run_id)


async def save(turns: TurnStore | None, answer: Answer) -> Saved:
    """Store the finished turn."""
    if turns is not None:
        await call(turns.save, answer.record())
    return Saved(answer.run_id)
