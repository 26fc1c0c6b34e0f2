"""The turns that every engine runs: which step waits for which, and what a step does.

A step's value spells out how it was made: ``reply(retrieve(), suggest(), recall())``. So that two engines which give the
same values have wired the same turn.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from vital_bench.durations import Durations

if TYPE_CHECKING:
    from .trouble import Trouble

Needs = Mapping[str, tuple[str, ...]]
Values = Mapping[str, str]
Turn = Callable[[], Awaitable[Values]]
"""Runs one turn of a shape: step -> value, for every step that has one."""
Work = Callable[..., Awaitable[str]]
"""What a step does: given its name and the values that it needs, it makes its own."""

_INPUTS = ("retrieve", "suggest", "recall")
_REVIEWED: Needs = {"cite": ("reply",), "assess": ("reply",), "tally": ("reply",)}

SEED: Needs = {"retrieve": (), "suggest": (), "recall": (), "reply": _INPUTS, **_REVIEWED}
"""Step -> what it needs; the order is one in which the steps could run."""
UNEVEN: Needs = {"retrieve": (), "recall": (), "suggest": ("recall",), "reply": _INPUTS, **_REVIEWED}
"""Who suggests tools must know the conversation; retrieval goes on beside both."""
TEN: Needs = {
    "brief": (),
    **dict.fromkeys(_INPUTS, ("brief",)),
    "consent": _INPUTS,
    "invoke": ("consent",),
    "reply": ("invoke",),
    **_REVIEWED,
}
"""The shape of a whole turn; its steps do nothing."""
SHAPES: Mapping[str, Needs] = {"seed": SEED, "uneven": UNEVEN, "ten": TEN}

DURATIONS: ContextVar[Durations] = ContextVar("durations")
TROUBLE: ContextVar[Trouble | None] = ContextVar("trouble", default=None)


async def work(step: str, *inputs: str) -> str:
    """A step that takes its time."""
    seconds = DURATIONS.get().result(step)
    if (trouble := TROUBLE.get()) is None:
        await asyncio.sleep(seconds)
    else:
        await trouble.instead(step, seconds)
    return f"{step}({', '.join(inputs)})"


async def empty(step: str, *inputs: str) -> str:
    """A step that takes none."""
    return f"{step}({', '.join(inputs)})"


def body(shape: str) -> Work:
    return empty if shape == "ten" else work


def expected(needs: Needs) -> Values:
    values: dict[str, str] = {}
    for step, of in needs.items():
        values[step] = f"{step}({', '.join(values[one] for one in of)})"
    return values


def typed(name: str, takes: Mapping[str, type], makes: type, work: Callable[..., Awaitable[Any]]) -> Any:
    """*work* as a function called *name* with the parameters *takes* and the result *makes*, as one would have written it:
    for the engines that read signatures. It is given its parameters by name."""
    place = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function: Any = work
    function.__name__ = function.__qualname__ = name
    function.__annotations__ = {**takes, "return": makes}
    function.__signature__ = inspect.Signature(
        [inspect.Parameter(one, place, annotation=what) for one, what in takes.items()], return_annotation=makes
    )
    return function


async def play(turn: Turn, durations: Durations) -> Values:
    """One turn whose steps take *durations*: one that does not read along takes ``durations.result(step)`` for each."""
    DURATIONS.set(durations)
    return await turn()
