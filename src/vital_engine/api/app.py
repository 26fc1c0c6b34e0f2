"""The FastAPI application around an engine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import FastAPI

from vital_engine import __version__
from vital_engine.monitoring import Watchdog

from . import approvals, chat, conversations, documents, operations, problems, turns
from .app_state import AppState, UploadLimiter
from .body_limit import BodyLimit
from .engine import Engine
from .identity import Development, Identity
from .limits import ServerLimits
from .running import RunningTurns

if TYPE_CHECKING:
    from vital_engine.app import App


def create_app(
    engine: App | Engine, *, identity: Identity | None = None, limits: ServerLimits | None = None
) -> FastAPI:
    """The service around *engine*, ready for any ASGI server.

    :param identity: who asks; None: development, which serves this machine alone, and without keys.
    """
    served = engine if isinstance(engine, Engine) else Engine.of(engine)
    limits = limits or ServerLimits()
    identity = identity or Development(served.tenant, served.user)
    app_state = AppState(served, limits, identity, RunningTurns(limits), UploadLimiter(limits.uploads))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with Watchdog():
            yield
            await app_state.running.shutdown(within=limits.drain_seconds)

    app = FastAPI(
        title="VITAL Engine",
        version=__version__,
        summary="Ask an expert; get an answer with checked citations.",
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.app_state = app_state
    problems.install(app)
    for part in (turns, approvals, conversations, chat, documents, operations):
        app.include_router(part.router)
    app.add_middleware(BodyLimit, limits=limits)
    return app
