"""errors.py as HTTP: one table of statuses, one form of body.

``{"error": {"code": "turn.not_found", "message": "There is no such thing here.", "run_id": "..."}}``. ``message`` is
fit for a user: the text of an exception is for operators, and goes to the log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vital_engine import errors
from vital_engine.errors import VitalError
from vital_engine.monitoring.logs import logger

STATUS: Final[Mapping[type[VitalError], int]] = MappingProxyType(
    {
        VitalError: 500,
        errors.SetupError: 500,
        errors.TurnError: 500,
        errors.InvalidQuestion: 422,
        errors.NotFound: 404,
        errors.Refused: 403,
        errors.Conflict: 409,
        errors.ConversationBusy: 409,
        errors.Expired: 410,
        errors.OverCapacity: 503,
        errors.OutOfTime: 504,
        errors.ServiceError: 502,
        errors.ModelUnavailable: 503,
        errors.RateLimited: 503,
        errors.ContextTooLong: 422,
        errors.ToolTimeout: 504,
        errors.ToolUnavailable: 503,
        errors.StoreError: 503,
        errors.UnreadableDocument: 422,
        errors.CircuitOpen: 503,
    }
)
"""An error that is not listed has the status of the nearest class above it."""

RETRY_SECONDS: Final = 1
"""When to try again, where nobody said."""

PUBLIC: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{cls.code: cls.public for cls in (getattr(errors, name) for name in errors.__all__)},
        "turn.cancelled": "The answer was stopped.",
        "server_draining": "The server is being stopped; the answer was cut off.",
    }
)
"""Code -> what a user may read."""

OF_THE_PROTOCOL: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        404: ("request.not_found", "There is no such route; see /openapi.json."),
        405: ("request.method_not_allowed", "This route does not know this method."),
        413: ("request.content_too_large", "The body is larger than this route allows."),
    }
)
"""Status -> code and message, for what the framework refuses. Not its phrases: Python words them anew at times."""

_log = logger("vital_engine.api")


class Problem(Exception):
    """A request that this service cannot fulfil as it was put. *message* is fit for whoever made it."""

    def __init__(self, status: int, code: str, message: str, *, run_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.run_id = status, code, message, run_id


def status_of(error: BaseException | None) -> int:
    """The HTTP status of *error*; 500 for what is not ours."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def body(code: str, message: str, *, run_id: str = "") -> dict[str, Any]:
    error = {"code": code, "message": message}
    return {"error": {**error, "run_id": run_id} if run_id else error}


def told(code: str) -> str:
    """What a user may read of *code*."""
    return PUBLIC.get(code, VitalError.public)


def response_of(
    error: BaseException | None, *, run_id: str = "", more: Mapping[str, Any] | None = None
) -> JSONResponse:
    """*error* as a response; ``more`` stands beside it."""
    status, code = status_of(error), error.code if isinstance(error, VitalError) else VitalError.code
    public = error.public if isinstance(error, VitalError) else VitalError.public
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        after = getattr(error, "retry_after", None)
        headers["Retry-After"] = str(max(RETRY_SECONDS, round(after or 0)))
    return JSONResponse({**body(code, public, run_id=run_id), **(more or {})}, status, headers)


def nearest(name: str, known: Iterable[str]) -> str:
    """``unknown field 'quesiton'; did you mean 'question'?``"""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
    return f"unknown field {name!r}; did you mean {near!r}?"


def install(app: FastAPI) -> None:
    """Have *app* answer every error in the one form."""

    @app.exception_handler(VitalError)
    async def ours(request: Request, error: VitalError) -> JSONResponse:
        if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("request failed", code=error.code, route=_route(request))
        _log.debug("request failed", code=error.code, detail=str(error))
        return response_of(error)

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return JSONResponse(body(error.code, error.message, run_id=error.run_id), error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(body("request.invalid", "; ".join(map(_said, error.errors()[:3]))), 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        code, message = OF_THE_PROTOCOL.get(status, ("request.invalid", f"{status.phrase}."))
        return JSONResponse(body(code, message), status, error.headers)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        _log.error("request failed", code=VitalError.code, route=_route(request), exc_info=error)
        return response_of(error)


def _route(request: Request) -> str:
    """The route's pattern, never the path: that may hold anything."""
    return getattr(request.scope.get("route"), "path", "")


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "The body is not JSON."
    where = ".".join(str(part) for part in error["loc"] if part != "body")
    what = error["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
