"""Guesses of what a turn will find, right as often as one says. What real guesses are worth, W7 shows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from vital_engine.nouns import Brief, Evidence, Guess, Passage, Question

from .draws import Draws
from .stage import STAGE

GUESS_SECONDS = 0.05
"""When a guess is there: an assumption."""
WRONG = Evidence((Passage("passage-0", "What the simulated guess says."),), index_version="simulated")


@dataclass(frozen=True, slots=True)
class Sometimes:
    """Fulfils the port Foresight: right with the chance *acceptance*, drawn by turn, and there after 50 ms."""

    draws: Draws
    acceptance: float

    async def guess(self, question: Question, brief: Brief) -> Guess | None:  # noqa: ARG002
        stage = STAGE.get()
        await asyncio.sleep(GUESS_SECONDS)
        right = self.draws.call(stage.drawn.number, "guess", 1).long < self.acceptance
        found = stage.found
        return Guess(found.evidence if right else WRONG, found.suggestions, found.memory, source="simulated")

    async def learn(self, question: Question, brief: Brief, found: Guess) -> None:
        """Its luck is drawn."""
