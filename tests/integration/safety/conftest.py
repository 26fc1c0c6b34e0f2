"""One question through every door of the engine: the library, HTTP, the command line and a LangGraph graph.

What each door gives is the turn's receipt, so that one test can ask the same of all.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
)
from vital_engine.api import Backend, create_app
from vital_engine.nouns import Brief, Effect, Question, ToolCall, ToolSuggestions
from vital_engine.services.tools import Toolbox
from vital_engine.settings import Settings
from vital_engine.testing import ScriptedServices, scripted

MODES: dict[int, type[ParallelBaseWorkflow]] = {
    1: Mode1ManualWorkflow,
    2: Mode2AutomaticWorkflow,
    3: Mode3ChatManualWorkflow,
    4: Mode4ChatAutomaticWorkflow,
}
COMMAND_LINE = importlib.import_module("vital_engine.cli.ask")  # whose name in its package is the command's
Receipt = Mapping[str, Any]
Door = Callable[..., Awaitable[Receipt]]
"""``await door(services, question, mode=2, **settings)``"""


async def library(services: Any, question: Question, *, mode: int = 2, **settings: Any) -> Receipt:
    return (await MODES[mode](services, watchers=(), **settings).execute(question)).receipt()


async def graph(services: Any, question: Question, *, mode: int = 2, **settings: Any) -> Receipt:
    compiled = MODES[mode](services, watchers=(), **settings).build_graph().compile()
    answer = (await compiled.ainvoke({"question": question}))["answer"]
    return answer.receipt()


async def http(services: Any, question: Question, *, mode: int = 2, **settings: Any) -> Receipt:
    engine = Backend.around(MODES[mode](services, watchers=(), **settings))
    transport = httpx2.ASGITransport(create_app(engine))
    asked = {"question": question.text, "mode": mode, "expert": question.expert, "stream": True}
    if (limits := limits_of(question)) != {}:
        asked["limits"] = limits
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        response = await client.post("/v1/turns", json=asked)
        assert response.status_code == 200, response.text
        started = json.loads(response.text.split("data: ", 2)[1].split("\n")[0])
        return (await client.get(f"/v1/turns/{started['run_id']}/receipt")).json()


def limits_of(question: Question) -> dict[str, Any]:
    names = {"seconds": None, "output_tokens": None, "cost_usd": None, "passages": 8}
    given = {name: getattr(question.limits, name) for name in names}
    return {name: str(value) if name == "cost_usd" else value for name, value in given.items() if value != names[name]}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Door:
    """The command line, around the services of a test instead of a whole engine."""

    async def ask(services: Any, question: Question, *, mode: int = 2, **settings: Any) -> Receipt:
        @contextlib.asynccontextmanager
        async def opened(_: Settings) -> AsyncIterator[Any]:
            workflow = MODES[mode](services, watchers=(), **settings)
            yield SimpleNamespace(notes=(), workflow={mode: workflow}.__getitem__)

        monkeypatch.setattr(COMMAND_LINE, "Engine", opened)
        capsys.readouterr()
        mine = Settings(tenant=question.tenant, user=question.user)
        await COMMAND_LINE.ask(
            question.text, mine, mode=mode, expert=question.expert, changes={}, limits=question.limits, as_json=True,
            timeline=False, sources=False,
        )  # fmt: skip
        return json.loads(capsys.readouterr().out)

    return ask


@pytest.fixture(params=["library", "http", "command line", "graph"])
def door(request: pytest.FixtureRequest, terminal: Door) -> Door:
    doors: dict[str, Door] = {"library": library, "http": http, "command line": terminal, "graph": graph}
    return doors[request.param]


@dataclass
class Clinic:
    """A box with tools that count what they are asked for."""

    asked: list[tuple[str, Any]] = field(default_factory=list)
    box: Toolbox = field(default_factory=Toolbox)

    def add(self, name: str, **about: Any) -> None:
        async def work(number: float) -> str:
            """Look at what a number stands for."""
            self.asked.append((name, number))
            return f"{name} {number:g}"

        self.box.tool(name=name, cues=(name,), **{"effect": Effect.READ, **about})(work)

    def services(self, **more: Any) -> ScriptedServices:
        return replace(scripted(), **{"tool_suggester": self.box, "caller": self.box, **more})


@dataclass
class Foreign:
    """A suggester of somebody else's, who says nothing about its calls but what is given here."""

    arguments: dict[str, Any]
    tool: str = "record"
    more: dict[str, Any] = field(default_factory=dict)
    calls: int = 1

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        ids = [f"{question.run_id}-{i}" for i in range(self.calls)]
        return ToolSuggestions(tuple(ToolCall(each, self.tool, dict(self.arguments), **self.more) for each in ids))
