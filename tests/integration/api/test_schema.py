"""The description of the routes: whole, valid, of one form, and the same as the page; and that its check would notice."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import validate

from http_schema import Exchange, Schemas
from vital_engine.api import Backend, create_app
from vital_engine.api.app import STREAMED
from vital_engine.api.problems import codes_of
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.testing import scripted

DOCS = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
DOCUMENT: Any = create_app(Backend.around(Mode2AutomaticWorkflow(scripted()))).openapi()
SCHEMAS = Schemas(DOCUMENT)
PARTS = DOCUMENT["components"]["schemas"]
TEXTS = {"text/plain", "application/openmetrics-text"}


def _responses() -> list[tuple[str, str, str, Any]]:
    """Operation, status, type and schema of every documented body."""
    return [
        (name, status, kind, content["schema"])
        for name, said in SCHEMAS.operations.items()
        for status, response in said["responses"].items()
        for kind, content in response.get("content", {}).items()
    ]


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


async def test_it_is_served_and_made_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Backend.around(Mode2AutomaticWorkflow(scripted())))
    threads, make = [], app.openapi

    def openapi() -> Any:
        threads.append(threading.get_ident())
        return make()

    monkeypatch.setattr(app, "openapi", openapi)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as client:
        found = await asyncio.gather(*(client.get("/openapi.json") for _ in range(4)))
    assert all(response.json() == DOCUMENT for response in found)
    assert threading.get_ident() not in threads


def test_every_success_has_a_named_schema() -> None:
    found = [(name, kind, schema) for name, status, kind, schema in _responses() if status[0] == "2"]
    for name, kind, schema in found:
        named = schema.get("anyOf", [schema.get("contentSchema", schema)])
        assert kind in TEXTS or all("$ref" in one for one in named), (name, schema)
    assert len({name for name, *_ in found}) >= len(SCHEMAS.operations) - 2, "two deletions have no body"


def test_every_error_is_the_one_that_is_sent() -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(PARTS)
    for name, status, kind, schema in _responses():
        if status[0] in "45" and (name, status) != ("GET /readyz", "503"):
            part = PARTS[schema["$ref"].rpartition("/")[2]]
            assert kind == "application/json" and part["required"] == ["error"], (name, status)
            assert part["properties"]["error"] == {"$ref": "#/components/schemas/ErrorDetail"}
    for name, said in SCHEMAS.operations.items():
        assert set(said["responses"]) >= ({"403", "422", "500", "503"} if " /v1/" in name else {"500"}), name
        assert ("requestBody" in said) <= ("413" in said["responses"]), name


def test_every_operation_can_be_told_apart_and_read() -> None:
    names = [said["operationId"] for said in SCHEMAS.operations.values()]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)
    tags = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
    assert {tag for said in SCHEMAS.operations.values() for tag in said["tags"]} == tags
    assert all(said["summary"] and said["description"] for said in SCHEMAS.operations.values())


def test_examples_are_what_they_are_examples_of() -> None:
    shown = {name: part["examples"] for name, part in PARTS.items() if "examples" in part}
    assert {"TurnRequest", "DecisionRequest", "ChatRequest", "ErrorBody"} <= set(shown)
    for name, examples in shown.items():
        for example in examples:
            assert list(SCHEMAS.wrong({"$ref": f"#/components/schemas/{name}"}, example)) == []


def test_what_stands_in_streams_is_described() -> None:
    refs = {schema["contentSchema"]["$ref"] for *_, kind, schema in _responses() if kind == "text/event-stream"}
    assert refs == {f"#/components/schemas/{model.__name__}" for model in STREAMED}
    found = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert found == set(PARTS), "each part has a user, and each that is used is there"


def _column(heading: str, first: str) -> set[str]:
    """The names in the first column of the table that begins with *first*, below *heading*."""
    table = DOCS.split(f"\n### {heading}\n", 1)[1].split(f"\n| {first} |", 1)[1].split("\n\n", 1)[0]
    return {name for row in table.split("\n")[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_the_page_names_the_same_fields() -> None:
    assert _column("`POST /v1/turns`", "field") == set(PARTS["TurnRequest"]["properties"])
    assert _column("Events", "`event`") == set(PARTS["TurnEvent"]["discriminator"]["mapping"])
    told = {"links", "proposed_arguments", "turn"}
    assert _column("`GET /v1/approvals`", "field") | told == set(PARTS["ApprovalBody"]["properties"])


def test_the_page_names_the_same_codes() -> None:
    rows = dict(re.findall(r"^\| (\d{3}) \| (.*) \|$", DOCS, re.MULTILINE))
    documented = {int(status) for _, status, *_ in _responses() if status[0] in "45"}
    assert documented | {405} == {int(status) for status in rows}
    for status, row in rows.items():
        named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", row))
        assert named <= set(codes_of(int(status))), status


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "body", "says"),
    [
        ("GET", "/v1/turns/x", 418, "application/json", {}, "a status that is not documented"),
        ("GET", "/v1/turns/x", 200, "text/html", {}, "a type that is not documented"),
        ("GET", "/v1/nothing", 200, "application/json", {}, "no such route"),
        ("DELETE", "/v1/documents/a/b", 204, "application/json", {"no": "body"}, "a type that is not documented"),
        ("GET", "/livez", 200, "application/json", {"status": "dead"}, "'dead' is not one of"),
        ("GET", "/livez", 200, "application/json", {"status": "alive", "more": 1}, "'more' was unexpected"),
        ("GET", "/livez", 200, "application/json", {}, "'status' is a required property"),
        ("GET", "/v1/turns/x", 404, "application/json", {"detail": []}, "'error' is a required property"),
        ("PUT", "/v1/turns", 405, "application/json", {"detail": []}, "'error' is a required property"),
        ("GET", "/v1/turns/x/events", 200, "text/event-stream", ("token", {"seq": 1}), "'text' is a required property"),
        ("GET", "/v1/turns/x/events", 200, "text/event-stream", ("word", {"seq": 1}), "not valid under any"),
    ],
)
def test_the_check_notices(method: str, path: str, status: int, kind: str, body: Any, says: str) -> None:
    data = json.dumps(body)
    if kind == "text/event-stream":
        data = f"id: 1\nevent: {body[0]}\ndata: {json.dumps(body[1])}\n\n"
    faults = list(SCHEMAS.faults(Exchange(method, path, status, kind, data.encode(), whole=True)))
    assert faults and says in faults[0], faults
