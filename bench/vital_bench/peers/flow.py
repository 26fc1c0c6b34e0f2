"""This engine's executor alone: steps joined by type. Their limits and fallbacks are the default, which is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vital_engine.flow import Degraded, Done, Flow, step

from .shapes import SHAPES, Needs, Turn, Values, Work, body, typed


class Made:
    """What a step makes; each step has a class of its own."""

    value = ""


class Question(Made):
    """What a turn is given."""


def flow(shape: str) -> Turn:
    built = flow_of(SHAPES[shape], body(shape))

    async def turn() -> Values:
        run = await built.run(Question())
        return {name: made.value.value for name, made in run.steps.items() if isinstance(made, Done | Degraded)}

    return turn


def flow_of(needs: Needs, work: Work | None) -> Flow:
    """A flow of the steps of *needs*, written as a user would write each: ``async def reply(tool_results: ToolResults) -> Draft``.

    :param work: what a step does for its value; None: it does nothing, and has none.
    """
    kinds = {name: type(name.title(), (Made,), {}) for name in needs}
    return Flow("turn", *(step(_function(name, of, kinds, work)) for name, of in needs.items()))


def _function(name: str, of: tuple[str, ...], kinds: Mapping[str, type[Made]], work: Work | None) -> Any:
    kind = kinds[name]

    async def works(**made: Made) -> Made:
        assert work is not None
        product = kind()
        product.value = await work(name, *(made[one].value for one in of))
        return product

    async def idles(**made: Made) -> Made:
        return kind()

    takes = {one: kinds[one] for one in of} or {"question": Question}
    return typed(name, takes, kind, idles if work is None else works)
