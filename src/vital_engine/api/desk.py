"""What all routes of one application share, and how a route asks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from vital_engine.errors import OverCapacity
from vital_engine.nouns import Scope

from .engine import Engine
from .identity import Identity
from .limits import ServerLimits
from .running import RunningTurns


@dataclass(slots=True)
class Places:
    """At most *count* at once; one more is refused, not queued: it would wait with its whole body in memory."""

    count: int
    taken: int = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place. OverCapacity if there is none."""
        if self.taken >= self.count:
            raise OverCapacity(f"{self.taken} uploads run")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass(frozen=True, slots=True)
class Desk:
    engine: Engine
    limits: ServerLimits
    identity: Identity
    running: RunningTurns
    uploads: Places


async def _desk(request: Request) -> Desk:
    return cast("Desk", request.app.state.desk)


async def _asker(request: Request) -> Scope:
    return await (await _desk(request)).identity(request)


TheDesk = Annotated[Desk, Depends(_desk)]
Asker = Annotated[Scope, Depends(_asker)]
"""Every route below ``/v1`` asks for it: a request without an identity gets no further."""
