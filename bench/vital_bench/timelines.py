"""One turn of the seed profile by each policy, step by step: when each ran, and which of them its end waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vital_engine.flow import run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Answer, Question

from .draws import Draws, Odds, draw
from .durations import INPUTS, REVIEWS, Durations
from .services import READING_MENU, STAGE, Found, Stage, simulated
from .variants import LADDER, Variant
from .workloads import HALF

READING = ("read_instructions", "read_conversation", "read_tools")
STEPS = (*INPUTS, *READING, "reply", *REVIEWS)
"""The steps that take time, from the first of a turn to the last."""

Kind = Literal["input", "read ahead", "read", "speak", "read along", "review"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a step, in seconds since the question. ``read``: the model, until its first token; ``read along``: a
    review that follows the answer as it is spoken, until the last token; ``critical``: the turn's end waited for it."""

    step: str
    kind: Kind
    began: float
    ended: float
    critical: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """One turn. Seconds since the question."""

    policy: str
    bars: tuple[Bar, ...]
    first_token: float
    last_token: float
    total: float


def timelines(durations: Durations = HALF) -> tuple[Timeline, ...]:
    """A turn of *durations* by each rung of the ladder, in virtual time."""
    return tuple(_drawn_up(policy, run_virtual(_turn(policy, durations))) for policy in LADDER)


async def _turn(policy: Variant, durations: Durations) -> Answer:
    workflow = Mode2AutomaticWorkflow(simulated(by_token=True), watchers=(), **(policy.ours or {}))
    STAGE.set(Stage(draw(durations, Odds(), Draws(0), 0), found=Found(suggestions=READING_MENU)))
    return await workflow.execute(Question("turn 0", tenant="bench", user="bench"))


def _drawn_up(policy: Variant, answer: Answer) -> Timeline:
    first, last = answer.timing.first_token, answer.timing.last_token
    assert first is not None and last is not None, "the turn has an answer"
    bars = []
    for row in answer.timeline():
        parts = _parts(row["step"], row["began"], row["ended"], first, last)
        bars += [
            # A review that reads along waits for what is spoken: that is the reply's time.
            Bar(row["step"], kind, began, ended, row["critical"] and kind != "read along")
            for kind, began, ended in parts
            if ended - began > 1e-6
        ]
    bars.sort(key=lambda bar: (STEPS.index(bar.step), bar.began))
    return Timeline(policy.name, tuple(bars), first, last, answer.timing.total)


def _parts(step: str, began: float, ended: float, first: float, last: float) -> list[tuple[Kind, float, float]]:
    if step not in STEPS:
        return []
    if step in INPUTS:
        return [("input", began, ended)]
    if step in READING:
        return [("read ahead", began, ended)]
    if step == "reply":
        return [("read", began, max(began, first)), ("speak", max(began, first), ended)]
    return [("read along", began, max(began, last)), ("review", max(began, last), ended)]
