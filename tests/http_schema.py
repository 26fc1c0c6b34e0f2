"""What an API sends, held to what it says of itself in ``/openapi.json``: every response, its status, its type, its body.

The document lets a later version say more; here an unknown field is a fault too.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

OUTSIDE = (404, 405, 413)
"""What is refused before any route is found."""
Json = Mapping[str, Any]


@dataclass
class Exchange:
    """A request's line, and what was sent for it; ``whole``: to the end."""

    method: str
    path: str
    status: int = 0
    content_type: str = ""
    body: bytes = b""
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status} {self.content_type}"


@dataclass
class Recorder:
    """ASGI around *app*: keeps what it sends, to be checked after the test."""

    app: Any
    exchanges: list[Exchange] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope["method"], scope["path"])
        self.exchanges.append(exchange)

        async def recorded(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
                exchange.content_type = headers.get("content-type", "")
            elif message["type"] == "http.response.body":
                exchange.body += message.get("body", b"")
                exchange.whole = not message.get("more_body", False)
            await send(message)

        await self.app(scope, receive, recorded)


class Schemas:
    """An OpenAPI document, to ask what is wrong with an exchange."""

    def __init__(self, document: Json) -> None:
        self.document = _closed(document)
        resource = DRAFT202012.create_resource(self.document)
        self._registry: Registry[Any] = Registry().with_resource("urn:api", resource)
        self._validators: dict[str, Draft202012Validator] = {}

    def faults(self, exchange: Exchange) -> Iterator[str]:
        """What in *exchange* the document does not allow."""
        if not exchange.status or exchange.path == "/openapi.json":
            return
        operation = self._operation(exchange)
        if operation is None:
            if exchange.status in OUTSIDE:
                yield from self._json({"$ref": "#/components/schemas/ErrorBody"}, exchange.body, exchange)
            else:
                yield f"{exchange}: there is no such route"
            return
        said = operation["responses"].get(str(exchange.status))
        if said is None:
            yield f"{exchange}: a status that is not documented"
            return
        content, kind = said.get("content", {}), exchange.content_type.partition(";")[0]
        if not content and not exchange.body:
            return
        if kind not in content:
            yield f"{exchange}: a type that is not documented"
        elif kind == "application/json" and exchange.whole:
            yield from self._json(content[kind]["schema"], exchange.body, exchange)
        elif kind == "text/event-stream":
            yield from self._events(content[kind]["schema"]["contentSchema"], exchange)

    def wrong(self, schema: Json, value: Any) -> Iterator[str]:
        """Why *value* is none of *schema*."""
        key = json.dumps(schema)
        if key not in self._validators:
            rooted = json.loads(key.replace('"#/', '"urn:api#/'))
            checker = Draft202012Validator.FORMAT_CHECKER
            self._validators[key] = Draft202012Validator(rooted, registry=self._registry, format_checker=checker)
        for error in self._validators[key].iter_errors(value):
            yield f"{error.json_path}: {error.message[:300]}"

    def _operation(self, exchange: Exchange) -> Any:
        for one in (r"[^/]+", r".+"):  # an id may hold slashes where nothing follows it
            for pattern, methods in self._routes(one):
                if pattern.fullmatch(exchange.path) and exchange.method.lower() in methods:
                    return methods[exchange.method.lower()]
        return None

    def _routes(self, one: str) -> Iterator[tuple[re.Pattern[str], Json]]:
        for template, methods in self.document["paths"].items():
            yield re.compile(re.sub(r"\{\w+\}", one, template)), methods

    def _json(self, schema: Json, body: bytes, exchange: Exchange) -> Iterator[str]:
        for fault in self.wrong(schema, json.loads(body)):
            yield f"{exchange}: {fault}"

    def _events(self, schema: Json, exchange: Exchange) -> Iterator[str]:
        blocks = exchange.body.decode("utf-8", "replace").split("\n\n")[:-1]
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if not fields or fields["data"] == "[DONE]":
                continue
            value = json.loads(fields["data"])
            if "event" in fields:
                value = {**fields, "data": value}
            for fault in self.wrong(self._chosen(schema, value), value):
                yield f"{exchange}: {fault} in {block[:300]}"

    def _chosen(self, schema: Json, value: Json) -> Json:
        """Of a union that is told apart by a field, the one part: it says best what is wrong."""
        named = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        told_by = named.get("discriminator")
        chosen = told_by and told_by["mapping"].get(value.get(told_by["propertyName"]))
        return {"$ref": chosen} if chosen else schema

    @cached_property
    def operations(self) -> dict[str, Json]:
        """``GET /v1/turns/{run_id}`` -> the operation."""
        paths = self.document["paths"].items()
        return {f"{method.upper()} {path}": said for path, methods in paths for method, said in methods.items()}


def _closed(document: Json) -> Any:
    """*document*, whose objects have the fields that it names and no more."""
    found: Any = copy.deepcopy(document)
    for schema in found["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return found
