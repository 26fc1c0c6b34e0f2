"""Agno's Workflow: steps in a row, and ``Parallel`` for those that run beside one another."""

from __future__ import annotations

from typing import Any

from agno.workflow import Parallel, Step, StepInput, StepOutput, Steps, Workflow

from .shapes import SHAPES, Turn, Values, body


def agno(shape: str) -> Turn:
    step = _steps(shape)
    gathered = _beside(step, "retrieve", "suggest", "recall")
    if shape == "uneven":
        remembered = Steps(name="remembered", steps=[step["recall"], step["suggest"]])
        gathered = Parallel(step["retrieve"], remembered, name="gathered")
    before = [gathered, step["reply"]]
    if shape == "ten":
        before = [step["brief"], gathered, step["consent"], step["invoke"], step["reply"]]
    workflow = Workflow(name="turn", steps=[*before, _beside(step, "cite", "assess", "tally")], telemetry=False)

    async def turn() -> Values:
        made: dict[str, str] = {}
        _collect((await workflow.arun(input="why")).step_results, made)
        return {name: made[name] for name in SHAPES[shape] if name in made}

    return turn


def _steps(shape: str) -> dict[str, Step]:
    work, needs = body(shape), SHAPES[shape]

    def step(name: str, of: tuple[str, ...]) -> Step:
        async def run(given: StepInput) -> StepOutput:
            return StepOutput(content=await work(name, *(str(given.get_step_content(one)) for one in of)))

        return Step(name=name, executor=run)

    return {name: step(name, of) for name, of in needs.items()}


def _beside(step: dict[str, Step], *names: str) -> Parallel:
    return Parallel(*(step[name] for name in names), name="+".join(names))


def _collect(results: Any, made: dict[str, str]) -> None:
    for result in results:
        if isinstance(result, list):
            _collect(result, made)
        elif result.steps:
            _collect(result.steps, made)
        elif result.success:
            made[result.step_name] = result.content
