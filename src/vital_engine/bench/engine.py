"""What the engine itself costs: CPU time, calls and loop iterations of a turn whose ten steps do nothing.

The shape is a turn's: brief, then three that gather, consent, invoke, reply, then three that review. Beside it stands
the same shape in plain ``asyncio.gather`` (no limits, no outcomes, no containment) and, when it is installed, in
LangGraph. Figures are of this process on this machine; only their proportions travel.

Printed by ``vital bench``.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from vital_engine.flow import Flow, step

Turn = Callable[[], Awaitable[object]]


class Made:
    __slots__ = ()


class Question(Made): ...


class Brief(Made): ...


class Evidence(Made): ...


class ToolSuggestions(Made): ...


class Memory(Made): ...


class Consent(Made): ...


class ToolResults(Made): ...


class Draft(Made): ...


class Citations(Made): ...


class Support(Made): ...


class Cost(Made): ...


async def brief(question: Question) -> Brief:
    return Brief()


async def retrieve(brief: Brief) -> Evidence:
    return Evidence()


async def suggest(brief: Brief) -> ToolSuggestions:
    return ToolSuggestions()


async def recall(brief: Brief) -> Memory:
    return Memory()


async def consent(evidence: Evidence, suggestions: ToolSuggestions, memory: Memory) -> Consent:
    return Consent()


async def invoke(consent: Consent) -> ToolResults:
    return ToolResults()


async def reply(tool_results: ToolResults) -> Draft:
    return Draft()


async def cite(draft: Draft) -> Citations:
    return Citations()


async def assess(draft: Draft) -> Support:
    return Support()


async def tally(draft: Draft) -> Cost:
    return Cost()


STEPS = (brief, retrieve, suggest, recall, consent, invoke, reply, cite, assess, tally)


def on_flow() -> Turn:
    flow = Flow("turn", *(step(work) for work in STEPS))
    question = Question()
    return lambda: flow.run(question, within=60.0)


def on_gather() -> Turn:
    """The least that any engine on asyncio could cost: nothing is limited, contained or measured."""

    async def turn() -> object:
        briefed = await brief(Question())
        gathered = await asyncio.gather(retrieve(briefed), suggest(briefed), recall(briefed))
        draft = await reply(await invoke(await consent(*gathered)))
        return await asyncio.gather(cite(draft), assess(draft), tally(draft))

    return turn


def on_langgraph() -> Turn | None:
    """None where LangGraph is not installed."""
    if importlib.util.find_spec("langgraph") is None:
        return None
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    names = [work.__name__ for work in STEPS]
    state = TypedDict("state", {f"{name}_made": object for name in names})  # type: ignore[misc]
    graph: Any = StateGraph(state)
    for name in names:

        async def node(_: Any, key: str = f"{name}_made") -> dict[str, object]:
            return {key: 1}

        graph.add_node(name, node)
    graph.add_edge(START, "brief")
    for gathered in ("retrieve", "suggest", "recall"):
        graph.add_edge("brief", gathered)
    graph.add_edge(["retrieve", "suggest", "recall"], "consent")
    graph.add_edge("consent", "invoke")
    graph.add_edge("invoke", "reply")
    for reviewed in ("cite", "assess", "tally"):
        graph.add_edge("reply", reviewed)
        graph.add_edge(reviewed, END)
    compiled = graph.compile()
    return lambda: compiled.ainvoke({})


def cpu_us(turn: Turn, turns: int, rounds: int = 5) -> float:
    """CPU microseconds of one turn: the best of *rounds*, since whatever else runs can only add to it."""

    async def many() -> float:
        for _ in range(turns // 10):
            await turn()
        best = float("inf")
        for _ in range(rounds):
            gc.collect()
            began = time.process_time()
            for _ in range(turns // rounds):
                await turn()
            best = min(best, (time.process_time() - began) / (turns // rounds))
        return best * 1e6

    return round(asyncio.run(many()), 1)


def calls(turn: Turn) -> int:
    """Function calls of one turn, Python and C, the loop's own among them."""
    count = 0

    def on_event(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    async def one() -> None:
        await turn()
        sys.setprofile(on_event)
        try:
            await turn()
        finally:
            sys.setprofile(None)

    asyncio.run(one())
    return count


def iterations(turn: Turn) -> int:
    """Passes of the event loop from the start of a turn to its end."""

    class Counting(asyncio.SelectorEventLoop):
        passes = 0

        def _run_once(self) -> None:
            self.passes += 1
            super()._run_once()  # type: ignore[misc]

    async def one() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Counting)
        await turn()
        before = loop.passes
        await turn()
        return loop.passes - before

    with asyncio.Runner(loop_factory=Counting) as runner:
        return runner.run(one())


def measure_engine(turns: int = 2000) -> dict[str, dict[str, float]]:
    """Engine -> ``cpu_us``, ``calls`` and ``iterations`` of a ten-step turn; only the installed ones."""
    engines = {"flow": on_flow(), "gather": on_gather(), "langgraph": on_langgraph()}
    return {
        name: {
            "cpu_us": cpu_us(turn, turns if name != "langgraph" else max(turns // 10, 10)),
            "calls": calls(turn),
            "iterations": iterations(turn),
        }
        for name, turn in engines.items()
        if turn is not None
    }
