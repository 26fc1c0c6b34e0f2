"""What holds for every run, whatever its steps do: the promises of the executor over random flows."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings

from vital_engine.flow import (
    Degraded,
    Done,
    Failed,
    FlowEnded,
    FlowStarted,
    LateResult,
    Run,
    Skipped,
    StepEnded,
    StepStarted,
    StreamOpened,
    abandoned,
    run_virtual,
)

from .graphs import ACTS, Built, Graph, Watcher, build, graphs, stretch

thorough = settings(max_examples=150)


def perform(graph: Graph) -> tuple[Built, Watcher, Run | None, float]:
    """Run it as a caller would who may be cancelled; None: it was. Checks what must hold at the very end."""
    built, watcher = build(graph), Watcher()

    async def caller() -> tuple[Run | None, float]:
        loop = asyncio.get_running_loop()
        task = loop.create_task(built.flow.run(*built.given, within=graph.within, observers=[watcher]))
        for at, passes in sorted(graph.cancels):
            loop.call_at(at, _after, passes, task.cancel)
        await asyncio.wait({task})
        ended = loop.time()
        assert asyncio.all_tasks() - abandoned == {asyncio.current_task()}
        assert not [t for t in _timers(loop) if "Execution" in getattr(t._callback, "__qualname__", "")]
        return (None if task.cancelled() else task.result()), ended

    before = len(abandoned)
    run, ended = run_virtual(caller())
    assert len(abandoned) == before  # a loop that has ended leaves none behind
    return built, watcher, run, ended


def _after(passes: int, act: Any) -> None:
    if passes:
        asyncio.get_running_loop().call_soon(_after, passes - 1, act)
    else:
        act()


def _timers(loop: Any) -> list[Any]:
    return [handle for handle in loop._scheduled if not handle.cancelled()]


@thorough
@given(graphs())
def test_every_step_ends_in_exactly_one_outcome_and_nothing_is_left(graph: Graph) -> None:
    built, watcher, run, _ = perform(graph)
    ends = Counter(event.step for event in watcher.of(StepEnded))
    assert ends == {f"s{i}": 1 for i in range(len(graph.nodes))}
    (last,) = watcher.of(FlowEnded)
    assert last.cancelled == (run is None)
    assert run is None or run.steps == {e.step: e.outcome for e in watcher.of(StepEnded)}
    assert not built.early


@thorough
@given(graphs())
def test_events_are_balanced_and_in_order(graph: Graph) -> None:
    _, watcher, _, _ = perform(graph)
    events = [event for event in watcher.events if type(event) is not LateResult]
    assert type(events[0]) is FlowStarted and type(events[-1]) is FlowEnded
    assert all(a.at <= b.at for a, b in pairwise(events))
    started, ended = set(), set()
    for event in events:
        match event:
            case StepStarted(step=name):
                assert name not in started and name not in ended
                started.add(name)
            case StreamOpened(step=name):
                assert name in started and name not in ended
            case StepEnded(step=name):
                ended.add(name)
    assert started <= ended
    assert {event.step for event in watcher.of(LateResult)} <= started


@thorough
@given(graphs())
def test_limits_and_the_deadline_hold_against_everything(graph: Graph) -> None:
    _, watcher, run, ended = perform(graph)
    grace = max(node.grace for node in graph.nodes)
    late = stretch(graph) + 1e-6
    if graph.within is not None:
        assert ended <= graph.within + grace + late
    if run is None:
        assert ended <= min(at for at, _ in graph.cancels) + grace + late
    (first,), (last,) = watcher.of(FlowStarted), watcher.of(FlowEnded)
    outcomes = {event.step: event.outcome for event in watcher.of(StepEnded)}
    for i, node in enumerate(graph.nodes):
        outcome = outcomes[f"s{i}"]
        assert 0 <= outcome.began <= outcome.ended <= round(last.at - first.at, 9)
        assert 0 <= outcome.seconds <= outcome.ended - outcome.began + 1e-9
        if node.within is not None and not node.reads:
            assert outcome.seconds <= node.within + node.grace + late
        if isinstance(outcome, Done) and node.within is not None:
            assert outcome.seconds <= node.within + node.grace + 1e-9


@thorough
@given(graphs())
def test_what_is_known_is_not_made_again(graph: Graph) -> None:
    built, _, run, _ = perform(graph)
    assert not graph.known & set(built.made)
    assert len(built.made) == len(set(built.made))
    for i in graph.known if run is not None else ():
        assert run is not None
        assert isinstance(run.outcomes[built.types[i]], Skipped) and run[built.types[i]].made == ("known", i)


@thorough
@given(graphs())
def test_no_more_steps_run_than_there_are_seats(graph: Graph) -> None:
    _, watcher, _, _ = perform(graph)
    running: Counter[str] = Counter()
    started = set()
    for event in watcher.events:
        if isinstance(event, StepStarted):
            running[event.tier] += 1
            started.add(event.step)
        elif isinstance(event, StepEnded) and event.step in started:
            running[event.tier] -= 1
        assert sum(running.values()) <= graph.shape.width
        assert all(running[lane] <= seats for lane, seats in graph.shape.lanes.items())


@thorough
@given(graphs())
def test_a_step_starts_only_when_what_it_needs_is_there(graph: Graph) -> None:
    _, watcher, _, _ = perform(graph)
    ended: set[int] = set()
    started: set[int] = set()
    for event in watcher.events:
        if isinstance(event, StepEnded):
            ended.add(int(event.step[1:]))
        elif isinstance(event, StepStarted):
            i = int(event.step[1:])
            started.add(i)
            node = graph.nodes[i]
            assert ended >= set(node.needs)
            assert ended | started >= set(node.reads)
            if graph.shape.barriers:
                assert ended >= {j for j, other in enumerate(graph.nodes) if other.tier < node.tier}


@thorough
@given(graphs())
def test_reasons_and_values_say_what_happened(graph: Graph) -> None:
    built, _, run, _ = perform(graph)
    if run is None:
        return
    for i, node in enumerate(graph.nodes):
        outcome = run.steps[f"s{i}"]
        match outcome:
            case Done():
                assert node.act in {"done", "block"} and outcome.value.made[:2] == ("made", i)
            case Skipped(known=True):
                assert i in graph.known
            case Skipped():
                assert run.degraded[f"s{i}"] == "skipped" and not node.fallback_for
            case Degraded():
                assert outcome.value.made[0] in {"stand-in", "salvaged"}
                assert run[built.types[i]] is outcome.value
            case Failed():
                assert not node.fallback_for
        if isinstance(outcome, Degraded | Failed):
            told = {"raise": "error", "base": "error", "wrong": "wrong_type", "cancelled": "cancelled"}
            allowed = {"timeout", "skipped", told.get(node.act, "abandoned")}
            if node.act == "exit_generator":
                allowed.add("error")
            assert outcome.reason in allowed


@thorough
@given(graphs())
def test_the_critical_path_is_a_chain_that_ends_at_the_end(graph: Graph) -> None:
    _, _, run, _ = perform(graph)
    if run is None:
        return
    path = [int(name[1:]) for name in run.critical_path]
    ran = [o for o in run.steps.values() if not isinstance(o, Skipped)]
    assert bool(path) == bool(ran)
    assert len(path) == len(set(path))
    if path:
        assert run.steps[f"s{path[-1]}"].ended == max(o.ended for o in ran)
    if not graph.shape.bounded and not graph.shape.barriers:
        assert all(a in (*graph.nodes[b].needs, *graph.nodes[b].reads) for a, b in pairwise(path))


@settings(max_examples=50)
@given(graphs(ACTS))
def test_the_same_run_twice_is_the_same(graph: Graph) -> None:
    def told(watcher: Watcher) -> list[tuple[str, str, float]]:
        events = [(type(event).__name__, getattr(event, "step", ""), event.at) for event in watcher.events]
        over = next(i for i, (name, _, _) in enumerate(events) if name == "FlowEnded") + 1
        # What was left behind is cancelled by the loop as it closes, in the order of a set of tasks.
        return [*events[:over], *sorted(events[over:])]

    assert told(perform(graph)[1]) == told(perform(graph)[1])
