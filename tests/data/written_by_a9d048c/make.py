"""Writes the files of this folder: what the engine of commit a9d048c left behind, as evidence that it stays readable.

It runs on the code of that commit and on no other, so it keeps that commit's vocabulary for good: no later change of
names reaches this file, and no linter or type checker looks at it. To run it again::

    git worktree add ../written a9d048c
    cd ../written
    PYTHONPATH=src python PATH/TO/THIS/FILE

What it writes:

    store.sql.gz       schema (migrations 0001 to 0005, word for word) and all rows, as plain SQL
    runs.json.gz       what each of those turns said, by the engine's own account on that day
    graphs.json.gz     LangGraph checkpoints, as the serializer gave them (msgpack, in base64)
    receipts.json.gz   five receipts as ``Answer.receipt()`` gave them
    vectors/*.npy      one file of the cache of vectors that lies in a data folder beside the database

What lies in a data folder besides, and is not here, is made again when it is missing: ``models/`` (the embedder,
converted from the packaged weights), the rest of ``vectors/``, ``database/postgres.log`` and the lock files.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import vital_engine
from vital_engine import Mode2AutomaticWorkflow, Mode4ChatAutomaticWorkflow, Question
from vital_engine.app import App, open_app
from vital_engine.errors import ModelUnavailable, RetrievalError, StreamBroken, ToolError
from vital_engine.flow import drain
from vital_engine.nouns import Effect, Expert, Piece, Ruling, Scope, Usage
from vital_engine.services.retrieval.ingest import ingest
from vital_engine.services.retrieval.reading import read
from vital_engine.services.retrieval.reading.document import compose
from vital_engine.services.tools import CallKey, Reading, tool
from vital_engine.settings import Settings
from vital_engine.store.address import ADMIN
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import RECORD, shipped
from vital_engine.testing import run_virtual, scripted

COMMIT = "a9d048c"
HERE = Path(__file__).resolve().parent
ROOT = Path(vital_engine.__file__).resolve().parents[2]
MINE = Scope("local", "local")
OTHER = Scope("clinic", "ada")
CENTURY = 3_155_760_000
"""Seconds that a call which is pending stays so, for whoever reads this in years."""

FEVER = "What dose of examplomycin is given for invented fever?"
ORDER = "How many test kits does each participant of the invented fever study need? Please order 3 kits."
NOTIFY = "How is nausea under examplomycin treated? Please notify the board."
BOTH = "When is a participant of the invented fever study withdrawn? Order 2 kits, and notify the sponsor."
MANY = "Which laboratory reads the test kits? Order 1 kits, order 2 kits, order 4 kits, and notify the board."

DOCUMENTS = (
    (
        "kits",
        "Test kits of the invented fever study",
        "trial",
        "Each participant of the invented fever study needs 3 test kits. A kit is opened once and is thrown away "
        "after use.\n\nThe central laboratory in Exampletown reads the test kits within 2 days. Kits that arrive "
        "warm are not read.",
    ),
    (
        "safety",
        "Safety of examplomycin",
        "trial",
        "Nausea under examplomycin is treated by taking the tablet with a meal. In the invented fever study nausea "
        "was seen in 12 of 140 participants.\n\nA participant of the invented fever study is withdrawn when a rash "
        "occurs or when creatinine doubles. The sponsor is notified within 24 hours.",
    ),
    (
        "elderly",
        "Examplomycin in the elderly",
        "",
        "Above 75 years examplomycin is given as 125 mg every 12 hours. Renal function is checked each week.",
    ),
)
TALK = (
    FEVER,
    "How is nausea under examplomycin treated?",
    "How many test kits does each participant of the invented fever study need?",
    "Which laboratory reads the test kits?",
    "When is a participant of the invented fever study withdrawn?",
    "What is the dose of examplomycin above 75 years?",
    "How often is renal function checked in the elderly?",
    "What happens to kits that arrive warm?",
    "How soon is the sponsor notified?",
    "In how many participants was nausea seen?",
    "Who is thrown out when a rash occurs?",
    "What is 3 * 14?",
    "After how many hours is invented fever reviewed?",
)


# -- the house's own tools and experts
def own_tools(*, dies: bool = False) -> list[Any]:
    """*dies*: the process ends inside of each call, as if its power were cut."""

    def cut() -> None:
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    def orders(text: str) -> tuple[Reading, ...]:
        return tuple(Reading({"kits": int(n)}) for n in re.findall(r"order (\d+) kits", text, re.IGNORECASE))

    def notices(text: str) -> tuple[Reading, ...]:
        return tuple(Reading({"to": who}) for who in re.findall(r"notify the (\w+)", text, re.IGNORECASE))

    def items(text: str) -> tuple[Reading, ...]:
        return tuple(Reading({"item": what}) for what in re.findall(r"stock of (\w+)", text, re.IGNORECASE))

    @tool(effect=Effect.KEYED_WRITE, cues=("order", "kits"), cost_usd="0.02", reads=orders)
    async def order(kits: int, key: CallKey) -> str:
        """Order test kits from the shop."""
        cut()
        return f"ordered {kits}"

    @tool(effect=Effect.EFFECT, cues=("notify",), reads=notices)
    async def notify(to: str) -> str:
        """Send a notice to somebody."""
        cut()
        return f"the {to} was notified"

    @tool(effect=Effect.READ, cues=("stock of",), reads=items)
    async def stock(item: str) -> str:
        """Look up how much of something is in stock."""
        if item == "nothing":
            raise ToolError("there is no such item", service="stock")
        return f"17 {item} in stock"

    return [order, notify, stock]


BUYER = Expert("buyer", "Buyer", "Orders what is needed.", "You order what is needed, and answer in short sentences.")
NURSE = Expert("study-nurse", "Study nurse", "Knows the study.", "You know the study.", domains=("trial",), modes=(1, 2, 3))


@asynccontextmanager
async def engine(home: Path, *, dies: bool = False, embedder: str | None = None):
    """*embedder*: "none" searches by words alone, and is the same on every machine."""
    turn = {"approval_seconds": CENTURY}
    async with open_app(Settings(home=home, turn=turn, embedder=embedder), watchers=()) as app:
        for each in own_tools(dies=dies):
            app.toolbox.add(each)
        yield app
        await drain(within=10)  # vectors of turns are written behind their backs


def asked(text: str, run_id: str, *, talk: str | None = None, expert: str | None = "buyer", scope: Scope = MINE) -> Question:
    return Question(text, scope.tenant, scope.user, conversation=talk, expert=expert, run_id=run_id)


# -- services that fail
class NoMemory:
    async def recall(self, question: Question) -> Any:
        raise RetrievalError("the index is gone", service="memory")


class Hangs:
    async def check(self, *_: Any, **__: Any) -> Any:
        await asyncio.get_running_loop().create_future()


class NoModel:
    model, provider = "gpt-x", "nowhere"

    async def stream(self, prompt: Any):
        raise ModelUnavailable("connection refused", service="model")
        yield


class Breaks:
    """Says something, and then breaks, or waits for ever."""

    model, provider = "gpt-x", "nowhere"

    def __init__(self, *, waits: bool = False) -> None:
        self.waits, self.said = waits, asyncio.Event()

    async def stream(self, prompt: Any):
        yield Piece("Invented fever is treated with examplomycin [1].", model=self.model, provider=self.provider)
        yield Piece(" The dose", Usage(420, 9), self.model, self.provider)
        self.said.set()
        if self.waits:
            await asyncio.get_running_loop().create_future()
        raise StreamBroken("connection reset", service="model")


# -- the turns
async def library(app: App) -> None:
    await app.experts.add(BUYER, app.scope())
    await app.experts.add(NURSE, app.scope())
    for domain in ("trial", ""):
        composed = [
            compose(text.split("\n\n"), id=key, title=title, source=f"{key}.txt", media_type="text/plain")
            for key, title, where, text in DOCUMENTS
            if where == domain
        ]
        if domain == "":
            for name in ("guideline.md", "leaflet.pdf"):
                composed += list(read(ROOT / "tests" / "data" / "documents" / name, name=name))
        await ingest(composed, shelves=app.knowledge, tenant=MINE.tenant, domain=domain, embedder=app.embedder)
    secret = compose(["The key of the clinic's safe is under the mat."], id="safe", title="Safe", source="safe.txt", media_type="text/plain")
    await ingest([secret], shelves=app.knowledge, tenant=OTHER.tenant, embedder=app.embedder)
    # a passage that is deleted and still stands in a segment of the lexical index
    gone = compose(["Examplomycin tastes of elderberries."], id="gone", title="Gone", source="gone.txt", media_type="text/plain")
    await ingest([gone], shelves=app.knowledge, tenant=MINE.tenant, domain="old", embedder=app.embedder)
    async with app.knowledge.writing(MINE.tenant, analysis=_analysis()) as writer:
        assert await writer.remove(["gone"])


def _analysis() -> str:
    from vital_engine.services.retrieval.analysis import ANALYSIS

    return ANALYSIS


def with_services(app: App, mode: int, **services: Any) -> Any:
    """The workflow of *mode*, with other services."""
    workflow = app.workflow(mode)
    made = type(workflow)(replace(app.services, **services), watchers=())
    made.settings = workflow.settings
    return made


async def automatic(app: App) -> None:
    run = app.workflow(2).execute
    await run(asked(FEVER, "m2-cited", expert=None))
    await run(asked("What is (3 + 4) * 6?", "m2-tool", expert=None))
    await run(asked("Who won the football match yesterday?", "m2-not-found", expert=None))
    await run(asked(FEVER, "m2-sequential"), profile="sequential")
    await run(asked("Is there a stock of kits? " + ORDER, "m2-policy"), never_automatic=("order",))
    degraded = with_services(app, 4, memory=NoMemory(), checker=Hangs())
    await degraded.execute(asked(FEVER, "m4-degraded", talk="degraded"), post_generation_timeout_ms=50)
    await with_services(app, 2, llm=NoModel()).execute(asked(FEVER, "m2-failed"))
    await with_services(app, 2, llm=Breaks()).execute(asked(FEVER, "m2-partial"))
    model = Breaks(waits=True)
    turn = with_services(app, 2, llm=model).start(asked(FEVER, "m2-cancelled"))
    await model.said.wait()
    turn.cancel()
    await asyncio.wait({turn.task})
    await drain(within=10)
    await run(asked("Where is the key of the safe?", "clinic-1", expert=None, scope=OTHER))


async def conversation(app: App) -> None:
    for number, text in enumerate(TALK, start=1):
        answer = await app.workflow(4).execute(asked(text, f"m4-{number}", talk="long", expert=None))
        answer.raise_for_status()
        await drain(within=10)
    await app.conversations.learn("The patient weighs 70 kg.", MINE, source="m4-2")
    await app.conversations.learn("The patient is allergic to elderberries.", MINE, source="m4-5")
    await app.conversations.rename("long", "All about invented fever", MINE)


async def manual(app: App) -> None:
    one, three = app.workflow(1), app.workflow(3)

    async def pause(workflow: Any, text: str, run_id: str, *, talk: str | None = None, **settings: Any) -> list[str]:
        answer = await workflow.execute(asked(text, run_id, talk=talk), **settings)
        assert answer.status == "paused", (run_id, answer.status)
        return [a.id for a in answer.approvals]

    answer = await one.execute(asked(FEVER, "m1-nothing-proposed"))
    assert answer.status == "complete"
    for workflow, name, talk in ((one, "m1", False), (three, "m3", True)):

        def place(kind: str, talk: bool = talk) -> str | None:
            return f"talk-{kind}" if talk else None

        calls = await pause(workflow, BOTH, f"{name}-answered", talk=place("answered"))
        edit = {calls[0]: ("edit", {"kits": 5}), calls[1]: ("reject", "the sponsor knows")}
        await workflow.resume(f"{name}-answered", edit, scope=MINE, by="pharmacist")
        if talk:  # something was said before in the conversation that waits
            await workflow.execute(asked(FEVER, f"{name}-before", talk=place("pending")))
        for kind in ("pending", "approve", "reject", "edit", "http"):  # one for each test: they share a database
            await pause(workflow, ORDER, f"{name}-{kind}", talk=place(kind))
        calls = await pause(workflow, MANY, f"{name}-partly", talk=place("partly"))
        partly = {calls[0]: "approve", calls[1]: ("reject", "too many"), calls[2]: ("edit", {"kits": 6}, "more")}
        assert (await workflow.resume(f"{name}-partly", partly, scope=MINE)).status == "paused"
        calls = await pause(workflow, BOTH, f"{name}-decided", talk=place("decided"))
        await app.approvals.settle(f"{name}-decided", {c: Ruling("approve") for c in calls}, MINE, by="local")
        await pause(workflow, ORDER, f"{name}-expired", talk=place("expired"), approval_seconds=0.05)
    await pause(one, ORDER, "m1-lapsed", approval_seconds=0.05)
    await asyncio.sleep(0.2)
    await one.resume("m1-lapsed", {}, scope=MINE)
    calls = await pause(one, "Is there a stock of nothing?", "m1-tool-failed")
    await one.resume("m1-tool-failed", {calls[0]: "approve"}, scope=MINE)
    await pause(one, "What is 12 * 12?", "m1-shipped-tool")
    for run_id, text in (("m1-cut-effect", NOTIFY), ("m1-cut-keyed", ORDER), ("m1-cut-known", NOTIFY)):
        await pause(one, text, run_id)
    await pause(three, NOTIFY, "m3-cut-effect", talk="talk-cut")


async def cut(app: App, run_id: str) -> None:
    """Approves, and dies inside of the tool."""
    turn = await app.approvals.look(run_id, MINE)
    decisions = {a.id: "approve" for a in turn.approvals}
    await app.workflow(turn.paused.mode).resume(run_id, decisions, scope=MINE)
    raise AssertionError("it should have died")


async def die_queued(app: App, run_id: str) -> None:
    """A message behind a pause; its process dies once it is written down."""
    app.workflow(3).start(asked("Which laboratory reads the test kits?", run_id, talk="talk-pending"))
    while True:
        await asyncio.sleep(0.02)
        if any(line.run_id == run_id for line in await app.turns.list(MINE)):
            os.kill(os.getpid(), signal.SIGKILL)


async def die_speaking(app: App, run_id: str) -> None:
    model = Breaks(waits=True)
    with_services(app, 2, llm=model).start(asked(FEVER, run_id))
    await model.said.wait()
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


CHILDREN: dict[str, Callable[[App, str], Awaitable[None]]] = {"cut": cut, "queued": die_queued, "speaking": die_speaking}


def dies(kind: str, run_id: str, home: Path) -> None:
    """The same file in a process of its own, which is killed."""
    done = subprocess.run([sys.executable, __file__, "--child", kind, run_id, str(home)], check=False)
    assert done.returncode == -signal.SIGKILL, (kind, run_id, done.returncode)


async def child(kind: str, run_id: str, home: Path) -> None:
    async with engine(home, dies=True) as app:
        await CHILDREN[kind](app, run_id)


# -- graphs
NODES = ("brief", "parallel_retrieval", "consent", "invoke", "reply", "parallel_post_generation", "save")
PAUSED = ("paused", "refused", "elsewhere")
"""Three that rest at the interrupt, for three tests: they share a database."""
RESTS = ("brief", "parallel_retrieval", *PAUSED, *NODES[2:])
CONFIG: Any = {"configurable": {"thread_id": "one", "checkpoint_ns": ""}}


def typed(pair: tuple[str, bytes]) -> list[str]:
    return [pair[0], base64.b64encode(pair[1]).decode()]


def thread(saver: InMemorySaver, *, last: bool) -> dict[str, Any]:
    """Everything that *saver* holds of its one thread, as it holds it. *last*: its latest checkpoint alone."""
    kept = saver.storage["one"][""]
    ids = sorted(kept)[-1:] if last else sorted(kept)
    checkpoints, used = [], set()
    for each in ids:
        checkpoint, metadata, parent = kept[each]
        used |= set(saver.serde.loads_typed(checkpoint)["channel_versions"].items())
        writes = [
            {"task": task, "channel": channel, "value": typed(value), "path": path}
            for (task, channel, value, path) in saver.writes[("one", "", each)].values()
        ]
        checkpoints.append(
            {"id": each, "parent": parent, "checkpoint": typed(checkpoint), "metadata": typed(metadata), "writes": writes}
        )
    blobs = [
        {"channel": channel, "version": version, "value": typed(saver.blobs["one", "", channel, version])}
        for channel, version in sorted(used)
        if ("one", "", channel, version) in saver.blobs
    ]
    return {"checkpoints": checkpoints, "blobs": blobs}


SEED = {"retrieve": 0.5, "suggest": 0.3, "recall": 0.2, "reply": 1.5, "assess": 0.1, "cite": 0.15, "tally": 0.05}


def scripted_threads() -> dict[str, Any]:
    """Modes 2 and 4, in virtual time: the whole history of a thread each; a degraded one; one that nobody answers."""
    broken = {**SEED, "recall": (0.2, RetrievalError("gone", service="memory")), "suggest": "hang", "cite": "hang"}
    failing = {**SEED, "reply": (0.5, ModelUnavailable("no route", service="model"))}
    kinds = {
        "mode2": (Mode2AutomaticWorkflow, SEED, "given as an object"),
        "mode4": (Mode4ChatAutomaticWorkflow, SEED, "given as JSON"),
        "mode2-degraded": (Mode2AutomaticWorkflow, broken, "given as JSON"),
        "mode2-model-failed": (Mode2AutomaticWorkflow, failing, "given as JSON"),
    }
    found = {}
    for name, (kind, script, given) in kinds.items():
        question = Question(
            "Does the scripted drug lower HbA1c?", "t1", "u1", run_id=f"run-{name}", conversation="talk" if name == "mode4" else None
        )
        plain = {k: v for k, v in asdict(question).items() if v is not None and k != "limits"}
        saver = InMemorySaver()
        graph = kind(scripted(**script)).build_graph().compile(checkpointer=saver)
        state = run_virtual(
            graph.ainvoke({"question": question if "object" in given else plain}, CONFIG, durability="sync")
        )
        found[name] = {
            "mode": kind.mode.number,
            "question": plain,
            "script": name.removeprefix("mode2-").removeprefix("mode2").removeprefix("mode4"),
            "said": said(state["answer"].receipt()),
            "seconds": state["answer"].timing.total,
            **thread(saver, last=False),
        }
    return found


async def engine_threads(app: App) -> dict[str, Any]:
    """Modes 1 and 3 on the real store: a thread for each place of rest, since what was decided stands in the store."""
    found = {}
    for mode in (1, 3):
        expected = None
        for rest in RESTS:
            name = f"mode{mode}-{rest}"
            talk = f"talk-graph-{rest}" if mode == 3 else None
            question = asked(ORDER, f"graph-{name}", talk=talk)
            saver = InMemorySaver()
            workflow = app.workflow(mode)
            graph = workflow.build_graph().compile(checkpointer=saver)
            stops = {} if rest in (*PAUSED, "save") else {"interrupt_after": [rest]}
            state = await graph.ainvoke({"question": question}, CONFIG, durability="sync", **stops)
            calls = []
            if rest not in ("brief", "parallel_retrieval"):
                calls = [call["id"] for call in state["__interrupt__"][0].value["calls"]]
            if calls and rest not in PAUSED:
                approve = Command(resume=dict.fromkeys(calls, "approve"))
                state = await graph.ainvoke(approve, CONFIG, durability="sync", **stops)
            if rest == "save":
                expected = said(state["answer"].receipt())
            plain = {k: v for k, v in asdict(question).items() if v is not None and k != "limits"}
            found[name] = {"mode": mode, "rest": rest, "question": plain, "calls": calls, **thread(saver, last=True)}
        for rest in RESTS:
            found[f"mode{mode}-{rest}"]["said"] = expected
    return found


# -- what was said, in words that need no vocabulary of this engine
STEPS = ("brief", "retrieve", "suggest", "recall", "consent", "invoke", "reply", "cite", "assess", "tally")


def said(receipt: dict[str, Any]) -> dict[str, Any]:
    steps = receipt["steps"]
    return {
        "status": receipt["status"],
        "error": receipt["error"],
        "text": receipt["text"],
        "expert": receipt["expert"],
        "degraded": receipt["degraded"],
        "warnings": receipt["warnings"],
        "citations": [{k: c[k] for k in ("marker", "verdict", "document", "page", "quote")} for c in receipt["citations"]],
        "calls_made": [{k: f[k] for k in ("status", "text")} | {"tool": f["proposal"]["tool"]} for f in receipt["tool_results"]],
        "decisions": [{"tool": d["proposal"]["tool"], "approved": d["approved"], "by": d["by"]} for d in receipt["approvals"]],
        "usd": receipt["cost"]["usd"],
        "paid": len(receipt["cost"]["calls"]),
        "outcomes": {name: steps[name]["outcome"] for name in STEPS if name in steps},
        "quality": None if (score := receipt["quality"]["score"]) is None else round(score, 6),
    }


async def account(app: App) -> dict[str, Any]:
    from vital_engine.store import Listing

    runs = []
    for scope in (MINE, OTHER):
        for line in await app.turns.list(scope, limit=500):
            stored = await app.turns.show(line.run_id, scope)
            approvals = await Listing(app.store).approvals(scope, run_id=line.run_id)
            runs.append(
                {
                    "run_id": line.run_id,
                    "tenant": scope.tenant,
                    "user": scope.user,
                    "mode": line.mode,
                    "conversation": line.conversation,
                    "question": line.question,
                    "status": line.status,
                    "said": None if stored.receipt is None else said(dict(stored.receipt)),
                    "approvals": [
                        {
                            "id": a.approval.id,
                            "tool": a.approval.call.tool,
                            "arguments": dict(a.approval.call.arguments),
                            "status": a.approval.status,
                            "attempts": a.approval.attempts,
                            "key": a.approval.key,
                        }
                        for a in approvals
                    ],
                }
            )
    found = await app.conversations.recall(asked(FEVER, "probe", talk="long"))
    return {
        "commit": COMMIT,
        "runs": runs,
        "long_conversation": {
            "window": [turn.run_id for turn in (await _without_vectors(app)).turns],
            "recalled_by_meaning": [turn.run_id for turn in found.turns],
            "summary": found.summary,
            "facts": list(found.facts),
            "title": next(c.title for c in await app.conversations.list(MINE) if c.id == "long"),
        },
        "documents": {
            entry: (await app.library.document_text(entry, scope=MINE))
            for entry in ("kits", "safety", "elderly", "guideline.md", "leaflet.pdf")
        },
        "experts": [asdict(e) for e in (BUYER, NURSE)],
        "definitions": {each.name: each.definition for each in own_tools()},
    }


async def _without_vectors(app: App) -> Any:
    from vital_engine.store import Conversations

    return await Conversations(app.store).recall(asked("Anything?", "probe", talk="long"))


# -- the dump
TABLES = (
    "conversations", "turns", "ledger", "citations", "facts", "experts", "knowledge_index", "documents", "passages",
    "embedding_models", "vectors", "lexical_segments", "lexical_postings", "paused_turns", "approvals",
    "conversation_tickets", "sentence_vectors", "turn_vectors",
)  # fmt: skip


def dump(url: str) -> str:
    """The database at *url* as SQL for an empty one of a server that has the engine's roles."""
    lines = [f"-- Written by commit {COMMIT}, by make.py; load it as a superuser.", "create extension if not exists vector;"]
    lines += ["set role vital_owner;", f"{RECORD.strip()};"]
    for migration in shipped():
        row = f"({migration.number}, '{migration.name}', '{migration.checksum}')"
        lines += [migration.sql.decode(), f"insert into vital_migrations (number, name, checksum) values {row};"]
    with psycopg.connect(url) as conn:
        there = {r[0] for r in conn.execute("select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace")}
        assert there == {*TABLES, "vital_migrations"}, there
        for (index,) in conn.execute("select indexdef from pg_indexes where indexname like 'vectors_of_model_%' order by 1"):
            lines.append(f"{index};")
        lines.append("reset role;")
        for table in TABLES:
            named = conn.execute(
                "select column_name from information_schema.columns where table_name = %s and table_schema = 'public'"
                " order by ordinal_position", [table],
            ).fetchall()  # fmt: skip
            columns = [name for (name,) in named]
            values = " || ', ' || ".join(f"quote_nullable({c}::text)" for c in columns)
            head = f"insert into {table} ({', '.join(columns)}) overriding system value values"
            for (row,) in conn.execute(f"select {values} from {table} order by 1".encode()):
                lines.append(f"{head} ({row});")
        for table, column in conn.execute(
            "select table_name, column_name from information_schema.columns where is_identity = 'YES' and"
            " table_schema = 'public' order by 1"
        ).fetchall():
            sequence = conn.execute("select pg_get_serial_sequence(%s, %s)", [table, column]).fetchone()[0]
            value, called = conn.execute(f"select last_value, is_called from {sequence}".encode()).fetchone()
            lines.append(f"select setval('{sequence}', {value}, {str(called).lower()});")
    return "\n".join(lines) + "\n"


