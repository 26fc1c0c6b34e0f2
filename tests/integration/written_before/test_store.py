"""A data folder that an earlier version wrote: everything in it is there, is shown, and is gone on with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from model_server import ModelServer, Reply
from vital_engine import Question
from vital_engine.__main__ import main
from written_before import FOLDER, RUNS, account, engine, events, http, question_of, said

MINE = [run for run in RUNS.values() if run["tenant"] == "local"]
ENDED = [run for run in RUNS.values() if run["said"] is not None]


def headers(run: dict[str, Any]) -> dict[str, str]:
    return {"X-Vital-Tenant": run["tenant"], "X-Vital-User": run["user"]}


def test_the_evidence_is_of_all_kinds() -> None:
    assert {run["mode"] for run in ENDED} == {1, 2, 3, 4}
    assert {run["status"] for run in RUNS.values()} == {"complete", "partial", "failed", "paused", "running"}
    assert {reason for run in ENDED for reason in run["said"]["degraded"].values()} >= {"error", "timeout", "cancelled"}
    statuses = {each["status"] for run in RUNS.values() for each in run["approvals"]}
    assert statuses == {
        "proposed", "approved", "rejected", "edited", "expired", "started", "done", "failed", "outcome_unknown",
    }  # fmt: skip


async def test_each_turn_is_shown_as_it_was(home: Path) -> None:
    async with engine(home) as app, http(app) as client:
        for run in RUNS.values():
            shown = (await client.get(f"/v1/turns/{run['run_id']}", headers=headers(run))).json()
            same = ("run_id", "mode", "conversation", "question")
            assert {key: shown[key] for key in same} == {key: run[key] for key in same}
            if run["said"] is None:
                continue
            assert (shown["status"], shown["text"]) == (run["said"]["status"], run["said"]["text"])
            assert bool(shown["error"]) is bool(run["said"]["error"])
            receipt = await client.get(f"/v1/turns/{run['run_id']}/receipt", headers=headers(run))
            assert receipt.status_code == 200
            assert said(receipt.json()) == run["said"], run["run_id"]


async def test_a_client_that_comes_back_for_the_events_of_a_turn_gets_its_end(home: Path) -> None:
    async with engine(home) as app, http(app) as client:
        for run in ENDED:
            path = f"/v1/turns/{run['run_id']}/events"
            (last,) = events((await client.get(path, headers=headers(run))).text)
            assert last["event"] == ("error" if run["said"]["error"] else "finished")
            assert (last["data"]["turn"]["text"], last["data"]["turn"]["run_id"]) == (
                run["said"]["text"],
                run["run_id"],
            )
            again = await client.get(path, headers={**headers(run), "Last-Event-ID": last["id"]})
            assert again.status_code == 204


async def test_tenants_are_kept_apart_still(home: Path) -> None:
    async with engine(home) as app, http(app) as client:
        for path in ("/v1/turns/clinic-1", "/v1/turns/clinic-1/receipt", "/v1/documents/safe"):
            assert (await client.get(path)).status_code == 404
        question = Question("Where is the key of the clinic's safe?", "local", "local")
        assert "mat" not in (await app.workflow(2).execute(question)).text
        answer = await app.workflow(2).execute(Question(question.text, "clinic", "ada"))
        assert "under the mat" in answer.text


# -- the command line
def vital(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """Exit code and standard output of ``vital``."""
    for name in ("DATABASE_URL", "OPENAI_API_KEY", "VITAL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VITAL_HOME", str(home))
    monkeypatch.setenv("VITAL_EMBEDDER", "none")
    monkeypatch.setattr(sys, "argv", ["vital", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().out


def test_the_command_line_lists_and_shows_what_was_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = vital(home, monkeypatch, capsys, "runs", "list", "--limit", "200", "--json")
    assert code == 0
    assert {(run["run_id"], run["question"]) for run in json.loads(out)} >= {(r["run_id"], r["question"]) for r in MINE}
    for run_id in ("m2-cited", "m1-answered"):
        code, out = vital(home, monkeypatch, capsys, "runs", "show", run_id)
        assert code == 0
        shown = json.loads(out)
        assert said(shown.get("receipt", shown)) == RUNS[run_id]["said"]
    code, out = vital(home, monkeypatch, capsys, "experts", "list", "--json")
    assert code == 0 and {"buyer", "study-nurse"} <= {expert["id"] for expert in json.loads(out)}


async def test_what_waits_is_listed(untouched: Path) -> None:
    async with engine(untouched) as app, http(app) as client:
        for status in ("pending", "approved", "rejected", "edited", "expired", "started", "done", "outcome_unknown"):
            then = "proposed" if status == "pending" else status
            found = await client.get("/v1/approvals", params={"status": status, "limit": 200})
            assert {(each["id"], each["tool"], each["attempts"]) for each in found.json()["approvals"]} == {
                (a["id"], a["tool"], a["attempts"]) for run in MINE for a in run["approvals"] if a["status"] == then
            }


def test_the_command_line_lists_and_decides_what_waits(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = vital(home, monkeypatch, capsys, "approvals", "list", "--json")
    assert code == 0 and RUNS["m1-shipped-tool"]["approvals"][0]["id"] in out
    (call,) = RUNS["m1-shipped-tool"]["approvals"]
    code, out = vital(home, monkeypatch, capsys, "approvals", "approve", call["id"], "--json")
    receipt = json.loads(out)
    assert (code, receipt["status"]) == (0, "complete")
    # The tool ships with the engine: if it has changed meanwhile, what was approved is void, and is not called.
    (made,) = said(receipt)["calls_made"]
    assert made["status"] == "void" or (made["status"], made["text"]) == ("done", "12 * 12 = 144")


# -- documents
async def test_documents_are_there_with_their_text_and_are_found_by_words_without_being_taken_in_again(
    home: Path,
) -> None:
    texts = account()["documents"]
    async with engine(home) as app, http(app) as client:
        listed = (await client.get("/v1/documents")).json()["documents"]
        assert {each["id"] for each in listed} == set(texts)
        for name, text in texts.items():
            assert (await client.get(f"/v1/documents/{name}")).json()["text"] == text
        for asked, document, quote in (
            ("How many test kits does each participant need?", "kits", "3 test kits"),
            ("What is the dose of examplomycin above 75 years?", "elderly", "125 mg every 12 hours"),
        ):
            answer = await app.workflow(2).execute(Question(asked, "local", "local"))
            assert answer.raise_for_status().citations[0].document == document
            assert quote in answer.citations[0].quote and answer.citations[0].verdict == "verified"
        # It was deleted, and stands in a segment of the index still.
        answer = await app.workflow(2).execute(Question("What does examplomycin taste of?", "local", "local"))
        assert "elderberries" not in answer.text


async def test_documents_and_earlier_turns_are_found_by_their_meaning(home: Path) -> None:
    async with engine(home, embedder=None) as app:
        assert app.embedder is not None, "the embedder's weights are needed: requirements/weights.txt"
        # No word of it stands in the document but "is".
        question = Question("Queasiness: what is the remedy?", "local", "local")  # its expert is chosen by vectors too
        answer = await app.workflow(2).execute(question)
        assert answer.receipt()["retrieved"][0]["document"] == "safety"
        assert "by words only" not in json.dumps(answer.receipt())
    for file in (FOLDER / "vectors").iterdir():
        assert (home / "vectors" / file.name).read_bytes() == file.read_bytes()


async def test_what_is_new_goes_into_the_library_that_was_there(home: Path) -> None:
    async with engine(home) as app, http(app) as client:
        text = b"Examplomycin tablets are kept below 25 degrees in the blue cupboard."
        upload = await client.post("/v1/documents", files={"file": ("storage.txt", text, "text/plain")})
        assert upload.status_code == 201, upload.text
        answer = await app.workflow(2).execute(Question("Where are examplomycin tablets kept?", "local", "local"))
        assert "blue cupboard" in answer.text
        assert {each["document"] for each in answer.receipt()["retrieved"]} > {"storage.txt"}  # beside the old ones
        assert (await client.delete("/v1/documents/storage.txt")).status_code == 204


async def test_an_experts_own_domains_are_obeyed(home: Path) -> None:
    async with engine(home) as app, http(app) as client:
        listed = {each["id"]: each for each in (await client.get("/v1/experts")).json()["experts"]}
        for expert in account()["experts"]:
            assert listed[expert["id"]]["name"] == expert["name"]
        nurse = Question("What dose is given above 75 years?", "local", "local", expert="study-nurse")
        answer = await app.workflow(2).execute(nurse)
        assert answer.expert == "study-nurse"
        assert {each["document"] for each in answer.receipt()["retrieved"]} <= {"kits", "safety"}


# -- conversations
async def test_a_conversation_goes_on_with_its_window_its_summary_and_what_is_known_of_the_user(home: Path) -> None:
    before = account()["long_conversation"]
    with ModelServer(default=Reply("As was said before.")) as server:
        async with engine(home, model="tiny", model_url=server.base_url) as app:
            asked = Question("And for children?", "local", "local", conversation="long")
            answer = (await app.workflow(4).execute(asked)).raise_for_status()
        prompt = "\n".join(message["content"] for message in server.requests[-1].body["messages"])
    assert answer.text == "As was said before."
    for run_id in before["window"]:
        assert RUNS[run_id]["question"] in prompt and RUNS[run_id]["said"]["text"] in prompt
    assert before["summary"] in prompt
    assert all(fact in prompt for fact in before["facts"])


async def test_conversations_are_listed_read_and_erased(untouched: Path) -> None:
    async with engine(untouched) as app, http(app) as client:
        listed = (await client.get("/v1/conversations", params={"limit": 200})).json()["conversations"]
        assert {each["id"] for each in listed} == {run["conversation"] for run in MINE if run["conversation"]}
        talk = (await client.get("/v1/conversations/long")).json()
        assert talk["title"] == account()["long_conversation"]["title"]
        assert [(turn["run_id"], turn["text"]) for turn in talk["turns"]] == [
            (f"m4-{n}", RUNS[f"m4-{n}"]["said"]["text"]) for n in range(1, 14)
        ]
        assert (await client.delete("/v1/conversations/long")).status_code == 204
        assert (await client.get("/v1/turns/m4-1")).status_code == 404


async def test_a_turn_whose_process_died_is_answered_when_it_is_asked_again(home: Path) -> None:
    run = RUNS["m2-died"]
    async with engine(home) as app, http(app) as client:
        assert (await client.get("/v1/turns/m2-died")).json()["text"] == ""
        answer = await app.workflow(2).execute(question_of(run))
        assert answer.status == "complete" and "save" not in answer.degraded
        assert (await client.get("/v1/turns/m2-died")).json()["text"] == answer.text
