"""A flow: steps joined by type. What one makes, another needs; the type is the wire between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from typing import Any

from vital_engine.errors import FlowError

from .events import Observer
from .live import Stream
from .policy import DATAFLOW, SEQUENTIAL, Shape
from .result import Run
from .run import Execution
from .step import Step


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow, worked out once: who waits for whom, by index of step. Runs only read it."""

    steps: tuple[Step[Any], ...]
    shape: Shape
    maker: dict[type, int]
    waits: tuple[int, ...]  # how many things each step waits for
    feeds: tuple[tuple[int, ...], ...]  # who needs the value that a step makes
    streams: tuple[tuple[int, ...], ...]  # who reads along while it makes it
    frees: tuple[tuple[int, ...], ...]  # whom a barrier holds until it has ended
    outside: tuple[tuple[type, int], ...]  # what no step makes, and who needs it


class Flow:
    """Steps that run together.

    :param name: for events and drawings.
    :param parts: steps, or flows whose steps are taken over.
    :param given: the types that runs will be given; if said, a need that nobody meets is refused here already.
    :raises FlowError: two makers of one type or one name, a circle, or an unmet need.
    """

    def __init__(
        self,
        name: str,
        *parts: Step[Any] | Flow,
        shape: Shape = DATAFLOW,
        given: Iterable[type] | None = None,
    ) -> None:
        self.name = name
        self.steps: tuple[Step[Any], ...] = tuple(
            s for part in parts for s in (part.steps if isinstance(part, Flow) else (part,))
        )
        self.shape = shape
        self.plan = _plan(name, self.steps, shape)
        if given is not None:
            self._check_met(frozenset(given))

    def under(self, shape: Shape) -> Flow:
        """The same steps under other constraints."""
        return Flow(self.name, *self.steps, shape=shape)

    def sequential(self) -> Flow:
        """The same steps, one after another, in the order in which they stand."""
        return self.under(SEQUENTIAL)

    async def run(self, *given: object, within: float | None = None, observers: Sequence[Observer] = ()) -> Run:
        """Run every step once, except those whose product is *given*.

        A ``Stream`` that has ended stands for the stream and for the value that it ended in.

        :param within: seconds for the whole run; what has not ended then is cancelled. 0 or less: nothing is started.
        :raises FlowError: something is needed that nothing makes, given twice, or given before it has ended.
        """
        if within is not None and math.isnan(within):
            raise FlowError(f"{self.name!r} was given a limit that is not a number")
        have: dict[type, object] = {}
        streams: dict[type, Stream[Any]] = {}
        for thing in given:
            value: object = thing
            if isinstance(thing, Stream):
                value = thing.value
                if value is None:
                    raise FlowError(f"{self.name!r} was given a stream that has not ended in a value")
                streams[type(value)] = thing
            if value is None:
                raise FlowError(f"{self.name!r} was given None; what is not known must not be given")
            if type(value) in have:
                raise FlowError(f"{self.name!r} was given two of {type(value).__name__}")
            have[type(value)] = value
        for need, i in self.plan.outside:
            if need not in have and self.steps[i].makes not in have:  # what is known is not made, and needs nothing
                raise FlowError(f"{self.steps[i].name!r} needs a {need.__name__}, which nothing makes and nobody gave")
        return await Execution(self.name, self.plan, have, streams, within, observers).run()

    @property
    def levels(self) -> list[list[str]]:
        """The steps in waves, as they would start if all were equally long."""
        order = _order(self.plan)
        order.prepare()
        waves = []
        while order.is_active():
            ready = sorted(order.get_ready())
            waves.append([self.steps[i].name for i in ready])
            order.done(*ready)
        return waves

    def draw(self, form: str = "text") -> str:
        """The flow as a picture: ``text`` (a line per wave) or ``mermaid`` (a dotted line is a stream)."""
        names = [s.name for s in self.steps]
        if form == "mermaid":
            lines = ["flowchart LR"]
            lines += [f'    {s.name}["{s.name}: {s.makes.__name__}"]' for s in self.steps]
            for i, name in enumerate(names):
                lines += [f"    {name} --> {names[j]}" for j in self.plan.feeds[i]]
                lines += [f"    {name} -.-> {names[j]}" for j in self.plan.streams[i]]
            return "\n".join(lines)
        if form != "text":
            raise FlowError(f"a flow can be drawn as 'text' or 'mermaid', not as {form!r}")
        made = {s.name: s for s in self.steps}
        lines = []
        for wave in self.levels:
            for name in wave:
                s = made[name]
                wires = [t.__name__ for t in s.needs.values()] + [f"~{t.__name__}" for t in s.inlets.values()]
                lines.append(f"{'' if name == wave[0] else '| '}{name}({', '.join(wires)}) -> {s.makes.__name__}")
            lines.append("  v")
        return "\n".join(lines[:-1])

    def _check_met(self, given: frozenset[type]) -> None:
        for need, i in self.plan.outside:
            if need not in given:
                raise FlowError(f"{self.steps[i].name!r} needs a {need.__name__}, which nothing makes")

    def __repr__(self) -> str:
        return f"Flow({self.name!r}: {' -> '.join(' | '.join(wave) for wave in self.levels)})"


