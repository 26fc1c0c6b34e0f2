"""What no turn can obey is refused alike by the library, HTTP, the command line and a graph, before anything runs."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from vital_engine import Mode2AutomaticWorkflow
from vital_engine.api import Backend, create_app
from vital_engine.cli import cli, limits_of
from vital_engine.errors import InvalidQuestion
from vital_engine.nouns import Limits, Question
from vital_engine.nouns.asked import MOST_PASSAGES
from vital_engine.testing import ScriptedServices, run_virtual, scripted

from .conftest import Door

QUESTION = Question("What was found?", "t1", "u1")
NAN, INF = float("nan"), float("inf")
# Over HTTP and in a shell a number is what can be written as one: True is none of them.
REFUSED: list[tuple[str, Any]] = [
    *(("seconds", bad) for bad in (0, -1, NAN, INF, -INF, "soon", True)),
    *(("output_tokens", bad) for bad in (0, -5, 1.5, "many", True)),
    *(("cost_usd", bad) for bad in (-5, Decimal("-0.01"), Decimal("NaN"), Decimal("Infinity"), "much", True)),
    *(("passages", bad) for bad in (0, -1, MOST_PASSAGES + 1, 2.5, "all", True, None)),
]
TAKEN: list[tuple[str, Any]] = [
    ("seconds", 0.5), ("seconds", 3), ("output_tokens", 1), ("cost_usd", Decimal("0.000001")), ("cost_usd", 0),
    ("cost_usd", Decimal(0)), ("passages", 1), ("passages", MOST_PASSAGES),
]  # fmt: skip
FIELDS: list[tuple[str, Any]] = [
    ("text", " "), ("text", 5), ("text", "x" * 20_001), ("tenant", ""), ("user", None), ("conversation", ""),
    ("conversation", 5), ("conversation", "c" * 201), ("expert", 5), ("expert", "e" * 201), ("run_id", None),
    ("run_id", "r" * 201), ("limits", {"seconds": 3}), ("limits", None), ("memory", ["hello"]),
]  # fmt: skip


def asked(graph: bool, question: Question) -> ScriptedServices:
    """The services of a turn that was asked through the library or a graph."""
    services = scripted()
    workflow = Mode2AutomaticWorkflow(services, watchers=())
    if graph:
        run_virtual(workflow.build_graph().compile().ainvoke({"question": question}))
    else:
        run_virtual(workflow.execute(question))
    return services


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(("name", "bad"), [*REFUSED, ("cost_usd", 0.1)])  # a binary float is no exact amount
def test_the_library_and_a_graph_refuse_it(name: str, bad: Any, graph: bool) -> None:
    with pytest.raises(InvalidQuestion, match=f"limits.{name}"):
        asked(graph, replace(QUESTION, limits=Limits(**{name: bad})))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(("name", "good"), TAKEN)
def test_what_can_be_obeyed_is_taken(name: str, good: Any, graph: bool) -> None:
    services = asked(graph, replace(QUESTION, limits=Limits(**{name: good})))
    taken = getattr(services.kept[0].question.limits, name)
    assert taken == good and (name != "cost_usd" or type(taken) is Decimal)
    assert getattr(limits_of([f"{name}={good}"]), name) == good


async def test_http_refuses_the_same_and_takes_the_same() -> None:
    transport = httpx2.ASGITransport(create_app(Backend.around(Mode2AutomaticWorkflow(scripted(), watchers=()))))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def status(name: str, value: Any) -> int:
            said = str(value) if isinstance(value, Decimal) else value
            body = json.dumps({"question": "What?", "stream": True, "limits": {name: said}})
            return (
                await client.post("/v1/turns", content=body, headers={"content-type": "application/json"})
            ).status_code

        for name, bad in REFUSED:
            if bad is not True:
                assert await status(name, bad) == 422, (name, bad)
        for name, good in TAKEN:
            assert await status(name, good) == 200, (name, good)


@pytest.mark.parametrize(("name", "bad"), [each for each in REFUSED if each[1] not in (True, None)])
async def test_the_command_line_refuses_the_same(terminal: Door, name: str, bad: Any) -> None:
    with pytest.raises(InvalidQuestion):  # what is a number is refused where the question is asked
        await terminal(scripted(), replace(QUESTION, limits=limits_of([f"{name}={bad}"])))


@pytest.mark.parametrize("typed", ["", "cost_usd", "dollars=5", "seconds=", "=3"])
def test_the_command_line_names_the_limits_that_there_are(typed: str) -> None:
    with pytest.raises(InvalidQuestion, match=r"cost_usd|must be a number"):
        limits_of([typed])


def test_the_command_hands_them_to_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def work(*_: Any, limits: Limits, **__: Any) -> int:
        seen.append(limits)
        return 0

    monkeypatch.setattr(importlib.import_module("vital_engine.cli.ask"), "ask", work)
    typed = ["ask", "What?", "--limit", "cost_usd=0.01", "--limit", "passages=3"]
    assert CliRunner().invoke(cli, typed).exit_code == 0
    assert seen == [Limits(cost_usd=Decimal("0.01"), passages=3)]
    assert isinstance(CliRunner().invoke(cli, ["ask", "What?", "--limit", "passages=x"]).exception, InvalidQuestion)


@pytest.mark.parametrize(
    ("name", "bad"), [each for each in REFUSED if each[1] is not True and not isinstance(each[1], Decimal)]
)
async def test_a_graph_that_is_given_json_refuses_the_same(name: str, bad: Any) -> None:
    graph = Mode2AutomaticWorkflow(scripted(), watchers=()).build_graph().compile()
    plain = {"text": "What?", "tenant": "t1", "user": "u1", "limits": {name: bad}}
    with pytest.raises(InvalidQuestion):
        await graph.ainvoke({"question": plain})


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(("name", "bad"), FIELDS)
def test_so_are_the_fields_of_a_question(name: str, bad: Any, graph: bool) -> None:
    with pytest.raises(InvalidQuestion):
        asked(graph, replace(QUESTION, **{name: bad}))
