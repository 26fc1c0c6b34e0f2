"""What a turn begins before its time: the model's server reads the prompt that is known already.

Only where the model can (its server reads ahead), and only in the dataflow profile of the modes in which nobody is asked:
where a person decides, the model could wait for days.
"""

from __future__ import annotations

import math
from weakref import WeakValueDictionary

from vital_engine.flow import Flow, Load, Policy, Step, step
from vital_engine.nouns import Draft
from vital_engine.ports import LLM, Services, prefiller
from vital_engine.turn import recovered, replying
from vital_engine.turn.prefill import prefill

from .settings import TurnSettings

_loads: WeakValueDictionary[int, Load] = WeakValueDictionary()
"""By the id of the model, which lives as long as the workflows that hold its load."""


class Early:
    """One for each workflow; workflows that share a model share its :class:`Load`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.load = load_of(services.llm)

    def steps(self, settings: TurnSettings) -> tuple[Flow, ...]:
        """What runs beside gathering."""
        reader = prefiller(self._services.llm)
        if reader is None or settings.prefill == "off" or settings.profile != "dataflow":
            return ()
        within = settings.parallel_timeout_ms / 1000
        return (prefill(reader, self.load, through=settings.prefill, within=within),)

    def reply(self, settings: TurnSettings) -> Step[Draft]:
        """The step that speaks, once all has been read that can be read before."""
        return self.plain_reply(settings).after(*(s.makes for part in self.steps(settings) for s in part.steps))

    def plain_reply(self, settings: TurnSettings) -> Step[Draft]:
        """The step that speaks when it is its turn."""
        speak = step(replying(self._services.llm, self.load))
        return speak.recover(recovered).under(Policy(settings.reply_timeout_ms / 1000, tier="reply"))


def load_of(llm: LLM) -> Load:
    """How busy *llm* is: what all that ask it here have in flight, over its ``capacity``, if it says one."""
    if (load := _loads.get(id(llm))) is None:
        load = _loads[id(llm)] = Load(getattr(llm, "capacity", None) or math.inf)
    return load
