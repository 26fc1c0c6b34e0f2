"""What a turn begins before its time: reading the prompt that is known already, and speaking on a guess of the rest.

Only where the services can (a model whose server reads ahead, a foresight), and only in the dataflow profile of the modes
in which nobody is asked: where a person decides, the model could wait for days.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from vital_engine.flow import Flow, Load, Policy, Step, step
from vital_engine.nouns import Draft, Guessed, ToolResults
from vital_engine.ports import LLM, Services, prefiller
from vital_engine.turn import recovered, replying
from vital_engine.turn.ahead import (
    Ahead,
    Consenting,
    Foreseen,
    Speculation,
    comparing,
    foreseeing,
    replying_ahead,
    speaking_ahead,
)
from vital_engine.turn.prefill import ReadInstructions, prefill

from .settings import TurnSettings

FORESEE_SECONDS = 0.1
"""A guess that takes longer is none."""

_loads: WeakValueDictionary[int, Load] = WeakValueDictionary()
"""By the id of the model, which lives as long as the workflows that hold its load."""


class Early:
    """One for each workflow; workflows that share a model share its :class:`Load`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.load = load_of(services.llm)
        self.speculation = Speculation(self.load)

    def steps(
        self, settings: TurnSettings, consent: Consenting, invoke: Callable[..., Awaitable[ToolResults]]
    ) -> tuple[Flow, ...]:
        """What runs beside gathering."""
        if settings.profile != "dataflow":
            return ()
        return (*self._reading(settings), *self._guessing(settings, consent, invoke))

    def reply(self, settings: TurnSettings) -> Step[Draft]:
        """The step that speaks, once all has been read that can be read before."""
        if settings.profile != "dataflow":
            return self.plain_reply(settings)
        if self._speculates(settings):
            speak = self._limited(
                step(replying_ahead(self._services.llm, self.load, self._services.accountant)), settings
            )
        else:
            speak = self.plain_reply(settings)
        return speak.after(*(s.makes for part in self._reading(settings) for s in part.steps))

    def plain_reply(self, settings: TurnSettings) -> Step[Draft]:
        """The step that speaks when it is its turn."""
        return self._limited(step(replying(self._services.llm, self.load, self._services.accountant)), settings)

    def _limited(self, speak: Step[Draft], settings: TurnSettings) -> Step[Draft]:
        return speak.recover(recovered).under(Policy(settings.reply_timeout_ms / 1000, tier="reply"))

    def _reading(self, settings: TurnSettings) -> tuple[Flow, ...]:
        reader = prefiller(self._services.llm)
        if reader is None or settings.prefill == "off":
            return ()
        within = settings.parallel_timeout_ms / 1000
        speculates = self._speculates(settings)
        return (prefill(reader, self.load, through=settings.prefill, speculates=speculates, within=within),)

    def _guessing(
        self, settings: TurnSettings, consent: Consenting, invoke: Callable[..., Awaitable[ToolResults]]
    ) -> tuple[Flow, ...]:
        foresight = self._services.foresight
        if foresight is None:
            return ()
        use, beside = self._speculates(settings), Policy(FORESEE_SECONDS, tier="ahead")
        steps: list[Step[Any]] = [
            step(foreseeing(foresight, self.speculation, consent, use=use)).fallback(Foreseen()).under(beside),
            step(comparing(foresight, self.speculation)).fallback(Guessed()).under(beside),
        ]
        if use:
            within = Policy(settings.reply_timeout_ms / 1000, tier="ahead")
            speak = step(speaking_ahead(self._services.llm, self.load, invoke)).fallback(Ahead()).under(within)
            steps.insert(1, speak.after(ReadInstructions) if self._reading(settings) else speak)
        return (Flow("ahead", *steps),)

    def _speculates(self, settings: TurnSettings) -> bool:
        return settings.speculation == "auto" and self._services.foresight is not None


def load_of(llm: LLM) -> Load:
    """How busy *llm* is: what all that ask it here have in flight, over its ``capacity``, if it says one."""
    if (load := _loads.get(id(llm))) is None:
        load = _loads[id(llm)] = Load(getattr(llm, "capacity", None) or math.inf)
    return load
