"""Random flows for the property tests: any shape, any behaviour, types made on the spot.

A :class:`Node` says what a step does; :func:`build` makes real steps of it. What a step makes is a value that names
everything that went into it, so that two runs agree exactly when they computed the same thing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from vital_engine.flow import DATAFLOW, SEQUENTIAL, TIERS, Event, Flow, Policy, Shape, Step, Stream, VirtualLoop, step

#: What needs no clock to tell how it ends.
TIMELESS = ("done", "raise", "wrong", "cancelled", "base")
ACTS = (*TIMELESS, "hang", "deaf", "late", "block", "slow_unwind", "error_unwind", "exit_generator")


class Base(BaseException):
    """Not an ``Exception``: what a careless ``except`` lets through."""


@dataclass(frozen=True)
class Node:
    """``needs``, ``reads``: indices of other nodes, all smaller; ``optional``: those of them that it can do without.

    Times in seconds.
    """

    act: str = "done"
    seconds: float = 0.0
    needs: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    optional: frozenset[int] = frozenset()
    items: int | None = None  # None: it does not stream
    within: float | None = None
    grace: float = 0.05
    tier: int = 0
    fallback_for: bool = False
    recovery: bool = False


@dataclass(frozen=True)
class Graph:
    nodes: tuple[Node, ...]
    order: tuple[int, ...]  # in which the steps stand
    shape: Shape = DATAFLOW
    known: frozenset[int] = frozenset()
    within: float | None = None
    cancels: tuple[tuple[float, int], ...] = ()  # when, and after how many more passes of the loop


@dataclass
class Built:
    flow: Flow
    types: list[type]
    given: list[object]
    made: list[int] = field(default_factory=list)  # who began to work
    early: list[int] = field(default_factory=list)  # who got something that was not there yet


def value_of(kind: type, made: object) -> Any:
    value = kind()
    value.made = made
    return value


def build(graph: Graph) -> Built:
    types = [type(f"T{i}", (), {}) for i in range(len(graph.nodes))]
    given = [value_of(types[i], ("known", i)) for i in sorted(graph.known)]
    built = Built(Flow("empty"), types, given)
    steps = [_step(graph.nodes[i], i, types, built) for i in graph.order]
    built.flow = Flow("random", *steps, shape=graph.shape)
    return built


def _step(node: Node, i: int, types: Sequence[type], built: Built) -> Step[Any]:
    makes = types[i]

    async def work(**inputs: Any) -> Any:
        built.made.append(i)
        needs = [j for j in node.needs if j not in node.optional or f"need{j}" in inputs]
        reads = [j for j in node.reads if j not in node.optional or f"read{j}" in inputs]
        for j in needs:
            if type(inputs[f"need{j}"]) is not types[j]:
                built.early.append(i)
        seen: list[tuple[Any, ...]] = [("need", inputs[f"need{j}"].made) for j in needs]
        for j in reads:
            seen += [("read", j, item) async for item in inputs[f"read{j}"]]
        pieces = 0 if node.items is None else node.items
        for k in range(pieces):
            await _pass(node.seconds / (pieces + 1))
            inputs["out"].push((i, k))
        await _pass(node.seconds / (pieces + 1))
        return await _act(node, lambda: value_of(makes, ("made", i, tuple(seen))))

    annotations: dict[str, Any] = {f"need{j}": types[j] for j in node.needs}
    annotations |= {f"read{j}": Stream[types[j]] for j in node.reads}  # type: ignore[valid-type]
    if node.items is not None:
        annotations["out"] = Stream[makes]  # type: ignore[valid-type]
    work.__annotations__ = {**annotations, "return": makes}
    without = {f"{side}{j}": None for side in ("need", "read") for j in node.optional}
    work.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=without.get(name, inspect.Parameter.empty))
            for name in annotations
        ]
    )
    made = step(work).named(f"s{i}").under(Policy(within=node.within, grace=node.grace, tier=f"tier{node.tier}"))
    if node.fallback_for:
        made = made.fallback(value_of(makes, ("stand-in", i)))
    if node.recovery and node.items is not None:
        made = made.recover(lambda items, _: value_of(makes, ("salvaged", i, tuple(items))))
    return made


async def _pass(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _act(node: Node, make: Callable[[], Any]) -> Any:
    match node.act:
        case "raise":
            raise ValueError("on purpose")
        case "base":
            raise Base("on purpose")
        case "exit_generator":
            raise GeneratorExit
        case "cancelled":
            raise asyncio.CancelledError
        case "wrong":
            return "something else"
        case "hang":
            await asyncio.Event().wait()
        case "deaf":
            while True:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    continue
        case "late":  # swallows its cancellation, and then has something after all
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
        case "slow_unwind":
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(node.grace * 1.5)
        case "error_unwind":
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("while it unwound")
        case "block":  # holds the loop: time passes, and nothing else does
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.advance(0.35)
    return make()


def stretch(graph: Graph) -> float:
    """Seconds by which steps that hold the loop can make everything late."""
    return sum(0.35 for node in graph.nodes if node.act == "block")


@dataclass
class Watcher:
    """An observer that only remembers."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


