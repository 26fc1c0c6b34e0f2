"""Constraints change when steps run, never what they make; and how long a run takes is arithmetic."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vital_engine.flow import DATAFLOW, SEQUENTIAL, TIERS, Run, Shape, Stream, run_virtual, speedup

from .graphs import SHAPES, TENTHS, TIMELESS, Graph, Node, build, nodes

thorough = settings(max_examples=150)


@st.composite
def timeless(draw: st.DrawFn) -> Graph:
    """Nothing in it depends on the clock: no limits, and every step ends by itself."""
    made = draw(nodes(TIMELESS, limits=False))
    known = draw(st.frozensets(st.sampled_from(range(len(made))), max_size=2))
    return Graph(made, _by_tier(made, draw(st.permutations(range(len(made))))), known=known)


def _by_tier(made: tuple[Node, ...], order: list[int]) -> tuple[int, ...]:
    return tuple(sorted(order, key=lambda i: made[i].tier))


def performed(graph: Graph) -> Run:
    built = build(graph)
    run: Run = run_virtual(built.flow.run(*built.given, within=graph.within))
    return run


def summary(run: Run) -> dict[str, Any]:
    return {
        name: (type(o).__name__, getattr(o, "reason", None), getattr(getattr(o, "value", None), "made", None))
        for name, o in run.steps.items()
    }


@thorough
@given(timeless(), SHAPES)
def test_every_shape_gives_the_same_values_and_kinds_of_outcome(graph: Graph, shape: Shape) -> None:
    expected = summary(performed(graph))
    for other in (SEQUENTIAL, TIERS, shape):
        assert summary(performed(replace(graph, shape=other))) == expected


@thorough
@given(timeless(), st.permutations(range(7)))
def test_the_order_in_which_steps_stand_changes_nothing_that_they_make(graph: Graph, shuffled: list[int]) -> None:
    order = tuple(i for i in shuffled if i < len(graph.nodes))
    assert summary(performed(replace(graph, order=order))) == summary(performed(graph))


@thorough
@given(timeless())
def test_alone_in_a_row_they_take_the_sum_of_their_times(graph: Graph) -> None:
    run = performed(replace(graph, shape=SEQUENTIAL))
    total = sum(o.seconds for o in run.outcomes.values())
    assert math.isclose(run.seconds, total, abs_tol=1e-6)
    assert run.overlap == speedup([total], run.seconds)
    assert run.overlap is None or math.isclose(run.overlap, 1.0, abs_tol=1e-5)


# -- how long a run takes, worked out by hand
@st.composite
def timed(draw: st.DrawFn) -> Graph:
    """Steps that end, break or hang under a limit; whatever breaks has a stand-in."""
    made = []
    for node in draw(nodes(("done", "raise", "hang"), limits=False)):
        within = draw(TENTHS) + 1.5 if node.act == "hang" else None
        made.append(replace(node, fallback_for=True, within=within))
    return Graph(tuple(made), _by_tier(tuple(made), list(range(len(made)))))


def longest_path(graph: Graph) -> float:
    """When the last step ends: each begins when the last thing that it waits for is there."""
    begins: list[float] = []
    ends: list[float] = []
    for node in graph.nodes:
        before = [ends[j] for j in node.needs] + [begins[j] for j in node.reads]
        if graph.shape.barriers:
            before += [ends[j] for j in range(len(ends)) if graph.nodes[j].tier < node.tier]
        begin = max(before, default=0.0)
        heard = max([begin, *(ends[j] for j in node.reads)])  # it reads to the end, and works on from there
        begins.append(begin)
        ends.append(heard + (node.within if node.within is not None else node.seconds))
    return max(ends)


def in_tier_order(graph: Graph) -> Graph:
    """The same graph, numbered so that an earlier tier has the smaller numbers."""
    order = sorted(range(len(graph.nodes)), key=lambda i: (graph.nodes[i].tier, i))
    number = {old: new for new, old in enumerate(order)}
    made = tuple(
        replace(
            graph.nodes[old],
            needs=tuple(sorted(number[j] for j in graph.nodes[old].needs)),
            reads=tuple(sorted(number[j] for j in graph.nodes[old].reads)),
            optional=frozenset(number[j] for j in graph.nodes[old].optional),
        )
        for old in order
    )
    return replace(graph, nodes=made, order=tuple(range(len(made))))


@thorough
@given(timed(), st.sampled_from([DATAFLOW, TIERS]))
def test_the_time_of_a_run_is_its_longest_path(graph: Graph, shape: Shape) -> None:
    graph = replace(in_tier_order(graph), shape=shape)
    assert math.isclose(performed(graph).seconds, longest_path(graph), abs_tol=1e-6)


@thorough
@given(st.lists(TENTHS, min_size=1, max_size=8), st.integers(1, 4))
def test_width_is_list_scheduling(seconds: list[float], width: int) -> None:
    graph = Graph(tuple(Node(seconds=s) for s in seconds), tuple(range(len(seconds))), Shape(width=width))
    seats = [0.0] * width
    for s in seconds:
        seats.sort()
        seats[0] += s
    assert math.isclose(performed(graph).seconds, max(seats), abs_tol=1e-6)


# -- streams
@thorough
@given(st.lists(st.integers(0, 9), max_size=30), st.lists(TENTHS, max_size=30), st.integers(1, 5), st.integers(0, 5))
def test_a_fold_over_the_stream_is_the_fold_over_the_whole(
    items: list[int], pauses: list[float], readers: int, late: int
) -> None:

    async def main() -> None:
        live: Stream[int] = Stream()
        heard: list[list[int]] = [[] for _ in range(readers * 2)]

        async def by_item(out: list[int], after: float) -> None:
            await asyncio.sleep(after)
            out += [item async for item in live.reader()]

        async def by_batch(out: list[int], after: float) -> None:
            await asyncio.sleep(after)
            async for batch in live.batches():
                assert batch
                out += batch
                await asyncio.sleep(after)

        async with asyncio.TaskGroup() as group:
            for i in range(readers):
                group.create_task(by_item(heard[2 * i], i * late))
                group.create_task(by_batch(heard[2 * i + 1], i * late))
            for item, pause in zip(items, [*pauses, *[0.0] * 30], strict=False):
                if pause:
                    await asyncio.sleep(pause)
                live.push(item)
            live.close(sum(items))
        assert all(out == items for out in heard) and await live.result() == sum(items)

    run_virtual(main())
