"""``asyncio.gather``, as one would write each turn by hand: the least that it can cost. Nothing is limited or contained."""

from __future__ import annotations

import asyncio

from .shapes import Turn, Values, empty, work


def seed() -> Turn:
    async def turn() -> Values:
        evidence, suggestions, memory = await asyncio.gather(work("retrieve"), work("suggest"), work("recall"))
        draft = await work("reply", evidence, suggestions, memory)
        cited, assessed, tallied = await asyncio.gather(*(work(step, draft) for step in ("cite", "assess", "tally")))
        return {
            "retrieve": evidence,
            "suggest": suggestions,
            "recall": memory,
            "reply": draft,
            "cite": cited,
            "assess": assessed,
            "tally": tallied,
        }

    return turn


def uneven() -> Turn:
    async def remembered() -> tuple[str, str]:
        memory = await work("recall")
        return memory, await work("suggest", memory)

    async def turn() -> Values:
        evidence, (memory, suggestions) = await asyncio.gather(work("retrieve"), remembered())
        draft = await work("reply", evidence, suggestions, memory)
        cited, assessed, tallied = await asyncio.gather(*(work(step, draft) for step in ("cite", "assess", "tally")))
        return {
            "retrieve": evidence,
            "suggest": suggestions,
            "recall": memory,
            "reply": draft,
            "cite": cited,
            "assess": assessed,
            "tally": tallied,
        }

    return turn


def ten() -> Turn:
    async def turn() -> Values:
        briefed = await empty("brief")
        gathered = await asyncio.gather(*(empty(step, briefed) for step in ("retrieve", "suggest", "recall")))
        consented = await empty("consent", *gathered)
        found = await empty("invoke", consented)
        draft = await empty("reply", found)
        reviewed = await asyncio.gather(*(empty(step, draft) for step in ("cite", "assess", "tally")))
        return {
            "brief": briefed,
            **dict(zip(("retrieve", "suggest", "recall"), gathered, strict=True)),
            "consent": consented,
            "invoke": found,
            "reply": draft,
            **dict(zip(("cite", "assess", "tally"), reviewed, strict=True)),
        }

    return turn
