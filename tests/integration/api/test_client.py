"""A client that is generated from ``/openapi.json``, against a server that runs."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from vital_engine.api import Backend, create_app
from vital_engine.api.backend import Library
from vital_engine.modes import Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode4ChatAutomaticWorkflow
from vital_engine.nouns import Expert
from vital_engine.store import Conversations, Listing, Store, StoredApprovals, StoredConversationLock, Turns
from vital_engine.store.knowledge import Knowledge
from vital_engine.testing import scripted

NAME = "generated_vital_client"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The generated package, importable by its name."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    app = create_app(Backend.around(Mode2AutomaticWorkflow(scripted())))
    document.write_text(json.dumps(app.openapi()), encoding="utf-8")
    options = ConfigFile(post_hooks=[], package_name_override=NAME, literal_enums=True)
    config = Config.from_sources(
        options, MetaType.NONE, document, file_encoding="utf-8", overwrite=False, output_path=folder / NAME
    )
    assert [f"{e.header}: {e.detail}" for e in generate(config=config)] == []
    sys.path.insert(0, str(folder))
    yield folder / NAME
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def _call(operation: str) -> Any:
    """The generated function of *operation* (``turns.create_turn``): it returns the parsed body."""
    return importlib.import_module(f"{NAME}.api.{operation}").asyncio


def _model(name: str) -> Any:
    return getattr(importlib.import_module(f"{NAME}.models"), name)


def _engine(store: Store) -> Backend:
    turns, knowledge, conversations = Turns(store), Knowledge(store), Conversations(store)
    services = replace(
        scripted(tokens=12, sentences=3),
        turns=turns,
        approvals=StoredApprovals(store),
        memory=conversations,
        conversation_lock=StoredConversationLock(store),
    )
    modes = {
        1: Mode1ManualWorkflow(services),
        2: Mode2AutomaticWorkflow(services),
        4: Mode4ChatAutomaticWorkflow(services),
    }

    async def experts(_: str) -> tuple[Expert, ...]:
        return (Expert("research", "Researcher", "all", ""),)

    return Backend(
        workflow=modes.__getitem__,
        modes=tuple(modes),
        archive=turns,
        listing=Listing(store),
        conversations=conversations,
        library=Library(knowledge, None),
        experts=experts,
    )


@pytest.fixture
def engine(store: Store) -> Backend:
    return _engine(store)


@pytest.mark.usefixtures("package")
async def test_it_asks_reads_and_finds_the_receipt(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served, _client(served) as client:
        request = _model("TurnRequest")(question="Does metformin lower HbA1c?", limits=_model("TurnLimits")(passages=5))
        begun = await _call("turns.create_turn")(client=client, body=request, idempotency_key="k")
        assert (type(begun).__name__, begun.status, begun.written_down) == ("TurnAccepted", "running", True)
        again = await _call("turns.create_turn")(client=client, body=request, idempotency_key="k")
        assert (type(again).__name__, again.run_id) == ("TurnFound", begun.run_id)
        events = _events(await _call("turns.stream_turn_events")(begun.run_id, client=client))
        assert [type(event).__name__ for event in (events[0], events[-1])] == ["StartedEvent", "FinishedEvent"]
        turn = await _call("turns.get_turn")(begun.run_id, client=client)
        assert type(turn).__name__ == "Turn" and turn == events[-1].data.turn
        assert "".join(e.data.text for e in events if e.event == "token") == turn.text
        assert {c.verdict for c in turn.citations} == {"verified"} and turn.steps["reply"].outcome == "done"
        receipt = await _call("turns.get_receipt")(begun.run_id, client=client)
        assert (receipt.run_id, receipt.text, receipt.status) == (turn.run_id, turn.text, "complete")
        assert [row.call.purpose for row in receipt.cost.calls] == ["reply"]
        assert receipt.to_dict() == (await served.client.get(begun.receipt)).json(), "nothing was lost on the way"
        stopped = await _call("turns.cancel_turn")(begun.run_id, client=client)
        assert stopped.status == "complete"


@pytest.mark.usefixtures("package")
async def test_it_decides_what_waits(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served, _client(served) as client:
        begun = await _call("turns.create_turn")(client=client, body=_model("TurnRequest")(question="?", mode=1))
        paused = _events(await _call("turns.stream_turn_events")(begun.run_id, client=client))[-1]
        assert (type(paused).__name__, paused.data.turn.status) == ("PausedEvent", "paused")
        page = await _call("approvals.list_approvals")(client=client, status=["pending"])
        (call,) = page.approvals
        assert (call.status, call.turn.status, call.decided, page.next_) == ("proposed", "paused", None, None)
        one = await _call("approvals.get_approval")(call.id, client=client)
        assert one == call
        body = _model("DecisionRequest")(decision="reject", reason="not needed")
        decided = await _call("approvals.decide_approval")(call.id, client=client, body=body)
        assert (decided.runs_on, decided.waits_for, decided.approval.decided.reason) == (True, [], "not needed")
        refused = await _call("approvals.decide_approval")(
            call.id, client=client, body=_model("DecisionRequest")(decision="approve")
        )
        assert (type(refused).__name__, refused.error.code) == ("ErrorBody", "turn.conflict")


@pytest.mark.usefixtures("package")
async def test_it_lists_what_there_is(serving: Any, engine: Backend) -> None:
    async with serving(engine) as served, _client(served) as client:
        request = _model("TurnRequest")(question="Does it help?", mode=4, conversation="c1")
        begun = await _call("turns.create_turn")(client=client, body=request)
        await served.ended(begun.run_id)
        (talk,) = (await _call("conversations.list_conversations")(client=client)).conversations
        assert (talk.id, talk.title) == ("c1", "Does it help?")
        whole = await _call("conversations.get_conversation")("c1", client=client)
        assert [(t.question, t.status) for t in whole.turns] == [("Does it help?", "complete")]
        title = _model("TitleRequest")(title="Help")
        renamed = await _call("conversations.rename_conversation")("c1", client=client, body=title)
        assert renamed.title == "Help"

        form = _model("UploadDocumentsFilesBody")(files=[_file(b"Metformin lowers HbA1c.", "a.txt")])
        report = await _call("documents.upload_documents")(client=client, body=form)
        assert (report.added, report.failed) == (1, [])
        assert (await _uploaded(served, b"Aspirin thins the blood.", "b.txt")).added == 1
        page = await _call("documents.list_documents")(client=client)
        assert [line.id for line in page.documents] == ["a.txt", "b.txt"]
        document = await _call("documents.get_document")("a.txt", client=client)
        assert document.text == "Metformin lowers HbA1c."
        unread = await _uploaded(served, b"%PDF-", "c.pdf")
        assert (unread.error.code, unread.failed[0].document) == ("document.unreadable", "c.pdf")

        experts = await _call("operations.list_experts")(client=client)
        assert [(e.id, e.modes) for e in experts.experts] == [("research", [1, 2, 3, 4])]
        models = await _call("chat_completions.list_models")(client=client)
        assert [model.id for model in models.data] == ["auto", "expert/research"]
        message = _model("Message")(role="user", content="Does it help?")
        said = await _call("chat_completions.create_chat_completion")(
            client=client, body=_model("ChatRequest")(messages=[message])
        )
        assert said.choices[0].message.content and said.vital.status == "complete"
        ready = await _call("operations.get_readiness")(client=client)
        assert (ready.ready, ready.database) == (True, "none")
        for operation, gone in (("documents.delete_document", "a.txt"), ("conversations.delete_conversation", "c1")):
            assert await _call(operation)(gone, client=client) is None
            assert (await _call(operation)(gone, client=client)).error.code == "turn.not_found"


@pytest.mark.usefixtures("package")
async def test_what_is_wrong_is_an_error_that_it_knows(serving: Any) -> None:
    async with serving(scripted()) as served, _client(served) as client:
        wrong = _model("TurnRequest")(question="?", mode=7)
        refused = await _call("turns.create_turn")(client=client, body=wrong)
        assert (type(refused).__name__, refused.error.code) == ("ErrorBody", "request.invalid")
        nowhere = await _call("turns.get_turn")("nowhere", client=client)
        assert (type(nowhere).__name__, nowhere.error.code) == ("ErrorBody", "turn.not_found")


def _client(served: Any) -> Any:
    made = importlib.import_module(NAME).Client
    return made(base_url=served.url, raise_on_unexpected_status=True, timeout=20.0)


async def _uploaded(served: Any, content: bytes, name: str) -> Any:
    """One file as the body. In a thread: of a file alone the generator's asynchronous calls can make no body."""
    upload = importlib.import_module(f"{NAME}.api.documents.upload_documents").sync
    with _client(served) as client:
        return await asyncio.to_thread(upload, client=client, body=_file(content, name), name=name)


def _file(content: bytes, name: str) -> Any:
    return importlib.import_module(f"{NAME}.types").File(BytesIO(content), name, "text/plain")


def _events(text: str) -> list[Any]:
    """A stream's events, each as the generated model of its name."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            kind = _model(f"{fields['event'].capitalize()}Event")
            found.append(kind.from_dict({**fields, "data": json.loads(fields["data"])}))
    return found
