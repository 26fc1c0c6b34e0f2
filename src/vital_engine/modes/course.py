"""One turn under way: who watches it, what its clock says, and what it may still take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from vital_engine.answer import Timing
from vital_engine.flow import Hedged, Observer, StepStarted, Stream, StreamOpened
from vital_engine.nouns import Call, Claim, Draft, Evidence, Memory, Question, ToolSuggestions
from vital_engine.turn import drafted

from .settings import TurnSettings


class TurnClock:
    """Watches one turn for its times, and keeps a handle on what the model says.

    :param before: seconds that the turn had taken before it was paused.
    """

    def __init__(self, before: float = 0.0) -> None:
        self.began = asyncio.get_running_loop().time() - before
        self.asked: float | None = None
        self.draft: Stream[Draft] | None = None
        self.suggestions: Stream[ToolSuggestions] | None = None
        self.hedges: dict[str, dict[str, Any]] = {}

    def __call__(self, event: object) -> None:
        match event:
            case StepStarted(step="reply", at=at):
                self.asked = at
            case StreamOpened(step="reply", live=live):
                self.draft = live
            case StreamOpened(step="suggest", live=live):
                self.suggestions = live
            case Hedged(step=step, became=became, sent_at=float() as sent_at):
                sent = self.hedges.setdefault(step, {"sent": self._since(sent_at), "won": False})
                sent["won"] |= became == "sent_won"
            case _:
                pass

    def said(self) -> Draft:
        return drafted(self.draft.items if self.draft else (), asyncio.CancelledError())

    def paid(self) -> tuple[Call, ...]:
        """What was paid for suggestions, as far as it is known."""
        return self.suggestions.items[-1].calls if self.suggestions is not None and self.suggestions.items else ()

    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self.began, 9)

    def timing(self, total: float) -> Timing:
        live = self.draft
        return Timing(
            wait=self._since(self.asked),
            first_token=self._since(live.first_at if live else None),
            last_token=self._since(live.last_at if live else None),
            total=total,
        )

    def _since(self, at: float | None) -> float | None:
        return None if at is None else round(at - self.began, 9)


@dataclass(frozen=True, slots=True)
class Course:
    """``within``: seconds for the whole turn, the person's time not counted. ``claim``: of a turn that was paused."""

    question: Question
    settings: TurnSettings
    clock: TurnClock
    observers: tuple[Observer, ...]
    within: float
    claim: Claim | None = None

    @property
    def left(self) -> float:
        """Seconds that are left of the turn's limit."""
        return self.within - self.clock.now()


def limit(question: Question, settings: TurnSettings) -> float:
    """Seconds that the whole turn may take: the settings', or the question's own if those are fewer."""
    within = settings.turn_timeout_ms / 1000
    return within if question.limits.seconds is None else min(within, question.limits.seconds)


def initial_values(question: Question, settings: TurnSettings) -> tuple[object, ...]:
    """What is known without its step, which is switched off, or whose product comes with *question*: a run that is given
    Evidence does not retrieve."""
    known: list[object] = []
    if not settings.enable_rag:
        known.append(Evidence())
    if not settings.enable_tools:
        known.append(ToolSuggestions())
    if question.memory is not None:
        known.append(question.memory)
    elif not settings.enable_memory:
        known.append(Memory())
    return tuple(known)
