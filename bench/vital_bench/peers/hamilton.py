"""Apache Hamilton's asynchronous driver: a step is a function, its parameters name the functions that it needs."""

from __future__ import annotations

from typing import Any

from hamilton import ad_hoc_utils, async_driver

from .shapes import SHAPES, Turn, Values, body, typed


def hamilton(shape: str) -> Turn:
    work, needs = body(shape), SHAPES[shape]

    def function(step: str, of: tuple[str, ...]) -> Any:
        async def run(**made: str) -> str:
            return await work(step, *(made[one] for one in of))

        return typed(step, dict.fromkeys(of, str), str, run)

    module = ad_hoc_utils.create_temporary_module(*(function(step, of) for step, of in needs.items()))
    driver = async_driver.Builder().with_modules(module).build_without_init()
    begun = False

    async def turn() -> Values:
        nonlocal begun
        if not begun:
            await driver.ainit()
            begun = True
        made: Values = await driver.execute(list(needs))
        return made

    return turn
