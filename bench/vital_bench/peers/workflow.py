"""This engine's whole turn: mode 2 in its ``dataflow`` profile, with scripted services and no watchers.

It does more than the others' turns: it chooses an expert, registers and keeps the turn, composes a prompt, splits the
answer into sentences while it is spoken, checks each sentence against the passages, prices it, and writes a timed receipt.
So its figures are what a whole turn costs, its services included, and not what an executor does. The answer has 120 pieces
in 8 sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vital_bench.durations import INPUTS, REVIEWS, Durations
from vital_engine.flow import Degraded, Done
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Answer, Citations, Question, SentenceSupport, Support
from vital_engine.testing import ScriptedServices, scripted

from .shapes import DURATIONS, TROUBLE, Turn, Values
from .trouble import Broken, Trouble

QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
STEPS = (*INPUTS, "reply", *REVIEWS)
IDLE = Durations(retrieve=0, suggest=0, recall=0, reply=0, cite=0, assess=0, tally=0)


BARE = {
    "tokens": 1,
    "sentences": 1,
    "values": {"cite": Citations(()), "assess": Support((SentenceSupport(0, None),))},
}


def workflow(shape: str) -> Turn | None:
    """Of the shape "ten" the services take no time of their own. There is no uneven one: what its steps need of one another
    is fixed."""
    return None if shape == "uneven" else scripted_turn(IDLE if shape == "ten" else None)


def workflow_bare(shape: str) -> Turn | None:
    """With an answer in one piece and checks that do nothing: what is left is the engine's own work on a turn, on as many
    pieces as the others' steps give."""
    return None if shape == "uneven" else scripted_turn(IDLE if shape == "ten" else None, **BARE)


def scripted_turn(always: Durations | None = None, **how: Any) -> Turn:
    """One workflow for all turns of the same durations.

    :param always: instead of the durations that a turn is given.
    :param how: of :func:`vital_engine.testing.scripted`; ``values``: step -> what it makes, instead of real work.
    """
    built: dict[tuple[float, ...], Turn] = {}

    async def turn() -> Values:
        durations, trouble = always or DURATIONS.get(), TROUBLE.get()
        key = tuple(durations.result(step) for step in STEPS)
        if trouble is not None:
            return await _built(durations, trouble, **how)()
        if key not in built:
            built[key] = _built(durations, None, **how)
        return await built[key]()

    return turn


def _built(durations: Durations, trouble: Trouble | None, values: Mapping[str, Any] | None = None, **how: Any) -> Turn:
    script: dict[str, Any] = {step: durations.result(step) for step in STEPS}
    script |= {step: (script[step], value) for step, value in (values or {}).items()}
    if trouble is not None and trouble.raises:
        script[trouble.raises] = (durations.result(trouble.raises), Broken(trouble.raises))
    if trouble is not None and trouble.hangs:
        script[trouble.hangs] = "hang"
    services = scripted(prefill=durations.prefill, **how, **script)
    mode2 = Mode2AutomaticWorkflow(services, profile="dataflow", watchers=())

    async def turn() -> Values:
        answer = await mode2.execute(QUESTION)
        _forget(services)
        return _values(answer)

    return turn


def _forget(services: ScriptedServices) -> None:
    """What the script writes down of each call is for tests, and would be counted as the turn's memory."""
    for written in (services.calls, services.prompts, services.kept):
        written.clear()


def _values(answer: Answer) -> Values:
    """The steps that made their own product, of those that the others have as well."""
    made = {name for name, outcome in answer.outcomes.items() if isinstance(outcome, Done | Degraded)}
    return {step: step for step in STEPS if step in made and step not in answer.degraded}