# -- strategies
TENTHS = st.integers(0, 10).map(lambda n: n / 10)
SOME_TIME = st.integers(1, 12).map(lambda n: n / 10)


@st.composite
def nodes(draw: st.DrawFn, acts: Sequence[str], *, limits: bool = True, recovery: bool = True) -> tuple[Node, ...]:
    made: list[Node] = []
    for i in range(draw(st.integers(1, 7))):
        others = st.integers(0, i - 1) if i else st.nothing()
        needs = tuple(sorted(draw(st.sets(others, max_size=3)))) if i else ()
        streaming = [j for j in range(i) if made[j].items is not None]
        reads = tuple(sorted(draw(st.sets(st.sampled_from(streaming), max_size=2)))) if streaming else ()
        optional = draw(st.frozensets(st.sampled_from([*needs, *reads]))) if needs or reads else frozenset[int]()
        least = max((made[j].tier for j in (*needs, *reads)), default=0)
        made.append(
            Node(
                act=draw(st.sampled_from(acts)),
                seconds=draw(TENTHS),
                needs=needs,
                reads=reads,
                optional=optional,
                items=draw(st.none() | st.integers(0, 3)),
                within=draw(st.none() | SOME_TIME) if limits else None,
                grace=draw(st.sampled_from([0.0, 0.05, 0.2])),
                tier=draw(st.integers(least, least + 1)),
                fallback_for=draw(st.booleans()),
                recovery=recovery and not reads and draw(st.booleans()),
            )
        )
    return tuple(made)


SHAPES = st.one_of(
    st.sampled_from([DATAFLOW, SEQUENTIAL, TIERS]),
    st.builds(
        Shape,
        width=st.integers(1, 4),
        lanes=st.dictionaries(st.sampled_from(["tier0", "tier1", "tier2"]), st.integers(1, 2)),
        barriers=st.booleans(),
    ),
    st.builds(Shape, lanes=st.dictionaries(st.sampled_from(["tier0", "tier1"]), st.integers(1, 2), min_size=1)),
)


@st.composite
def graphs(draw: st.DrawFn, acts: Sequence[str] = ACTS) -> Graph:
    """Anything at all. It ends: there is a deadline, or nothing in it needs one."""
    made = draw(nodes(acts))
    ends = all(node.act in TIMELESS or node.act == "block" for node in made)
    indices = range(len(made))
    # Standing order decides who is seated first, and the order of the tiers; the tiers must still allow for it.
    order = draw(st.permutations(indices))
    order = sorted(order, key=lambda i: made[i].tier)
    return Graph(
        made,
        tuple(order),
        draw(SHAPES),
        draw(st.frozensets(st.sampled_from(indices), max_size=2)),
        draw(st.none() | SOME_TIME) if ends else draw(st.integers(0, 25)) / 10,
        tuple(draw(st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 10), st.integers(0, 10)), max_size=2))),
    )
