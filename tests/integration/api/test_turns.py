"""Turns over HTTP: asked, followed, looked at, stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vital_engine import errors
from vital_engine.api import ServerLimits
from vital_engine.api.problems import status_of
from vital_engine.testing import scripted

SSE = {"Accept": "text/event-stream"}
SHORT = {"tokens": 12, "sentences": 3}


async def test_a_question_is_answered_as_a_stream(serving: Any, sse: Any) -> None:
    async with serving(scripted(reply=0.05, **SHORT)) as served:
        response = await served.client.post("/v1/turns", json={"question": "What was found?"}, headers=SSE)
        events = sse(response.text)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        assert [e["id"] for e in events] == [str(e["data"]["seq"]) for e in events]
        assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
        turn = events[-1]["data"]["turn"]
        assert (events[0]["event"], events[-1]["event"], turn["status"]) == ("started", "finished", "complete")
        assert "".join(e["data"]["text"] for e in events if e["event"] == "token") == turn["text"]
        assert [e["data"]["citation"]["marker"] for e in events if e["event"] == "citation"] == [1, 1, 1]
        assert turn["cost"]["usd"] is not None and turn["steps"]["reply"]["seconds"] >= 0.05
        assert turn == (await served.client.get(turn["links"]["turn"])).json()


async def test_the_headers_come_before_the_first_token(serving: Any) -> None:
    async with serving(scripted(reply=0.4, prefill=0.4, **SHORT)) as served:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with served.client.stream("POST", "/v1/turns", json={"question": "?", "stream": True}) as response:
            assert response.status_code == 200
            assert loop.time() - began < 0.3


async def test_without_a_stream_the_turn_is_accepted_and_found_later(serving: Any) -> None:
    services = scripted(reply=0.5, register=0.1, **SHORT)
    async with serving(services) as served:
        accepted = await served.ask()
        begun = next(call for call in services.calls if call.port == "register")
        assert begun.end is not None and begun.error is None, "nobody is told before its beginning is written down"
        running = (await served.client.get(accepted["turn"])).json()
        early = await served.client.get(accepted["receipt"])
        assert (running["status"], early.status_code, early.json()["error"]["code"]) == ("running", 409, "turn.running")
        assert (await served.ended(accepted["run_id"]))["status"] == "complete"
        receipt = (await served.client.get(accepted["receipt"])).json()
        assert receipt["run_id"] == accepted["run_id"] and receipt["cost"]["calls"]


async def test_the_request_reaches_the_turn(serving: Any) -> None:
    services = scripted(**SHORT)
    async with serving(services) as served:
        body = {"profile": "tiers", "settings": {"enable_rag": False}, "limits": {"output_tokens": 77}, "expert": "dr"}
        accepted = await served.ask("Why?", conversation="c1", **body)
        turn = await served.ended(accepted["run_id"])
        prompt = services.prompts[0]
        assert (turn["profile"], "retrieve" in turn["skipped"]) == ("tiers", True)
        assert (prompt.max_output_tokens, prompt.question.conversation, prompt.question.expert) == (77, "c1", "dr")
        assert (prompt.question.tenant, prompt.question.user) == ("local", "local")


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"quesiton": "?"}, "request.invalid", "did you mean 'question'"),
        ({"question": "?", "limits": {"second": 1}}, "request.invalid", "limits: unknown field 'second'"),
        ({"question": "?", "settings": {"profil": "tiers"}}, "setup.config", "did you mean 'profile'"),
        ({"question": "?", "settings": {"enable_rag": "yes"}}, "setup.config", "true or false"),
        ({"question": "?", "profile": "fast"}, "setup.config", "dataflow, tiers, sequential"),
        ({"question": "?", "mode": 7}, "request.invalid", "mode: there are 2."),
        ({"question": "?", "limits": {"seconds": 0}}, "request.invalid", "limits.seconds"),
        ({"question": "?", "on_disconnect": "explode"}, "request.invalid", "'cancel' or 'continue'"),
        ({"question": "  "}, "turn.invalid_question", "empty"),
        ({"question": "x" * 20_001}, "turn.invalid_question", "too long"),
        ({}, "request.invalid", "question: Field required"),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_named(serving: Any, body: Any, code: str, says: str) -> None:
    services = scripted()
    async with serving(services) as served:
        response = await served.client.post("/v1/turns", json=body)
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (422, code)
        assert says in error["message"]
        assert not services.calls


async def test_other_wrong_requests_have_the_same_form(serving: Any) -> None:
    async with serving(limits=ServerLimits(body_bytes=1_000, drain_seconds=0.2)) as served:
        client, json = served.client, {"Content-Type": "application/json"}

        async def pieces() -> Any:
            for _ in range(4):
                yield b" " * 400

        found = [
            (await client.get("/v1/turns/nowhere"), 404, "turn.not_found"),
            (await client.get("/v1/nothing"), 404, "request.not_found"),
            (await client.delete("/v1/turns"), 405, "request.method_not_allowed"),
            (await client.post("/v1/turns", content=b"{", headers=json), 422, "request.invalid"),
            (await client.post("/v1/turns", json={"question": "x" * 1_001}), 413, "request.content_too_large"),
            (await client.post("/v1/turns", content=pieces(), headers=json), 413, "request.content_too_large"),
        ]
        for response, status, code in found:
            assert (response.status_code, response.json()["error"]["code"]) == (status, code)
            assert set(response.json()["error"]) <= {"code", "message", "run_id"}


def test_every_error_has_a_status_that_says_who_must_act() -> None:
    table = {name: status_of(getattr(errors, name)("secret")) for name in errors.__all__}
    assert table["InvalidQuestion"] == table["ContextTooLong"] == 422
    assert (table["NotFound"], table["Refused"], table["OverCapacity"], table["OutOfTime"]) == (404, 403, 503, 504)
    assert (table["SetupError"], table["ConfigError"], table["StepFailed"]) == (500, 500, 500)
    assert (table["ModelError"], table["StreamBroken"], table["RetrievalError"]) == (502, 502, 502)
    assert table["ModelUnavailable"] == table["RateLimited"] == table["StoreError"] == 503
    assert status_of(ValueError()) == 500


async def test_no_more_turns_at_once_than_there_are_places(serving: Any) -> None:
    async with serving(scripted(reply=60.0, **SHORT), ServerLimits(turns=2, drain_seconds=0.1)) as served:
        first = await served.ask()
        await served.ask()
        refused = await served.client.post("/v1/turns", json={"question": "?"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "turn.over_capacity")
        assert int(refused.headers["retry-after"]) >= 1
        await served.client.post(first["cancel"])
        await served.ask()


async def test_what_has_ended_is_kept_in_bounds(serving: Any) -> None:
    async with serving(scripted(**SHORT), ServerLimits(ended=2, drain_seconds=0.1)) as served:
        runs = [(await served.ask())["run_id"] for _ in range(4)]
        while len(served.app_state.running):
            await asyncio.sleep(0.01)
        found = [(await served.client.get(f"/v1/turns/{run}")).status_code for run in runs]
        assert sorted(found) == [200, 200, 404, 404]


async def test_another_tenants_turn_is_nowhere(serving: Any) -> None:
    async with serving(scripted(reply=0.3, **SHORT)) as served:
        mine = await served.ask()
        for other in ({"X-Vital-Tenant": "other"}, {"X-Vital-User": "other"}):
            for method, path in [
                ("GET", mine["turn"]),
                ("GET", mine["events"]),
                ("GET", mine["receipt"]),
                ("POST", mine["cancel"]),
            ]:
                response = await served.client.request(method, path, headers=other)
                assert (response.status_code, response.json()["error"]["code"]) == (404, "turn.not_found")
        assert (await served.ended(mine["run_id"]))["status"] == "complete"


async def test_cancel_stops_the_model_and_keeps_what_was_said(serving: Any) -> None:
    services = scripted(reply=60.0, tokens=1200, sentences=48)
    async with serving(services) as served:
        begun = await served.ask()
        while not (await served.client.get(begun["turn"])).json()["text"]:
            await asyncio.sleep(0.02)
        stopped = await served.client.post(begun["cancel"])
        assert stopped.json()["status"] == "cancelled"
        reply = next(call for call in services.calls if call.port == "reply")
        assert isinstance(reply.error, asyncio.CancelledError | GeneratorExit) and reply.end is not None
        turn = (await served.client.get(begun["turn"])).json()
        assert (turn["status"], turn["error"]["code"]) == ("cancelled", "turn.cancelled")
        assert services.kept[0].status == "partial" and services.kept[0].text.startswith(turn["text"]) and turn["text"]
        again = await served.client.post(begun["cancel"])
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_cancelling_an_ended_turn_changes_nothing(serving: Any) -> None:
    async with serving(scripted(**SHORT)) as served:
        begun = await served.ask()
        turn = await served.ended(begun["run_id"])
        assert (await served.client.post(begun["cancel"])).json()["status"] == "complete"
        assert await served.ended(begun["run_id"]) == turn


async def test_a_key_leads_to_one_turn(serving: Any, sse: Any) -> None:
    services = scripted(reply=0.1, **SHORT)
    async with serving(services) as served:
        key = {"Idempotency-Key": "k1"}
        body = {"question": "Why?"}
        one, two = await asyncio.gather(*(served.client.post("/v1/turns", json=body, headers=key) for _ in range(2)))
        streamed = await served.client.post("/v1/turns", json={**body, "stream": True}, headers=key)
        assert one.json()["run_id"] == two.json()["run_id"] == sse(streamed.text)[0]["data"]["run_id"]
        other = await served.client.post("/v1/turns", json={"question": "What?"}, headers=key)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "request.key_reused")
        foreign = await served.client.post("/v1/turns", json=body, headers={**key, "X-Vital-Tenant": "other"})
        assert foreign.json()["run_id"] != one.json()["run_id"]
        await served.ended(one.json()["run_id"])
        assert len(services.prompts) == 2


async def test_a_key_is_of_one_user_and_leads_nobody_else_to_their_turn(serving: Any) -> None:
    services = scripted(reply=0.1, **SHORT)
    async with serving(services) as served:
        people = [{}, {"X-Vital-User": "bob"}, {"X-Vital-User": "bob", "X-Vital-Tenant": "other"}]
        runs: list[str] = []
        for who in people:
            headers = {"Idempotency-Key": "k1", **who}
            asked = [await served.client.post("/v1/turns", json={"question": "Why?"}, headers=headers) for _ in "12"]
            assert [response.status_code for response in asked] == [202, 202], asked[0].text
            (run,) = {response.json()["run_id"] for response in asked}
            runs.append(run)
            # nor does it refuse one who asks something else under a key that another has used
            other = {"Idempotency-Key": "k1", "X-Vital-User": f"somebody {len(runs)}"}
            different = await served.client.post("/v1/turns", json={"question": "What?"}, headers=other)
            assert different.status_code == 202
        assert len(set(runs)) == 3
        assert (await served.client.get(f"/v1/turns/{runs[0]}", headers=people[1])).status_code == 404