def packed(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def only_on_its_commit() -> None:
    """Refuses to run on other code: what it would write would prove nothing."""
    changed = subprocess.run(["git", "diff", "--stat", COMMIT, "--", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    untracked = subprocess.run(["git", "status", "--porcelain", "--", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    if changed.stdout or untracked.stdout:
        sys.exit(f"the code in {ROOT} is not that of {COMMIT}: see the head of this file")


async def main(home: Path) -> tuple[dict[str, Any], dict[str, Any], Sequence[dict[str, Any]]]:
    async with engine(home) as app:
        assert app.embedder is not None, "the embedder's weights are needed: requirements/weights.txt"
        await library(app)
        await automatic(app)
        await conversation(app)
        await manual(app)
    for run_id in ("m1-cut-effect", "m1-cut-keyed", "m1-cut-known", "m3-cut-effect"):
        dies("cut", run_id, home)
    dies("queued", "m3-queued", home)
    dies("speaking", "m2-died", home)
    await asyncio.sleep(16)  # until the claims of the dead have run out
    async with engine(home) as app:
        await app.workflow(1).resume("m1-cut-known", {}, scope=MINE)
    async with engine(home, embedder="none") as app:
        graphs = await engine_threads(app)
    async with engine(home) as app:
        runs = await account(app)
        chosen = ("m2-cited", "m4-degraded", "m2-partial", "m1-answered", "m4-13")
        receipts = [dict((await app.turns.show(run_id, MINE)).receipt) for run_id in chosen]
    return runs, graphs, receipts


if __name__ == "__main__":
    only_on_its_commit()
    if sys.argv[1:2] == ["--child"]:
        asyncio.run(child(sys.argv[2], sys.argv[3], Path(sys.argv[4])))
        sys.exit()
    with TemporaryDirectory(prefix="vital-") as folder:
        home = Path(folder) / "home"
        server = EmbeddedServer(home / "database")
        server.start()
        try:
            runs, graphs, receipts = asyncio.run(main(home))
            packed(HERE / "store.sql.gz", dump(server.url(role=ADMIN)))
        finally:
            server.stop()
        shutil.rmtree(HERE / "vectors", ignore_errors=True)
        (HERE / "vectors").mkdir()
        smallest = min((home / "vectors").glob("*.npy"), key=lambda path: path.stat().st_size)
        shutil.copy(smallest, HERE / "vectors")
    packed(HERE / "runs.json.gz", as_text(runs))
    packed(HERE / "receipts.json.gz", as_text(receipts))
    packed(HERE / "graphs.json.gz", as_text({**scripted_threads(), **graphs}))
    for path in sorted(p for p in HERE.rglob("*") if p.is_file()):
        print(f"{path.stat().st_size:>8}  {path.relative_to(HERE)}")
