"""A process that is killed at its nth commit, and the one that comes after it. Run by ``test_kill.py``, as a script.

``dying.py SERVICE_URL OWNER_URL EFFECT MODE FOLDER``: for n = 1, 2, ... a child runs a paused and resumed turn and is
killed (SIGKILL) at point n: just before or just after a commit, or inside the tool. Then another child does what a
client would do again. Prints one JSON line for each n, until a child reaches its end unharmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vital_engine import Mode1ManualWorkflow, Mode3ChatManualWorkflow
from vital_engine.errors import NotFound
from vital_engine.nouns import Effect, Evidence, Question, Scope, ToolCall, ToolResult, ToolSuggestions
from vital_engine.store import (
    Connection,
    Conversations,
    Store,
    StoredApprovals,
    StoredConversationLock,
    Summaries,
    Turns,
    open_store,
)
from vital_engine.testing import scripted

MINE = Scope("t1", "u1")
LEASE = 0.3


class Points:
    """Counts the points of a run, and ends the process at one of them."""

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(Store):
    points: Points

    @contextlib.asynccontextmanager
    async def transaction(self, tenant: str, *, within: float | None = None) -> AsyncIterator[Connection]:
        async with super().transaction(tenant, within=within) as conn:
            yield conn
            self.points()
        self.points()


class World:
    """What lies outside the engine: a tool server that writes down each call, and an index that does for each search."""

    def __init__(self, log: Path, effect: Effect, points: Points) -> None:
        self.log, self.effect, self.points = log, effect, points

    def write(self, *words: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(" ".join(words) + "\n")

    async def suggest(self, question: Question, brief: Any) -> ToolSuggestions:
        return ToolSuggestions((ToolCall(f"{question.run_id}-1", "send", {"to": "board"}, effect=self.effect),))

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        self.write("search")
        return Evidence()

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:
        self.write("call", tool_call.id)
        self.points()
        return ToolResult(tool_call, "done", "sent")


async def client(urls: tuple[str, str], world: World, mode: str, run_id: str) -> dict[str, Any]:
    """Asks, approves, and asks again for what is not there: the same whether or not another did so before."""
    async with open_store(url=urls[0], owner_url=urls[1], pool_size=2) as opened:
        opened.__class__ = DyingStore
        store: Any = opened
        store.points = world.points
        turns, conversations = Turns(store), Conversations(store)
        services = replace(
            scripted(tokens=4, sentences=1),
            tool_suggester=world,
            retriever=world,
            caller=world,
            memory=conversations,
            turns=turns,
            approvals=StoredApprovals(store),
            conversation_lock=StoredConversationLock(store),
            summarizer=Summaries(store, conversations),
        )
        make = {"1": Mode1ManualWorkflow, "3": Mode3ChatManualWorkflow}[mode]
        workflow = make(services, watchers=(), lease_seconds=LEASE)
        question = Question("Does it?", "t1", "u1", run_id=run_id, conversation=f"talk-{run_id}")
        found = True
        try:
            await services.approvals.look(run_id, MINE)
        except NotFound:
            found = False
            await workflow.execute(question)
        answer = await workflow.resume(run_id, {f"{run_id}-1": "approve"}, scope=MINE)
        async with store.transaction("t1") as conn:
            query = "select status, (select count(*) from ledger l where l.run_id = t.run_id) from turns t where run_id = %s"
            kept = await (await conn.execute(query, [run_id])).fetchone()
        return {
            "found": found,
            "status": answer.status,
            "approval": answer.approvals[0].status,
            "tool_results": [f.status for f in answer.tool_results.results],
            "kept": list(kept or ()),
            "points": world.points.count,
        }


def forked(urls: tuple[str, str], effect: Effect, mode: str, log: Path, last: int) -> dict[str, Any] | None:
    """The client in a process of its own; None if it was killed."""
    out = log.with_suffix(".json")
    if (pid := os.fork()) == 0:
        try:
            result = asyncio.run(client(urls, World(log, effect, Points(last)), mode, log.stem))
            out.write_text(json.dumps(result), encoding="utf-8")
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return None if os.WIFSIGNALED(status) else json.loads(out.read_text(encoding="utf-8"))


def main(service: str, owner: str, effect: str, mode: str, folder: str) -> None:
    n, unharmed = 0, None
    while unharmed is None:
        n += 1
        log = Path(folder) / f"{effect}-{mode}-{n}"
        unharmed = forked((service, owner), Effect(effect), mode, log, n)
        after = unharmed or forked((service, owner), Effect(effect), mode, log, 0)
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        print(json.dumps({"n": n, "died": unharmed is None, "log": lines, **(after or {})}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
