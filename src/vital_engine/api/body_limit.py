"""No request body larger than its route allows: neither announced nor sent in pieces."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import ServerLimits
from .problems import OF_THE_PROTOCOL, body

UPLOADS = "/v1/documents"


class BodyLimit:
    """ASGI middleware. Starlette has one too, whose refusal is plain text; this one answers like every other error."""

    def __init__(self, app: ASGIApp, limits: ServerLimits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.limits.upload_bytes if scope["path"] == UPLOADS else self.limits.body_bytes
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            await JSONResponse(body(*OF_THE_PROTOCOL[413]), 413)(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            if message["type"] == "http.request":
                came += len(message.get("body", b""))
                if came > most:
                    raise HTTPException(413)
            return message

        await self.app(scope, counted, send)
