"""The FastAPI application around an engine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vital_engine import __version__
from vital_engine.monitoring import Watchdog

from . import approvals, chat, conversations, documents, events, operations, problems, turns
from .backend import AppState, Backend, UploadLimiter
from .identity import Development, Identity
from .limits import BodyLimit, ServerLimits
from .problems import json_response
from .running import RunningTurns

if TYPE_CHECKING:
    from vital_engine.engine import Engine


STREAMED: Final[tuple[type[BaseModel], ...]] = (events.TurnEvent, chat.ChatStream)
"""What stands in streams. OpenAPI 3.1 has no word for that, so FastAPI does not look for these by itself."""

TAGS: Final = (
    ("turns", "Ask, follow, look at, stop. A turn is not its request: a stream is a reader of its log."),
    ("approvals", "Tool calls that wait for a person; each is settled once."),
    ("conversations", "What was said, to read, to name and to erase."),
    ("chat completions", "For any client of OpenAI's API."),
    ("documents", "The library that answers are drawn from."),
    ("operations", "Experts, metrics, probes."),
)


class Service(FastAPI):
    """The application. Its description holds what stands in streams too. It is made when it is first asked for, in a thread:
    that takes a fifth of a second, in which no turn may stand still."""

    def __init__(self, **options: Any) -> None:
        self._describing = threading.Lock()
        # Nothing of FastAPI's own: it makes the description in the loop, and its pages load scripts from elsewhere.
        super().__init__(**options, openapi_url=None, docs_url=None, redoc_url=None)

    def setup(self) -> None:
        """Add the route of the description."""
        super().setup()
        self.add_route("/openapi.json", self._described, include_in_schema=False)

    async def _described(self, _: Request) -> Response:
        return json_response(await asyncio.to_thread(self.openapi))

    def openapi(self) -> dict[str, Any]:
        """The description of all routes: OpenAPI 3.1."""
        with self._describing:
            if self.openapi_schema is None:
                schemas = super().openapi()["components"]["schemas"]
                _, made = models_json_schema(
                    [(model, "serialization") for model in STREAMED], ref_template="#/components/schemas/{model}"
                )
                schemas |= {name: part for name, part in made["$defs"].items() if name not in schemas}
            return super().openapi()


def create_app(
    engine: Engine | Backend, *, identity: Identity | None = None, limits: ServerLimits | None = None
) -> FastAPI:
    """The service around *engine*, for any ASGI server.

    :param engine: an open engine, or what the routes need of one.
    :param identity: makes a tenant and a user of a request; None: development, which serves this machine only, without
        keys.
    :param limits: bounds of the service; None: the defaults.
    """
    served = engine if isinstance(engine, Backend) else Backend.of(engine)
    limits = limits or ServerLimits()
    identity = identity or Development(served.tenant, served.user)
    app_state = AppState(served, limits, identity, RunningTurns(limits), UploadLimiter(limits.uploads))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with Watchdog():
            yield
            await app_state.running.shutdown(within=limits.drain_seconds)

    app = Service(
        title="VITAL Engine",
        version=__version__,
        summary="Ask an expert; get an answer with checked citations.",
        lifespan=lifespan,
        openapi_tags=[{"name": name, "description": said} for name, said in TAGS],
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.app_state = app_state
    problems.install(app)
    for part in (turns, approvals, conversations, chat, documents, operations):
        app.include_router(part.router)
    app.add_middleware(BodyLimit, limits=limits)
    return app
