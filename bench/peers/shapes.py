"""The turns that every engine runs: which step waits for which, and what a step does.

A step's value spells out how it was made: ``reply(retrieve(), suggest(), recall())``. So that two engines which give the
same values have wired the same turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # nothing of this engine is imported before an engine's set-up is timed
    from vital_engine.bench.durations import Durations

    from .trouble import Trouble

Needs = Mapping[str, tuple[str, ...]]
Values = Mapping[str, str]
Turn = Callable[[], Awaitable[Values]]
"""Runs one turn of a shape: step -> value, for every step that has one."""

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


def body(needs: Needs) -> Callable[..., Awaitable[str]]:
    return empty if needs is TEN else work


def expected(needs: Needs) -> Values:
    values: dict[str, str] = {}
    for step, of in needs.items():
        values[step] = f"{step}({', '.join(values[one] for one in of)})"
    return values


class Engine:
    """A turn as the workloads call it: fulfils :class:`vital_engine.bench.Peer`."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    async def __call__(self, durations: Durations, /) -> Values:
        DURATIONS.set(durations)
        return await self._turn()
