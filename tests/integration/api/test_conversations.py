"""Conversations over HTTP, on the real store: read, named, erased; messages that come at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from vital_engine.api import Backend
from vital_engine.modes import Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow, ParallelBaseWorkflow
from vital_engine.nouns import Question, Scope
from vital_engine.store import Conversations, Listing, Store, StoredApprovals, StoredConversationLock, Turns
from vital_engine.testing import ScriptedServices, scripted

ME = Scope("local", "local")
STRANGERS = ({"X-Vital-Tenant": "other"}, {"X-Vital-User": "other"})


@pytest.fixture
def services(store: Store) -> ScriptedServices:
    turns = Turns(store)
    return replace(
        scripted(reply=0.1, tokens=12, sentences=3),
        memory=Conversations(store),
        turns=turns,
        approvals=StoredApprovals(store),
        conversation_lock=StoredConversationLock(store),
    )


@pytest.fixture
def engine(store: Store, services: ScriptedServices) -> Backend:
    """Modes 3 and 4."""
    modes: dict[int, ParallelBaseWorkflow] = {
        3: Mode3ChatManualWorkflow(services),
        4: Mode4ChatAutomaticWorkflow(services),
    }
    return Backend(
        workflow=lambda mode: modes[mode],
        modes=tuple(modes),
        archive=Turns(store),
        listing=Listing(store),
        conversations=Conversations(store),
    )


async def say(served: Any, text: str, conversation: str = "c1", **more: Any) -> dict[str, Any]:
    """Send a message and wait for its answer."""
    begun = await served.ask(text, mode=4, conversation=conversation, **more)
    return await served.ended(begun["run_id"])


async def test_a_conversation_is_read_in_order_and_in_pages(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        turns = [await say(served, f"message {i}") for i in range(3)]
        talk = (await served.client.get("/v1/conversations/c1")).json()
        assert (talk["id"], talk["title"], talk["earlier"]) == ("c1", "message 0", None)
        assert [(t["question"], t["text"], t["run_id"]) for t in talk["turns"]] == [
            (f"message {i}", turn["text"], turn["run_id"]) for i, turn in enumerate(turns)
        ]
        assert {(t["status"], t["mode"]) for t in talk["turns"]} == {("complete", 4)}
        assert (await served.client.get(talk["turns"][0]["links"]["turn"])).json()["text"] == turns[0]["text"]
        page = (await served.client.get("/v1/conversations/c1", params={"limit": 2})).json()
        before = {"limit": 2, "before": page["earlier"]}
        first = (await served.client.get("/v1/conversations/c1", params=before)).json()
        assert [t["question"] for t in first["turns"] + page["turns"]] == ["message 0", "message 1", "message 2"]
        assert first["earlier"] is None


async def test_conversations_are_listed_and_named(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        client = served.client
        names = ["c1", "a/b", "c 3"]
        for name in names:
            await say(served, f"in {name}", name)
        found, page = [], {"next": None}
        while True:
            address = "/v1/conversations?limit=2" + (f"&before={page['next']}" if page["next"] else "")
            page = (await client.get(address)).json()
            found += [each["id"] for each in page["conversations"]]
            if page["next"] is None:
                break
        assert found == names[::-1]
        renamed = await client.patch("/v1/conversations/a/b", json={"title": " HDL \u202e"})
        assert (renamed.status_code, renamed.json()["title"]) == (200, "HDL \u202e")
        assert (await client.get("/v1/conversations/a/b")).json()["title"] == "HDL \u202e"
        for title in ("", "   ", "x" * 201, 7):
            wrong = await client.patch("/v1/conversations/c1", json={"title": title})
            assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "request.invalid")
        assert (await client.get("/v1/conversations", params={"before": "yesterday"})).status_code == 422


async def test_what_is_erased_is_gone_with_all_that_was_learned_in_it(
    serving: Any, engine: Backend, store: Store, services: ScriptedServices
) -> None:
    memory = Conversations(store)
    async with serving(engine) as served:
        turn = await say(served, "I have asthma.")
        await memory.learn("has asthma", ME, source=turn["run_id"])
        begun = await served.ask("Send it?", mode=3, conversation="c1")
        assert (await served.ended(begun["run_id"]))["status"] == "paused"
        assert (await served.client.delete("/v1/conversations/c1")).status_code == 204
        for path in ("/v1/conversations/c1", turn["links"]["turn"], turn["links"]["events"], begun["receipt"]):
            assert (await served.client.get(path)).status_code == 404, path
        assert (await served.client.delete("/v1/conversations/c1")).status_code == 404
        assert (await served.client.get("/v1/approvals")).json()["approvals"] == []
        assert (await served.client.post("/v1/approvals/call-1", json={"decision": "approve"})).status_code == 404
        left = await memory.recall(Question("?", "local", "local", conversation="c1", run_id="r"))
        assert (left.turns, left.facts) == ((), ())
    assert len([c for c in services.calls if c.port == "invoke"]) == 1  # of the first turn, whose mode asks nobody


async def test_a_conversation_that_speaks_is_not_erased(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        begun = await served.ask("And?", mode=4, conversation="c1")
        busy = await served.client.delete("/v1/conversations/c1")
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "turn.conversation_busy")
        assert (await served.ended(begun["run_id"]))["status"] == "complete"
        assert (await served.client.delete("/v1/conversations/c1")).status_code == 204


async def test_messages_that_come_at_once_are_answered_in_order(
    serving: Any, engine: Backend, services: ScriptedServices
) -> None:
    async with serving(engine) as served:
        begun = await asyncio.gather(*(served.ask(f"message {i}", mode=4, conversation="c1") for i in range(3)))
        ended = [await served.ended(each["run_id"]) for each in begun]
        assert {turn["status"] for turn in ended} == {"complete"}
        talk = (await served.client.get("/v1/conversations/c1")).json()
        spoken = sorted((c.start, c.end, c.arguments["prompt"]) for c in services.calls if c.port == "reply")
        assert all(before[1] <= after[0] for before, after in pairwise(spoken))
        prompts = [prompt for *_, prompt in spoken]
        for earlier, prompt in pairwise(prompts):
            assert f"User: {earlier.question.text}" in prompt
        assert {t["question"] for t in talk["turns"]} == {f"message {i}" for i in range(3)}


async def test_a_second_message_may_be_refused_instead(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        one = await served.ask("message 1", mode=4, conversation="c1")
        body = {"question": "message 2", "mode": 4, "conversation": "c1", "settings": {"on_contention": "refuse"}}
        refused = await served.client.post("/v1/turns", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "turn.conversation_busy")
        assert (await served.ended(one["run_id"]))["status"] == "complete"
        talk = (await served.client.get("/v1/conversations/c1")).json()
        assert [t["question"] for t in talk["turns"]] == ["message 1"]


async def test_a_message_during_a_pause_waits_for_the_decision(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        first = await served.ask("message 1", mode=3, conversation="c1")
        assert (await served.ended(first["run_id"]))["status"] == "paused"
        second = await served.ask("approve", mode=4, conversation="c1")
        await asyncio.sleep(0.1)
        assert (await served.client.get(second["turn"])).json()["status"] == "running"
        decided = await served.client.post("/v1/approvals/call-1", json={"decision": "approve"})
        assert decided.json()["runs_on"]
        for each in (first, second):
            assert (await served.ended(each["run_id"]))["status"] == "complete"
        talk = (await served.client.get("/v1/conversations/c1")).json()
        assert [t["question"] for t in talk["turns"]] == ["message 1", "approve"]


async def test_another_tenants_or_users_conversation_is_nowhere(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        await say(served, "mine")
        for headers in STRANGERS:
            assert (await served.client.get("/v1/conversations", headers=headers)).json()["conversations"] == []
            for method, body in (("GET", None), ("PATCH", {"title": "theirs"}), ("DELETE", None)):
                response = await served.client.request(method, "/v1/conversations/c1", json=body, headers=headers)
                assert (response.status_code, response.json()["error"]["code"]) == (404, "turn.not_found")
        theirs = await served.client.post(
            "/v1/turns", json={"question": "theirs", "mode": 4, "conversation": "c1"}, headers=STRANGERS[1]
        )
        assert theirs.status_code == 202
        await asyncio.sleep(0.3)
        mine = (await served.client.get("/v1/conversations/c1")).json()
        assert [t["question"] for t in mine["turns"]] == ["mine"]


async def test_an_engine_without_a_store_has_no_conversations(serving: Any) -> None:
    async with serving() as served:
        for path in ("", "/c1"):
            assert (await served.client.get(f"/v1/conversations{path}")).status_code == 404
