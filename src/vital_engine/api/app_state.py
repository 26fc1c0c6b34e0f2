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
class UploadLimiter:
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
class AppState:
    engine: Engine
    limits: ServerLimits
    identity: Identity
    running: RunningTurns
    uploads: UploadLimiter


async def _desk(request: Request) -> AppState:
    return cast("AppState", request.app.state.app_state)


async def _asker(request: Request) -> Scope:
    return await (await _desk(request)).identity(request)


TheDesk = Annotated[AppState, Depends(_desk)]
Principal = Annotated[Scope, Depends(_asker)]
"""Every route below ``/v1`` asks for it: a request without an identity gets no further."""
