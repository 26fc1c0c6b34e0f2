"""Who answers, and how the service is: experts, metrics, whether it lives, whether it takes work.

It stands alone because these routes belong to the service, and to no resource of it.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vital_engine.errors import StoreError
from vital_engine.monitoring import render

from .backend import Principal, TheState
from .problems import json_response, refusals
from .schemas import Body, one_of

router = APIRouter(tags=["operations"], responses=refusals(500))


class ExpertBody(Body):
    """A profile. ``model`` null: the deployment's; ``tools`` or ``domains`` empty: all."""

    id: str
    name: str
    description: str
    model: str | None
    tools: list[str]
    domains: list[str]
    modes: list[int]


class ExpertList(Body):
    """Those that come with the engine included."""

    experts: list[ExpertBody]


class Alive(Body):
    """The process answers."""

    status: Annotated[str, one_of("alive")]


class Ready(Body):
    """``turns``: how many run; ``notes``: what the engine has to do without."""

    ready: bool
    draining: bool
    database: Annotated[str, one_of("none", "ok", "unreachable")]
    turns: int
    notes: list[str]


@router.get("/v1/experts", responses=refusals(403, 422, 503))
async def list_experts(app_state: TheState, principal: Principal) -> ExpertList:
    """The experts of the tenant, those that come with the engine included."""
    found = await app_state.engine.experts(principal.tenant) if app_state.engine.experts is not None else ()
    shown = [
        ExpertBody(
            id=each.id,
            name=each.name,
            description=each.description,
            model=each.model,
            tools=list(each.tools),
            domains=list(each.domains),
            modes=list(each.modes),
        )
        for each in found
    ]
    return ExpertList(experts=shown)


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {
                kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")
            },
            "description": "The metrics, as text.",
        },
    },
)
async def get_metrics(request: Request) -> Response:
    """All metrics, for Prometheus or as OpenMetrics. In a thread: writing them takes tens of milliseconds."""
    content, media_type = await asyncio.to_thread(render, request.headers.get("accept", ""))
    return Response(content, media_type=media_type)


@router.get("/livez")
async def get_liveness() -> Alive:
    """The process answers. It says nothing of what it leans on: a restart would not mend that."""
    return Alive(status="alive")


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "No turns are taken."}})
async def get_readiness(app_state: TheState) -> Response:
    """Whether turns are taken: the database answers, and the server is not being stopped. 503 if not."""
    database = "none"
    if app_state.engine.ping is not None:
        try:
            await app_state.engine.ping(app_state.limits.ping_seconds)
            database = "ok"
        except StoreError:
            database = "unreachable"
    draining = app_state.running.draining
    state = Ready(
        ready=not draining and database != "unreachable",
        draining=draining,
        database=database,
        turns=len(app_state.running),
        notes=list(app_state.engine.notes),
    )
    return json_response(state, 200 if state.ready else 503)
