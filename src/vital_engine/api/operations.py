"""Who answers, and how the service is: experts, metrics, whether it lives, whether it takes work."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vital_engine.errors import StoreError
from vital_engine.monitoring import render

from .app_state import Principal, TheDesk

router = APIRouter(tags=["operations"])


@router.get("/v1/experts")
async def experts(app_state: TheDesk, principal: Principal) -> dict[str, Any]:
    """The experts of the tenant, those that come with the engine included."""
    found = await app_state.engine.experts(principal.tenant) if app_state.engine.experts is not None else ()
    shown = [
        {
            "id": each.id,
            "name": each.name,
            "description": each.description,
            "model": each.model,
            "tools": list(each.tools),
            "domains": list(each.domains),
            "modes": list(each.modes),
        }
        for each in found
    ]
    return {"experts": shown}


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """All metrics, for Prometheus or as OpenMetrics. In a thread: writing them takes tens of milliseconds."""
    content, media_type = await asyncio.to_thread(render, request.headers.get("accept", ""))
    return Response(content, media_type=media_type)


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers. It says nothing of what it leans on: a restart would not mend that."""
    return {"status": "alive"}


@router.get("/readyz", response_class=JSONResponse)
async def readyz(app_state: TheDesk) -> JSONResponse:
    """Whether turns are taken: the database answers, and the server is not being stopped. 503 if not."""
    checks = {"draining": app_state.running.draining, "database": "none"}
    if app_state.engine.ping is not None:
        try:
            await app_state.engine.ping(app_state.limits.ping_seconds)
            checks["database"] = "ok"
        except StoreError:
            checks["database"] = "unreachable"
    ready = not app_state.running.draining and checks["database"] != "unreachable"
    state = {"ready": ready, **checks, "turns": len(app_state.running), "notes": list(app_state.engine.notes)}
    return JSONResponse(state, 200 if ready else 503)