def _plan(name: str, steps: tuple[Step[Any], ...], shape: Shape) -> Plan:
    maker = _makers(name, steps)
    waits = [0] * len(steps)
    feeds: list[list[int]] = [[] for _ in steps]
    streams: list[list[int]] = [[] for _ in steps]
    frees: list[list[int]] = [[] for _ in steps]
    outside: list[tuple[type, int]] = []
    for i, s in enumerate(steps):
        for wires, side in (((*s.needs.values(), *s.awaits), feeds), (s.inlets.values(), streams)):
            for need in wires:
                if need not in maker:
                    outside.append((need, i))
                    continue
                if side is streams and steps[maker[need]].outlet is None:
                    raise FlowError(
                        f"{s.name!r} reads {need.__name__} as a stream, but {steps[maker[need]].name!r} does not stream "
                        f"it; give that one a parameter of Live[{need.__name__}]"
                    )
                if i not in side[maker[need]]:
                    side[maker[need]].append(i)
                    waits[i] += 1
    tiers = [t for t in dict.fromkeys(s.policy.tier for s in steps) if t] if shape.barriers else []
    # Every later tier and not only the next: one whose steps are all known ends before the tiers before it.
    for earlier, later in combinations(tiers, 2):
        held = [j for j, s in enumerate(steps) if s.policy.tier == later]
        for i, s in enumerate(steps):
            if s.policy.tier == earlier:
                frees[i] += held
                for j in held:
                    waits[j] += 1
    plan = Plan(steps, shape, maker, tuple(waits), _fix(feeds), _fix(streams), _fix(frees), tuple(outside))
    try:
        _order(plan).prepare()
    except CycleError as error:
        circle = " -> ".join(steps[i].name for i in error.args[1])
        raise FlowError(f"{name!r} goes round in a circle: {circle}") from None
    return plan


def _makers(name: str, steps: tuple[Step[Any], ...]) -> dict[type, int]:
    maker: dict[type, int] = {}
    named: set[str] = set()
    for i, s in enumerate(steps):
        if s.makes in maker:
            raise FlowError(f"{steps[maker[s.makes]].name!r} and {s.name!r} both make {s.makes.__name__}")
        if s.name in named:
            raise FlowError(f"two steps of {name!r} are named {s.name!r}")
        maker[s.makes] = i
        named.add(s.name)
    return maker


def _fix(lists: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(one) for one in lists)


def _order(plan: Plan) -> TopologicalSorter[int]:
    order: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(range(len(plan.steps)), ()))
    for after in (plan.feeds, plan.streams, plan.frees):
        for i, followers in enumerate(after):
            for j in followers:
                order.add(j, i)
    return order
