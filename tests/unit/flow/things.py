"""A few nouns and steps for the tests of flow."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from vital_engine.flow import Event, run_virtual


@dataclass(frozen=True)
class A:
    made: str = "a"


@dataclass(frozen=True)
class B:
    made: str = "b"


@dataclass(frozen=True)
class C:
    made: str = "c"


@dataclass(frozen=True)
class D:
    made: str = "d"


@dataclass
class Watcher:
    """An observer that only remembers."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An async test on the virtual clock."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        run_virtual(test(**fixtures))

    return run


async def deaf(seconds: float = 1000.0) -> None:
    """Swallows every cancellation."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        try:
            await asyncio.sleep(until - asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            continue


async def hang() -> None:
    await asyncio.Event().wait()
