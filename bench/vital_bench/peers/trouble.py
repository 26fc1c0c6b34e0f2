"""What a caller sees when a step raises or hangs, and what is left of the work that was done by then.

In virtual time, so that a step may hang for an hour. Each engine is as it is by default, without limits or handlers of
one's own; this one's whole turn brings its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

PATIENCE = 600.0
"""Seconds after which the caller gives up, in virtual time."""
REAL_PATIENCE = 60
"""The same in real time."""
HOUR = 3600.0
UNWIND = 5.0
"""Seconds in which it is watched who still works after the caller has his answer."""


class Broken(Exception):
    """What a step raises."""


@dataclass(slots=True)
class Trouble:
    """One step raises at the end of its time, or hangs. ``ended``: step -> runs, done, raised or cancelled."""

    raises: str = ""
    hangs: str = ""
    ended: dict[str, str] = field(default_factory=dict)

    async def instead(self, step: str, seconds: float) -> None:
        """Stands in for the sleep of *step*."""
        self.ended[step] = "runs"
        try:
            await asyncio.sleep(HOUR if step == self.hangs else seconds)
        except asyncio.CancelledError:
            self.ended[step] = "cancelled"
            raise
        self.ended[step] = "raised" if step == self.raises else "done"
        if step == self.raises:
            raise Broken(step)


def cases() -> dict[str, Trouble]:
    """Case -> trouble. In the seed shape, with a quick suggest: when recall raises, there is finished work to lose."""
    return {
        "input raises": Trouble(raises="recall"),
        "input hangs": Trouble(hangs="retrieve"),
        "review raises": Trouble(raises="assess"),
    }


async def watch(
    turn: Callable[[], Awaitable[object]], trouble: Trouble, patience: float = PATIENCE, unwind: float = UNWIND
) -> dict[str, object]:
    """Run one *turn* into *trouble*.

    ``sees``: what the caller gets, an error by its type, "a result", or "nothing" within ``patience``
    seconds. ``seconds``: after how long. ``kept``: the steps whose own values are in what the caller got; an engine may keep more
    in a store or a state that has to be looked for. ``answered``: whether the reply is among them. ``others``: what
    became of the steps that were running by then: "ran on", "cancelled", or "none" if there were none.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    task = asyncio.ensure_future(turn())
    await asyncio.wait({task}, timeout=patience)
    seconds = round(loop.time() - began, 3)
    if not task.done():
        task.cancel()
        return {
            "sees": "nothing",
            "seconds": None,
            "patience": patience,
            "kept": [],
            "answered": False,
            "others": "none",
        }
    running = {step for step, how in trouble.ended.items() if how == "runs" and step != trouble.hangs}
    cut = {step for step, how in trouble.ended.items() if how == "cancelled" and step != trouble.hangs}
    error = task.exception()
    values = None if error else task.result()
    kept = sorted(values) if isinstance(values, Mapping) else []
    await asyncio.sleep(unwind)
    went_on = any(trouble.ended[step] == "done" for step in running)
    return {
        "sees": type(error).__name__ if error else "a result",
        "seconds": seconds,
        "patience": patience,
        "kept": kept,
        "answered": "reply" in kept,
        "others": "ran on" if went_on else "cancelled" if running or cut else "none",
    }
