"""Plain ``asyncio``, as one would write each turn by hand. Nothing is limited or contained: the least that it can cost."""

from __future__ import annotations

import asyncio

from .shapes import SHAPES, Turn, Values, Work, body


def sequential(shape: str) -> Turn:
    """One step after another: what there is to gain."""
    work, needs = body(shape), SHAPES[shape]

    async def turn() -> Values:
        values: dict[str, str] = {}
        for step, of in needs.items():
            values[step] = await work(step, *(values[one] for one in of))
        return values

    return turn


def taskgroup(shape: str) -> Turn:
    """Dataflow in ``asyncio.TaskGroup``: a task per step, which waits for the tasks of what it needs."""
    work, needs = body(shape), SHAPES[shape]

    async def after(step: str, before: list[asyncio.Task[str]]) -> str:
        return await work(step, *[await task for task in before])

    async def turn() -> Values:
        tasks: dict[str, asyncio.Task[str]] = {}
        async with asyncio.TaskGroup() as group:
            for step, of in needs.items():
                tasks[step] = group.create_task(after(step, [tasks[one] for one in of]))
        return {step: task.result() for step, task in tasks.items()}

    return turn


def gather(shape: str) -> Turn:
    """``asyncio.gather``."""
    return ten_gathered(body(shape)) if shape == "ten" else _gathered(body(shape), uneven=shape == "uneven")


def _gathered(work: Work, *, uneven: bool) -> Turn:
    async def remembered() -> tuple[str, str]:
        memory = await work("recall")
        return await work("suggest", memory), memory

    async def turn() -> Values:
        if uneven:
            evidence, (suggestions, memory) = await asyncio.gather(work("retrieve"), remembered())
        else:
            evidence, suggestions, memory = await asyncio.gather(work("retrieve"), work("suggest"), work("recall"))
        draft = await work("reply", evidence, suggestions, memory)
        reviewed = await asyncio.gather(*(work(step, draft) for step in ("cite", "assess", "tally")))
        found = {"retrieve": evidence, "suggest": suggestions, "recall": memory, "reply": draft}
        return {**found, **dict(zip(("cite", "assess", "tally"), reviewed, strict=True))}

    return turn


def ten_gathered(work: Work) -> Turn:
    """The ten steps of a turn, each of them *work*."""

    async def turn() -> Values:
        brief = await work("brief")
        evidence, suggestions, memory = await asyncio.gather(
            work("retrieve", brief), work("suggest", brief), work("recall", brief)
        )
        consent = await work("consent", evidence, suggestions, memory)
        found = await work("invoke", consent)
        draft = await work("reply", found)
        cited, assessed, tallied = await asyncio.gather(
            work("cite", draft), work("assess", draft), work("tally", draft)
        )
        return {
            "brief": brief,
            "retrieve": evidence,
            "suggest": suggestions,
            "recall": memory,
            "consent": consent,
            "invoke": found,
            "reply": draft,
            "cite": cited,
            "assess": assessed,
            "tally": tallied,
        }

    return turn
