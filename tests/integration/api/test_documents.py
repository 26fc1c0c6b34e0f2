"""Documents over HTTP, and turns kept in the real store."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vital_engine.api import Backend, ServerLimits
from vital_engine.api.backend import Library
from vital_engine.modes import Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode4ChatAutomaticWorkflow
from vital_engine.nouns import Expert, Scope
from vital_engine.services.retrieval.library import Library as Search
from vital_engine.store import Conversations, Listing, Store, StoredApprovals, StoredConversationLock, Turns
from vital_engine.store.knowledge import Knowledge
from vital_engine.testing import scripted

TEXT = b"Metformin lowers HbA1c. Lactic acidosis is rare.\n\nIt is excreted by the kidneys."
OTHER = {"X-Vital-Tenant": "other"}


@pytest.fixture
def engine(store: Store) -> Backend:
    """Scripted but for what is kept: the real library, searched by words, and the real archive of turns."""
    turns, knowledge = Turns(store), Knowledge(store)
    services = scripted(tokens=12, sentences=3)
    kept = replace(services, turns=turns, retriever=Search(knowledge, None))

    async def ping(within: float) -> None:
        await store.ping(within=within)

    workflow = Mode2AutomaticWorkflow(kept)
    return replace(Backend.around(workflow), archive=turns, library=Library(knowledge, None), ping=ping)


async def test_a_document_is_taken_in_found_read_and_taken_out(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        client = served.client
        one = await client.post("/v1/documents", params={"name": "metformin.txt", "domain": "drugs"}, content=TEXT)
        assert (one.status_code, one.json()["added"], one.json()["failed"]) == (201, 1, [])
        again = await client.post("/v1/documents", params={"name": "metformin.txt", "domain": "drugs"}, content=TEXT)
        assert (again.status_code, again.json()["unchanged"]) == (200, 1)
        listed = (await client.get("/v1/documents")).json()
        assert [(d["id"], d["domain"]) for d in listed["documents"]] == [("metformin.txt", "drugs")]
        assert listed["next"] is None
        turn = await served.ended((await served.ask("Is metformin excreted by the kidneys?"))["run_id"])
        receipt = (await client.get(turn["links"]["receipt"])).json()
        assert [p["document"] for p in receipt["retrieved"]] == ["metformin.txt"]
        found_in = receipt["index_version"]

        read = await client.get("/v1/documents/metformin.txt")
        assert "excreted by the kidneys" in read.json()["text"]
        page = await client.get("/v1/documents/metformin.txt", headers={"Accept": "text/html,*/*;q=0.8"})
        assert page.headers["content-type"].startswith("text/plain") and page.text == read.json()["text"]

        assert (await client.delete("/v1/documents/metformin.txt")).status_code == 204
        assert (await client.delete("/v1/documents/metformin.txt")).status_code == 404
        assert (await client.get("/v1/documents/metformin.txt")).status_code == 404
        after = await served.ended((await served.ask("Is metformin excreted by the kidneys?"))["run_id"])
        receipt = (await client.get(after["links"]["receipt"])).json()
        assert receipt["retrieved"] == [] and receipt["index_version"] != found_in


async def test_a_form_of_files_each_of_which_costs_only_itself(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        files = [
            ("files", ("../up/a.txt", TEXT, "text/plain")),
            ("files", ("b.md", b"# Title\n\nAspirin thins the blood.", "text/markdown")),
            ("files", ("c.pdf", b"%PDF-1.4 broken", "application/pdf")),
        ]
        response = await served.client.post("/v1/documents", files=files)
        assert (response.status_code, response.json()["added"]) == (201, 2)
        assert [failure["document"] for failure in response.json()["failed"]] == ["c.pdf"]
        pages, after = [], ""
        while after is not None:
            page = (await served.client.get("/v1/documents", params={"limit": 1, "after": after})).json()
            pages += [d["id"] for d in page["documents"]]
            after = page["next"]
        assert pages == ["a.txt", "b.md"]


async def test_what_cannot_be_taken_in_is_refused(serving: Any, engine: Backend) -> None:
    async with serving(engine, ServerLimits(upload_bytes=1_000, drain_seconds=0.1)) as served:
        client = served.client
        unnamed = await client.post("/v1/documents", content=TEXT)
        broken = await client.post("/v1/documents", params={"name": "x.pdf"}, content=b"%PDF-1.4 broken")
        large = await client.post("/v1/documents", params={"name": "x.txt"}, content=b"x" * 1_001)
        empty = await client.post("/v1/documents", files=[("note", (None, "no file"))])
        assert (unnamed.status_code, unnamed.json()["error"]["code"]) == (422, "request.invalid")
        assert (broken.status_code, broken.json()["error"]["code"]) == (422, "document.unreadable")
        assert broken.json()["failed"][0]["document"] == "x.pdf"
        assert (large.status_code, large.json()["error"]["code"]) == (413, "request.content_too_large")
        assert (empty.status_code, empty.json()["error"]["code"]) == (422, "request.invalid")
        with served.app_state.uploads.one(), served.app_state.uploads.one():
            busy = await client.post("/v1/documents", params={"name": "x.txt"}, content=TEXT)
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "turn.over_capacity")
        assert (await client.get("/v1/documents")).json()["documents"] == []


async def test_another_tenants_documents_and_kept_turns_are_nowhere(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        client = served.client
        await client.post("/v1/documents", params={"name": "a.txt"}, content=TEXT)
        begun = await served.ask()
        await served.ended(begun["run_id"])
        served.app_state.running._ended.clear()
        assert (await client.get("/v1/documents", headers=OTHER)).json()["documents"] == []
        for method, path in [
            ("GET", "/v1/documents/a.txt"),
            ("DELETE", "/v1/documents/a.txt"),
            ("GET", begun["turn"]),
            ("GET", begun["events"]),
            ("GET", begun["receipt"]),
            ("POST", begun["cancel"]),
        ]:
            assert (await client.request(method, path, headers=OTHER)).status_code == 404
        assert (await client.get("/v1/documents/a.txt")).status_code == 200


async def test_a_turn_is_found_in_the_store_when_memory_has_let_it_go(
    serving: Any, engine: Backend, sse: Any, store: Store
) -> None:
    async with serving(engine) as served:
        key = {"Idempotency-Key": "k"}
        begun = (await served.client.post("/v1/turns", json={"question": "Why?"}, headers=key)).json()
        assert begun["written_down"] is True
        before = await served.ended(begun["run_id"])
        served.app_state.running._ended.clear()
        after = (await served.client.get(begun["turn"])).json()
        assert after["status"] == before["status"] == "complete"
        assert {k: v for k, v in after.items() if k != "steps"} == {k: v for k, v in before.items() if k != "steps"}
        events = sse((await served.client.get(begun["events"], headers={"Last-Event-ID": "7"})).text)
        assert [(e["id"], e["event"], e["data"]["turn"]["text"]) for e in events] == [
            ("stored", "finished", before["text"])
        ]
        assert (await served.client.get(begun["events"], headers={"Last-Event-ID": "stored"})).status_code == 204
        assert (await served.client.get(begun["receipt"])).json()["run_id"] == begun["run_id"]
        assert (await served.client.post(begun["cancel"])).json()["status"] == "complete"
        again = await served.client.post("/v1/turns", json={"question": "Why?"}, headers=key)
        assert (again.status_code, again.json()["run_id"]) == (202, begun["run_id"])
        assert len(await Turns(store).list(Scope("local", "local"))) == 1


async def test_a_turn_that_waits_for_a_person_is_told_as_paused(
    serving: Any, engine: Backend, sse: Any, store: Store
) -> None:
    approvals = StoredApprovals(store)
    services = replace(scripted(tokens=12, sentences=3), turns=Turns(store), approvals=approvals)
    workflow = Mode1ManualWorkflow(services)
    async with serving(replace(engine, workflow=lambda _: workflow, modes=(1,))) as served:
        client = served.client
        refused = await client.post("/v1/turns", json={"question": "?", "mode": 2})
        assert (refused.status_code, refused.json()["error"]["message"]) == (422, "mode: there are 1.")
        last = sse((await client.post("/v1/turns", json={"question": "?", "mode": 1, "stream": True})).text)[-1]
        turn = last["data"]["turn"]
        assert (last["event"], turn["status"]) == ("paused", "paused")
        assert [call["tool_call"]["tool"] for call in turn["proposed"]] == ["scripted_tool"]
        assert (await client.get(turn["links"]["turn"])).json() == turn
        assert (await client.get(turn["links"]["receipt"])).status_code == 409
        assert (await client.post(turn["links"]["cancel"])).json()["status"] == "paused"

        served.app_state.running._ended.clear()
        assert (await client.get(turn["links"]["turn"])).json()["status"] == "paused"
        for method, path in [("GET", turn["links"]["events"]), ("POST", turn["links"]["cancel"])]:
            response = await client.request(method, path)
            assert (response.status_code, response.json()["error"]["code"]) == (409, "turn.paused")

        answer = await workflow.resume(turn["run_id"], {"call-1": "approve"}, scope=Scope("local", "local"))
        after = (await client.get(turn["links"]["turn"])).json()
        assert (after["status"], after["text"]) == ("complete", answer.text)
        assert (await client.get(turn["links"]["receipt"])).json()["tool_results"]


async def test_a_conversation_begins_by_itself_and_may_be_busy(serving: Any, engine: Backend, store: Store) -> None:
    turns = Turns(store)
    kept = replace(
        scripted(reply=0.5, tokens=12, sentences=3),
        turns=turns,
        conversation_lock=StoredConversationLock(store),
    )
    workflow = Mode4ChatAutomaticWorkflow(kept)
    async with serving(replace(engine, workflow=lambda _: workflow, modes=(4,))) as served:
        one = await served.ask(mode=4)
        body = {"question": "And?", "mode": 4, "conversation": one["conversation"]}
        refused = await served.client.post("/v1/turns", json={**body, "settings": {"on_contention": "refuse"}})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "turn.conversation_busy")
        assert (await served.ended(one["run_id"]))["conversation"] == one["conversation"]
        again = await served.ask(**body)
        assert (await served.ended(again["run_id"]))["status"] == "complete"


async def test_ready_means_that_the_database_answers(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served:
        ready = await served.client.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (200, "ok")


DOCS = Path(__file__).parents[3] / "docs" / "http.md"
FILES = {"guideline.md": b"# Reporting\n\nA serious adverse event is reported within 24 hours.", "label.txt": TEXT}


async def test_every_command_of_the_docs_runs(serving: Any, engine: Backend, store: Store) -> None:
    commands = re.findall(r"^curl .*$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    research = Expert("research", "Researcher", "all", "")

    async def experts(_: str) -> tuple[Expert, ...]:
        return (research,)

    automatic = engine.workflow(2)
    services = replace(
        automatic.services, approvals=StoredApprovals(store), conversation_lock=StoredConversationLock(store)
    )
    modes = {1: Mode1ManualWorkflow(services), 2: automatic, 4: Mode4ChatAutomaticWorkflow(services)}
    lists: dict[str, Any] = {"listing": Listing(store), "conversations": Conversations(store)}
    whole = replace(engine, workflow=modes.__getitem__, modes=tuple(modes), experts=experts, **lists)
    async with serving(whole) as served:
        run = (await served.ask())["run_id"]
        await served.ended(run)
        waiting = (await served.ended((await served.ask(mode=1))["run_id"]))["proposed"][0]["tool_call"]["id"]
        for command in commands:
            command = command.replace("$RUN", run).replace("$APPROVAL", waiting)  # noqa: PLW2901
            request = _request(command.replace("http://127.0.0.1:8700", ""))
            response = await served.client.request(**request)
            assert response.status_code < 300, (command, response.text)
    assert len(commands) >= 25


def _request(command: str) -> dict[str, Any]:
    """A curl command as a request, for the few options that the docs use."""
    words = iter(shlex.split(command)[1:])
    request: dict[str, Any] = {"method": "GET", "headers": {}}
    files = []
    for word in words:
        match word:
            case "-N":
                pass
            case "-X":
                request["method"] = next(words)
            case "-H":
                name, value = next(words).split(": ", 1)
                request["headers"][name] = value
            case "-d" | "--data-binary":
                body = next(words)
                request["method"] = "POST" if request["method"] == "GET" else request["method"]
                request |= {"content": FILES[body[1:]] if body[0] == "@" else body.encode()}
            case "-F":
                field, name = next(words).split("=@")
                files.append((field, (name, FILES[name])))
                request |= {"method": "POST", "files": files}
            case url:
                request["url"] = url
    return request
