"""A tool that demands consent is called in no mode and through no door without a person who gave it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from rich.console import Console

from vital_engine.cli import render, screen
from vital_engine.flow import run_in_background
from vital_engine.nouns import Answer, ArgumentSource, Brief, Effect, Question
from vital_engine.services.caching import Cache, CachedToolSuggester
from vital_engine.testing import run_virtual
from vital_engine.testing.scripted import EXPERT

from .conftest import MODES, Clinic, Door, Foreign

QUESTION = Question("Please look at record, number 7.", "t1", "u1")
SAID = "its tool demands consent to each call: a person must approve it"


def clinic(*, consent: bool = True, effect: Effect = Effect.READ) -> Clinic:
    made = Clinic()
    made.add("record", effect=effect, consent=consent)
    return made


def tool_suggester(who: str, made: Clinic) -> Any:
    if who == "toolbox":
        return made.box
    if who == "cached":
        return CachedToolSuggester(made.box, Cache("suggestions", entries=8, start=run_in_background))
    return Foreign({"number": 7.0}, more={"sources": (ArgumentSource.QUESTION,)})  # of the tool it knows the name alone


@pytest.mark.parametrize("who", ["toolbox", "cached", "foreign"])
@pytest.mark.parametrize("mode", [2, 4])
@pytest.mark.parametrize("effect", [Effect.PURE, Effect.READ])
async def test_no_policy_approves_it(door: Door, mode: int, effect: Effect, who: str) -> None:
    made = clinic(effect=effect)
    services = made.services(tool_suggester=tool_suggester(who, made))
    for _ in range(2):  # the second time it is known from before
        receipt = await door(services, QUESTION, mode=mode)
        (decision,) = receipt["approvals"]
        assert decision["tool_call"]["needs_consent"] is True
        assert (decision["approved"], decision["by"], decision["reason"]) == (False, "policy", SAID)
        assert receipt["status"] == "complete" and receipt["tool_results"] == []
    assert made.asked == []


@pytest.mark.parametrize("who", ["toolbox", "foreign"])
async def test_without_the_demand_the_same_call_is_made(door: Door, who: str) -> None:
    made = clinic(consent=False)
    services = made.services(tool_suggester=tool_suggester(who, made))
    receipt = await door(services, QUESTION)
    assert receipt["approvals"][0]["approved"] is True
    assert made.asked == [("record", 7.0)]


def test_the_toolbox_says_so_itself_and_for_whoever_proposes_its_tools() -> None:
    made = clinic()
    (tool_call,) = run_virtual(made.box.suggest(QUESTION, Brief(EXPERT))).tool_calls
    assert tool_call.needs_consent and tool_call.sources == (ArgumentSource.QUESTION,)
    assert made.box.declared(replace(tool_call, needs_consent=False)) == tool_call
    unknown = replace(tool_call, tool="another", needs_consent=False)
    assert made.box.declared(unknown) is unknown


@pytest.mark.parametrize("mode", [1, 3])
def test_a_person_is_told_and_may_approve_it(mode: int) -> None:
    made = clinic()

    async def turn() -> tuple[Answer, Answer]:
        workflow = MODES[mode](made.services(), watchers=())
        paused = await workflow.execute(QUESTION)
        return paused, await workflow.resume(paused.run_id, {paused.approvals[0].id: "approve"})

    paused, answer = run_virtual(turn())
    (approval,) = paused.approvals
    assert approval.tool_call.needs_consent and approval.call.needs_consent
    assert render.CONSENT in render.report(paused)
    out = io.StringIO()
    screen.call(Console(file=out, width=90, color_system=None), approval, number=1, of=1)
    assert render.CONSENT in out.getvalue() and render.FOREIGN not in out.getvalue()
    assert [tool_result.status for tool_result in answer.tool_results.results] == ["done"]
    assert made.asked == [("record", 7.0)]


async def test_a_person_at_a_graph_is_told_and_may_approve_it() -> None:
    made, config = clinic(), {"configurable": {"thread_id": "one"}}
    graph = MODES[1](made.services(), watchers=()).build_graph().compile(checkpointer=InMemorySaver())
    state: Any = await graph.ainvoke({"question": QUESTION}, config)  # type: ignore[call-overload]
    (call,) = state["__interrupt__"][0].value["calls"]
    assert (call["needs_consent"], call["tainted"], call["sources"]) == (True, False, ["question"])
    assert made.asked == []
    state = await graph.ainvoke(Command(resume={call["id"]: "approve"}), config)  # type: ignore[call-overload]
    assert state["answer"].status == "complete"
    assert made.asked == [("record", 7.0)]


def test_a_suggester_cannot_make_a_call_look_smaller_than_its_tool() -> None:
    made = Clinic()
    made.add("record", effect=Effect.EFFECT, consent=True, cost_usd="0.05")
    (own,) = run_virtual(made.box.suggest(QUESTION, Brief(EXPERT))).tool_calls
    services = made.services(tool_suggester=Foreign({"number": 7.0}))
    answer = run_virtual(MODES[2](services, watchers=()).execute(QUESTION))
    (decision,) = answer.consent.decisions
    told = decision.tool_call
    assert (told.effect, told.cost_usd, told.needs_consent) == (own.effect, own.cost_usd, own.needs_consent)
    assert not decision.approved
