"""What the engine of commit a9d048c wrote (``data/written_by_a9d048c``), and the doors by which today's engine reads it.

All names of the engine that the tests in ``integration/written_before`` need stand here. The files are never written
again: where a form changes, the engine must still read them.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
from langgraph.checkpoint.memory import InMemorySaver

from seed_profile import SEED
from vital_engine import Engine, Question
from vital_engine.api import create_app
from vital_engine.errors import RetrievalError, ToolError
from vital_engine.nouns import Effect
from vital_engine.services.tools import CallKey, Reading, tool
from vital_engine.settings import Settings

FOLDER = Path(__file__).parent / "data" / "written_by_a9d048c"


def _unpacked(name: str) -> str:
    return gzip.decompress((FOLDER / name).read_bytes()).decode()


def store_sql() -> str:
    """The whole database as SQL for an empty one."""
    return _unpacked("store.sql.gz")


def account() -> dict[str, Any]:
    """What the engine that wrote the store said of it: ``runs``, ``long_conversation``, ``documents``, ``experts``."""
    return dict(json.loads(_unpacked("runs.json.gz")))


def threads() -> dict[str, Any]:
    """Checkpoints of graphs, by a thread's name."""
    return dict(json.loads(_unpacked("graphs.json.gz")))


def receipts() -> list[dict[str, Any]]:
    return list(json.loads(_unpacked("receipts.json.gz")))


RUNS: dict[str, dict[str, Any]] = {run["run_id"]: run for run in account()["runs"]}
STEPS = ("brief", "retrieve", "suggest", "recall", "consent", "invoke", "reply", "cite", "assess", "tally")


def said(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """What a receipt says, in the words in which ``account`` and ``threads`` have it; of whatever age it is."""
    steps, score = receipt["steps"], receipt["quality"]["score"]
    return {
        "status": receipt["status"],
        "error": receipt["error"],
        "text": receipt["text"],
        "expert": receipt["expert"],
        "degraded": receipt["degraded"],
        "warnings": receipt["warnings"],
        "citations": [
            {key: cited[key] for key in ("marker", "verdict", "document", "page", "quote")}
            for cited in receipt["citations"]
        ],
        "calls_made": [
            {"status": made["status"], "text": made["text"], "tool": _tool(made)} for made in receipt["tool_results"]
        ],
        "decisions": [
            {"tool": _tool(decided), "approved": decided["approved"], "by": decided["by"]}
            for decided in receipt["approvals"]
        ],
        "usd": receipt["cost"]["usd"],
        "paid": len(receipt["cost"]["calls"]),
        "outcomes": {name: steps[name]["outcome"] for name in STEPS if name in steps},
        "quality": None if score is None else round(score, 6),
    }


def _tool(row: Mapping[str, Any]) -> str:
    """Of which tool *row* speaks, whatever the call in it is called."""
    (name,) = {part["tool"] for part in row.values() if isinstance(part, Mapping) and "tool" in part}
    return str(name)


class Shop:
    """The tools of the house that wrote the store, defined to the word as they were then. ``calls``: what they were
    asked to do."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.keys: list[str] = []

    def tools(self) -> list[Any]:
        def orders(text: str) -> tuple[Reading, ...]:
            return tuple(Reading({"kits": int(n)}) for n in re.findall(r"order (\d+) kits", text, re.IGNORECASE))

        def notices(text: str) -> tuple[Reading, ...]:
            return tuple(Reading({"to": who}) for who in re.findall(r"notify the (\w+)", text, re.IGNORECASE))

        def items(text: str) -> tuple[Reading, ...]:
            return tuple(Reading({"item": what}) for what in re.findall(r"stock of (\w+)", text, re.IGNORECASE))

        @tool(effect=Effect.KEYED_WRITE, cues=("order", "kits"), cost_usd="0.02", reads=orders)
        async def order(kits: int, key: CallKey) -> str:
            """Order test kits from the shop."""
            self.calls.append(("order", kits))
            self.keys.append(key)
            return f"ordered {kits}"

        @tool(effect=Effect.EFFECT, cues=("notify",), reads=notices)
        async def notify(to: str) -> str:
            """Send a notice to somebody."""
            self.calls.append(("notify", to))
            return f"the {to} was notified"

        @tool(effect=Effect.READ, cues=("stock of",), reads=items)
        async def stock(item: str) -> str:
            """Look up how much of something is in stock."""
            self.calls.append(("stock", item))
            if item == "nothing":
                raise ToolError("there is no such item", service="stock")
            return f"17 {item} in stock"

        return [order, notify, stock]


@contextlib.asynccontextmanager
async def engine(home: Path, shop: Shop | None = None, **settings: Any) -> AsyncIterator[Engine]:
    """An engine on the data folder *home*, with the tools of *shop*. It searches by words unless *settings* say more."""
    async with Engine(Settings(home=home, **{"embedder": "none", **settings}), watchers=()) as app:
        for each in (shop or Shop()).tools():
            app.toolbox.add(each)
        yield app


@contextlib.asynccontextmanager
async def http(app: Engine) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the engine's routes, in this process."""
    service = create_app(app)
    async with (
        service.router.lifespan_context(service),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=service), base_url="http://127.0.0.1") as client,
    ):
        yield client


def events(text: str) -> list[dict[str, Any]]:
    """Server-sent events as ``{id, event, data}``."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def question_of(run: Mapping[str, Any]) -> Question:
    """The question of one of ``RUNS``, as it was asked."""
    expert = "buyer" if run["tenant"] == "local" and not run["run_id"].startswith("m4-") else None
    return Question(
        run["question"],
        run["tenant"],
        run["user"],
        conversation=run["conversation"],
        expert=expert,
        run_id=run["run_id"],
    )


# -- graphs
CONFIG: Any = {"configurable": {"thread_id": "one", "checkpoint_ns": ""}}


def broken() -> dict[str, Any]:
    """The script of the thread that is degraded."""
    return {**SEED, "recall": (0.2, RetrievalError("gone", service="memory")), "suggest": "hang", "cite": "hang"}


def saver_with(thread: Mapping[str, Any], upto: int | None = None, *, last_writes: bool = True) -> InMemorySaver:
    """A checkpointer that holds *thread*, put in by its public methods.

    :param upto: only so many of its checkpoints.
    :param last_writes: with what was written after the latest of them, by a node whose checkpoint never came.
    """
    saver = InMemorySaver()

    def read(value: list[str]) -> Any:
        return saver.serde.loads_typed((value[0], base64.b64decode(value[1])))

    there = {(b["channel"], b["version"]): b["value"] for b in thread["blobs"] if b["value"][0] != "empty"}
    kept = thread["checkpoints"][:upto]
    for each in kept:
        place: Any = {"configurable": {**CONFIG["configurable"], "checkpoint_id": each["parent"]}}
        checkpoint = read(each["checkpoint"])
        versions = checkpoint["channel_versions"]
        checkpoint["channel_values"] = {
            channel: read(there[channel, version])
            for channel, version in versions.items()
            if (channel, version) in there
        }
        saver.put(place, checkpoint, read(each["metadata"]), versions)
        by_task: dict[tuple[str, str], list[tuple[str, Any]]] = {}
        if last_writes or each is not kept[-1]:
            for write in each["writes"]:
                written = (write["channel"], read(write["value"]))
                by_task.setdefault((write["task"], write["path"]), []).append(written)
        here: Any = {"configurable": {**CONFIG["configurable"], "checkpoint_id": each["id"]}}
        for (task, path), writes in by_task.items():
            saver.put_writes(here, writes, task, path)
    return saver
