"""Apache Hamilton's asynchronous driver: a step is a function, its parameters name the functions that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hamilton import ad_hoc_utils, async_driver

from .shapes import SEED, TEN, UNEVEN, Turn, Values, empty, work


async def retrieve() -> str:
    return await work("retrieve")


async def suggest() -> str:
    return await work("suggest")


async def recall() -> str:
    return await work("recall")


async def reply(retrieve: str, suggest: str, recall: str) -> str:
    return await work("reply", retrieve, suggest, recall)


async def cite(reply: str) -> str:
    return await work("cite", reply)


async def assess(reply: str) -> str:
    return await work("assess", reply)


async def tally(reply: str) -> str:
    return await work("tally", reply)


def seed() -> Turn:
    return _built(list(SEED), retrieve, suggest, recall, reply, cite, assess, tally)


def uneven() -> Turn:
    async def suggest(recall: str) -> str:
        return await work("suggest", recall)

    return _built(list(UNEVEN), retrieve, suggest, recall, reply, cite, assess, tally)


def ten() -> Turn:
    async def brief() -> str:
        return await empty("brief")

    async def retrieve(brief: str) -> str:
        return await empty("retrieve", brief)

    async def suggest(brief: str) -> str:
        return await empty("suggest", brief)

    async def recall(brief: str) -> str:
        return await empty("recall", brief)

    async def consent(retrieve: str, suggest: str, recall: str) -> str:
        return await empty("consent", retrieve, suggest, recall)

    async def invoke(consent: str) -> str:
        return await empty("invoke", consent)

    async def reply(invoke: str) -> str:
        return await empty("reply", invoke)

    async def cite(reply: str) -> str:
        return await empty("cite", reply)

    async def assess(reply: str) -> str:
        return await empty("assess", reply)

    async def tally(reply: str) -> str:
        return await empty("tally", reply)

    return _built(list(TEN), brief, retrieve, suggest, recall, consent, invoke, reply, cite, assess, tally)


def _built(steps: list[str], *functions: Callable[..., Any]) -> Turn:
    module = ad_hoc_utils.create_temporary_module(*functions)
    driver = async_driver.Builder().with_modules(module).build_without_init()
    begun = False

    async def turn() -> Values:
        nonlocal begun
        if not begun:
            await driver.ainit()
            begun = True
        made: Values = await driver.execute(steps)
        return made

    return turn
