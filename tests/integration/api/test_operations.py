"""Metrics, probes, identity, and the page that describes the routes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vital_engine import errors
from vital_engine.api import Backend, create_app
from vital_engine.api.problems import status_of
from vital_engine.errors import StoreError
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.testing import scripted

DOCS = Path(__file__).parents[3] / "docs" / "http.md"
SEED: dict[str, Any] = {"retrieve": 0.1, "suggest": 0.06, "recall": 0.04, "reply": 0.2, "tokens": 12, "sentences": 3}


async def _scrape(served: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = await served.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


async def test_the_six_metrics_of_a_known_turn(serving: Any) -> None:
    failing = {**SEED, "recall": RuntimeError("gone"), "cite": "hang"}
    async with serving(scripted(**failing)) as served:
        before = await _scrape(served)
        await served.ended((await served.ask(profile="tiers", settings={"post_generation_timeout_ms": 100}))["run_id"])
        after = await _scrape(served)

    def delta(name: str, **labels: str) -> float:
        key = (name, frozenset({**labels, "mode": "2"}.items()))
        return after.get(key, 0.0) - before.get(key, 0.0)

    def now(name: str, **labels: str) -> float:
        return after[name, frozenset({**labels, "mode": "2"}.items())]

    for tier in ("tier1", "tier2"):
        assert delta("parallel_execution_duration_ms_count", tier=tier) == 1
        assert 0 <= now("parallel_execution_success_rate", tier=tier) < 1
        assert now("parallel_speedup_ratio", tier=tier) > 0
    assert 100 <= delta("parallel_execution_duration_ms_sum", tier="tier1") < 300
    assert delta("parallel_execution_timeouts_total", tier="tier1") == 0
    assert delta("parallel_execution_timeouts_total", tier="tier2") == 1
    assert delta("parallel_task_failures_total", task_name="recall", failure_type="error") == 1
    assert delta("parallel_task_failures_total", task_name="cite", failure_type="timeout") == 1
    assert delta("parallel_task_duration_ms_count", task_name="retrieve") == 1
    assert 200 <= delta("parallel_task_duration_ms_sum", task_name="reply") < 600


async def test_openmetrics_for_who_asks_for_it(serving: Any) -> None:
    async with serving() as served:
        response = await served.client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        assert "openmetrics" in response.headers["content-type"] and response.text.endswith("# EOF\n")


async def test_alive_is_not_ready(serving: Any) -> None:
    async def ping(within: float) -> None:
        raise StoreError(f"no answer within {within} s, host 10.0.0.7", service="store")

    engine = replace(Backend.around(Mode2AutomaticWorkflow(scripted())), ping=ping)
    async with serving(engine) as served:
        assert (await served.client.get("/livez")).status_code == 200
        ready = await served.client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"], ready.json()["database"]) == (503, False, "unreachable")
        assert "10.0.0.7" not in ready.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8700"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_foreign_web_pages_reach_nothing(serving: Any, headers: dict[str, str]) -> None:
    services = scripted()
    async with serving(services) as served:
        for method, path, body in [("POST", "/v1/turns", {"question": "?"}), ("GET", "/v1/documents", None)]:
            response = await served.client.request(method, path, json=body, headers=headers)
            assert (response.status_code, response.json()["error"]["code"]) == (403, "turn.refused")
        assert not services.calls


async def test_a_page_of_this_machine_is_let_in(serving: Any) -> None:
    async with serving(scripted(tokens=12, sentences=3)) as served:
        headers = {"Origin": "http://localhost:3000", "X-Vital-Tenant": "t", "X-Vital-User": "u"}
        assert (await served.client.post("/v1/turns", json={"question": "?"}, headers=headers)).status_code == 202
        for wrong in ({"X-Vital-Tenant": ""}, {"X-Vital-User": "x" * 201}):
            response = await served.client.get("/v1/models", headers=wrong)
            assert (response.status_code, response.json()["error"]["code"]) == (422, "request.invalid")


def test_every_route_is_in_the_docs_and_says_what_it_does() -> None:
    text = DOCS.read_text(encoding="utf-8")
    paths = create_app(Backend.around(Mode2AutomaticWorkflow(scripted()))).openapi()["paths"]
    routes = {f"{method.upper()} {path}": said for path, methods in paths.items() for method, said in methods.items()}
    assert len(routes) >= 15
    assert [name for name in (*routes, "GET /openapi.json") if f"`{name}`" not in text] == []
    assert [name for name, said in routes.items() if not said.get("description")] == []


def test_every_code_is_in_the_docs_with_its_status() -> None:
    rows = dict(re.findall(r"^\| (\d{3}) \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    codes = {status: set(re.findall(r"`([a-z_.]+)`", row)) for status, row in rows.items()}
    for name in errors.__all__:
        error = getattr(errors, name)
        if error.code.split(".")[0] in {"turn", "model", "store", "document"}:
            assert error.code in codes[str(status_of(error()))], name
