"""Checkpoints that an earlier version's graphs wrote: each thread is gone on with, from wherever it rests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from seed_profile import SEED
from vital_engine.engine import MODES
from vital_engine.errors import ModelUnavailable
from vital_engine.testing import run_virtual, scripted
from written_before import CONFIG, Shop, broken, engine, said, saver_with, threads

THREADS = threads()
SCRIPTED = [name for name, thread in THREADS.items() if "rest" not in thread]
STORED = [name for name, thread in THREADS.items() if "rest" in thread]
NODES = ("brief", "parallel_retrieval", "consent", "invoke", "reply", "parallel_post_generation", "save")
PAUSED = ("paused", "refused", "elsewhere")
# Which ports a node asks.
PORTS = {
    "brief": {"register", "brief"},
    "parallel_retrieval": {"retrieve", "suggest", "recall"},
    "invoke": {"invoke"},
    "reply": {"reply"},
    "parallel_post_generation": {"cite", "assess", "tally"},
    "save": {"save"},
}


def script(thread: dict[str, Any]) -> dict[str, Any]:
    if thread["script"] == "degraded":
        return broken()
    if thread["script"] == "model-failed":
        return {**SEED, "reply": (0.5, ModelUnavailable("no route", service="model"))}
    return SEED


def test_there_is_a_thread_of_each_mode_at_each_place_of_rest() -> None:
    assert {THREADS[name]["mode"] for name in SCRIPTED} == {2, 4}
    assert {len(THREADS[name]["checkpoints"]) for name in SCRIPTED} == {2 + len(NODES)}
    assert {(THREADS[name]["mode"], THREADS[name]["rest"]) for name in STORED} == {
        (mode, rest) for mode in (1, 3) for rest in (*NODES, *PAUSED)
    }


@pytest.mark.parametrize("crashed", [False, True], ids=["at rest", "written, then crashed"])
@pytest.mark.parametrize("done", range(len(NODES) + 1), ids=["begun", *NODES])
@pytest.mark.parametrize("name", SCRIPTED)
def test_a_thread_goes_on_after_each_node_and_gives_the_same_answer(name: str, done: int, crashed: bool) -> None:
    """In virtual time. *crashed*: what the next node wrote was kept, and the checkpoint behind it was not."""
    thread = THREADS[name]
    services = scripted(**script(thread))
    saver = saver_with(thread, 2 + done, last_writes=crashed)
    graph = MODES[thread["mode"]](services).build_graph().compile(checkpointer=saver)
    answer = run_virtual(graph.ainvoke(None, CONFIG))["answer"] if done < len(NODES) else None
    if answer is None:
        answer = run_virtual(graph.aget_state(CONFIG)).values["answer"]
    assert said(answer.receipt()) == thread["said"]
    assert answer.timing.total == thread["seconds"]
    passed = NODES[: done + crashed]
    assert not {call.port for call in services.calls} & {port for node in passed for port in PORTS.get(node, ())}


@pytest.mark.parametrize("name", SCRIPTED)
def test_the_same_question_takes_the_same_way_and_time_as_then(name: str) -> None:
    thread = THREADS[name]
    graph = MODES[thread["mode"]](scripted(**script(thread))).build_graph().compile()
    answer = run_virtual(graph.ainvoke({"question": thread["question"]}))["answer"]
    assert said(answer.receipt()) == thread["said"]
    assert answer.timing.total == thread["seconds"]


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_threads_past_is_read_as_nouns(name: str) -> None:
    thread = THREADS[name]
    graph = MODES[thread["mode"]](scripted()).build_graph().compile(checkpointer=saver_with(thread))

    async def past() -> list[Any]:
        return [state async for state in graph.aget_state_history(CONFIG)]

    states = run_virtual(past())
    assert [state.next for state in states] == [(), *((node,) for node in reversed(NODES)), ("__start__",)]
    assert states[0].values["answer"].text == thread["said"]["text"]
    assert states[0].values["question"].text == states[-3].values["question"].text == thread["question"]["text"]


@pytest.mark.parametrize("name", [name for name in STORED if THREADS[name]["rest"] not in PAUSED[1:]])
async def test_a_thread_with_a_person_in_it_goes_on_with_what_was_decided(home: Path, shop: Shop, name: str) -> None:
    thread = THREADS[name]
    async with engine(home, shop) as app:
        graph = app.workflow(thread["mode"]).build_graph().compile(checkpointer=saver_with(thread))
        state = await graph.ainvoke(None, CONFIG)
        if thread["rest"] in ("brief", "parallel_retrieval", "paused"):
            assert shop.calls == []
            (pause,) = state["__interrupt__"]
            shown = pause.value["calls"]
            assert [(call["tool"], call["arguments"]) for call in shown] == [("order", {"kits": 3})]
            assert thread["calls"] in ([], [call["id"] for call in shown])
            state = await graph.ainvoke(Command(resume={call["id"]: "approve" for call in shown}), CONFIG)
        if thread["rest"] == "save":
            state = (await graph.aget_state(CONFIG)).values
        answer = state["answer"]
    assert said(answer.receipt()) == thread["said"]
    called = thread["rest"] in ("brief", "parallel_retrieval", "paused", "consent")
    assert shop.calls == ([("order", 3)] if called else [])


@pytest.mark.parametrize("mode", [1, 3])
async def test_a_paused_thread_takes_a_refusal(home: Path, shop: Shop, mode: int) -> None:
    thread = THREADS[f"mode{mode}-refused"]
    async with engine(home, shop) as app:
        graph = app.workflow(mode).build_graph().compile(checkpointer=saver_with(thread))
        decision = dict.fromkeys(thread["calls"], ("reject", "not now"))
        answer = (await graph.ainvoke(Command(resume=decision), CONFIG))["answer"]
    assert (answer.status, shop.calls) == ("complete", [])
    assert [each["approved"] for each in said(answer.receipt())["decisions"]] == [False]


@pytest.mark.parametrize("mode", [1, 3])
async def test_a_paused_thread_and_its_turn_are_one(home: Path, shop: Shop, mode: int) -> None:
    """What a graph paused can be decided through the workflow as well."""
    thread = THREADS[f"mode{mode}-elsewhere"]
    async with engine(home, shop) as app:
        answer = await app.workflow(mode).resume(
            thread["question"]["run_id"], dict.fromkeys(thread["calls"], "approve")
        )
    assert (answer.status, shop.calls) == ("complete", [("order", 3)])
