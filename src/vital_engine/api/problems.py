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
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json
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
    }
)
"""An error that is not listed has the status of the nearest class above it."""

RETRY_SECONDS: Final = 1
"""Seconds until a client may try again, if the error does not say."""

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

OF_THE_SERVICE: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        404: ("model_not_found",),
        409: ("turn.running", "turn.elsewhere", "turn.paused"),
        422: ("request.invalid", "request.key_reused", "setup.config", "tool.invalid_arguments"),
        503: ("server_draining",),
    }
)
"""Status -> codes that the routes send beside those of the two tables above."""

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 1}}
}
_log = logger("vital_engine.api")


class ErrorDetail(BaseModel):
    """``code`` is stable and fit for a program, ``message`` for a user. ``run_id``: where a turn is concerned."""

    code: str
    message: str
    run_id: str = ""


class ErrorBody(BaseModel):
    """The body of every response with a status of 400 or above."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": {"code": errors.NotFound.code, "message": errors.NotFound.public}}]}
    )

    error: ErrorDetail


class Problem(Exception):
    """A request that this service cannot fulfil. *message* is fit for the client."""

    def __init__(self, status: int, code: str, message: str, *, run_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.run_id = status, code, message, run_id


def status_of(error: BaseException | None) -> int:
    """The HTTP status of *error*; 500 for what is not ours."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def body(code: str, message: str, *, run_id: str = "") -> ErrorBody:
    """The body of an error."""
    said = ErrorDetail(code=code, message=message)
    if run_id:
        said.run_id = run_id
    return ErrorBody(error=said)


def told(code: str) -> str:
    """What a user may read of *code*."""
    return PUBLIC.get(code, VitalError.public)


def json_response(
    said: BaseModel | Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """*said* as a response, written once and checked no more: of a model the fields that were set, of JSON all."""
    content = said.model_dump_json(exclude_unset=True) if isinstance(said, BaseModel) else to_json(said)
    return Response(content, status, headers, "application/json")


def response_of(error: BaseException | None, *, run_id: str = "") -> Response:
    """*error* as a response."""
    status, code = status_of(error), error.code if isinstance(error, VitalError) else VitalError.code
    public = error.public if isinstance(error, VitalError) else VitalError.public
    return json_response(body(code, public, run_id=run_id), status, retry_after(error))


def retry_after(error: BaseException | None) -> dict[str, str]:
    """The header that says when to try again, where that helps."""
    if status_of(error) != HTTPStatus.SERVICE_UNAVAILABLE:
        return {}
    return {"Retry-After": str(max(RETRY_SECONDS, round(getattr(error, "retry_after", None) or 0)))}


def refusals(*statuses: int, model: type[ErrorBody] = ErrorBody) -> dict[int | str, dict[str, Any]]:
    """How a route describes the errors that it can send, for its ``responses``.

    :param model: the body, where more than the error stands in it.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        codes = ", ".join(f"`{code}`" for code in codes_of(status))
        found[status] = {"model": model, "description": f"{HTTPStatus(status).phrase}: {codes}"}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            found[status]["headers"] = _RETRY_AFTER
    return found


def codes_of(status: int) -> list[str]:
    """The codes that can stand in an error of *status*."""
    classes = (getattr(errors, name) for name in errors.__all__)
    ours = [cls.code for cls in classes if status_of(cls()) == status]
    framework = [OF_THE_PROTOCOL[status][0]] if status in OF_THE_PROTOCOL else []
    return list(dict.fromkeys([*framework, *ours, *OF_THE_SERVICE.get(status, ())]))


def nearest(name: str, known: Iterable[str]) -> str:
    """``unknown field 'quesiton'; did you mean 'question'?``"""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
    return f"unknown field {name!r}; did you mean {near!r}?"


def install(app: FastAPI) -> None:
    """Have *app* answer every error in the one form."""

    @app.exception_handler(VitalError)
    async def ours(request: Request, error: VitalError) -> Response:
        if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("request failed", code=error.code, route=_route(request))
        _log.debug("request failed", code=error.code, detail=str(error))
        return response_of(error)

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return json_response(body(error.code, error.message, run_id=error.run_id), error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return json_response(body("request.invalid", "; ".join(map(_said, error.errors()[:3]))), 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        code, message = OF_THE_PROTOCOL.get(status, ("request.invalid", f"{status.phrase}."))
        return json_response(body(code, message), status, error.headers)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
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
