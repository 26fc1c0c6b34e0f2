"""Haystack's ``Pipeline.run_async``: a step is a component, its needs are input sockets.

As many components may run at once as want to (by default four). The scheduler waits whenever the first component in
alphabetical order that is ready is running already, and so a name can cost 300 ms in the uneven turn; the steps keep the
names that they have everywhere.
"""

from __future__ import annotations

from typing import Any

from haystack import Pipeline, component

from .shapes import SHAPES, Turn, Values, body


@component
class Step:
    def __init__(self, step: str, of: tuple[str, ...], work: Any) -> None:
        self.step, self.of, self.work = step, of, work
        component.set_input_types(self, **dict.fromkeys(of or ("question",), str))
        component.set_output_types(self, value=str)

    def run(self, **inputs: str) -> dict[str, str]:
        raise NotImplementedError("only run_async is used")

    async def run_async(self, **inputs: str) -> dict[str, str]:
        return {"value": await self.work(self.step, *(inputs[one] for one in self.of))}


def haystack(shape: str) -> Turn:
    """*shape* may also be "renamed": the uneven turn, with retrieval last in the alphabet."""
    names = {"retrieve": "zretrieve"} if shape == "renamed" else {}
    needs = SHAPES["uneven" if names else shape]
    work, name = body(shape), {step: names.get(step, step) for step in needs}
    pipeline = Pipeline()
    for step, of in needs.items():
        pipeline.add_component(name[step], Step(step, of, work))
        for one in of:
            pipeline.connect(f"{name[one]}.value", f"{name[step]}.{one}")
    first = {name[step]: {"question": "why"} for step, of in needs.items() if not of}

    async def turn() -> Values:
        made = await pipeline.run_async(first, include_outputs_from=set(name.values()), concurrency_limit=len(needs))
        return {step: made[name[step]]["value"] for step in needs}

    return turn
