"""Which step waits for which: the wires of a flow, worked out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, product
from typing import Any

from vital_engine.errors import FlowError

from .policy import Shape
from .step import Step


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow, worked out once: who waits for whom, by index of step. Runs only read it."""

    steps: tuple[Step[Any], ...]
    shape: Shape
    maker: Mapping[type, int]
    waits: tuple[int, ...]  # how many things each step waits for
    feeds: tuple[tuple[int, ...], ...]  # who needs the value that a step makes
    streams: tuple[tuple[int, ...], ...]  # who reads along while it makes it
    frees: tuple[tuple[int, ...], ...]  # whom a barrier holds until it has ended
    optional: frozenset[tuple[int, int]]  # (maker, step) whose wire may stay empty
    outside: tuple[tuple[type, int], ...]  # what no step makes, and who needs it
    bounded: bool  # whether the number of steps that run at once is limited


def plan(name: str, steps: tuple[Step[Any], ...], shape: Shape) -> Plan:
    """Join *steps* by type.

    :raises FlowError: two makers of one type or one name, a circle, or a stream that its maker does not offer.
    """
    maker = _makers(name, steps)
    waits = [0] * len(steps)
    feeds: list[list[int]] = [[] for _ in steps]
    streams: list[list[int]] = [[] for _ in steps]
    frees: list[list[int]] = [[] for _ in steps]
    optional: set[tuple[int, int]] = set()
    required: set[tuple[int, int]] = set()
    outside: list[tuple[type, int]] = []
    for i, s in enumerate(steps):
        for wires, side in ((s.needs, feeds), (s.inlets, streams)):
            for parameter, need in wires.items():
                if need not in maker:
                    if parameter not in s.optional:
                        outside.append((need, i))
                    continue
                if side is streams and steps[maker[need]].outlet is None:
                    raise FlowError(
                        f"{s.name!r} reads {need.__name__} as a stream, but {steps[maker[need]].name!r} does not stream "
                        f"it; give that one a parameter of Stream[{need.__name__}]"
                    )
                (optional if parameter in s.optional else required).add((maker[need], i))
                if i not in side[maker[need]]:
                    side[maker[need]].append(i)
                    waits[i] += 1
    for i, j in _barriers(steps, shape):
        frees[i].append(j)
        waits[j] += 1
    made = Plan(
        steps,
        shape,
        maker,
        tuple(waits),
        _fix(feeds),
        _fix(streams),
        _fix(frees),
        frozenset(optional - required),
        tuple(outside),
        shape.bounded,
    )
    try:
        order(made).prepare()
    except CycleError as error:
        circle = " -> ".join(steps[i].name for i in error.args[1])
        raise FlowError(f"{name!r} goes round in a circle: {circle}") from None
    return made


def order(plan: Plan) -> TopologicalSorter[int]:
    """The steps, by index, each after those that it waits for."""
    sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(range(len(plan.steps)), ()))
    for after in (plan.feeds, plan.streams, plan.frees):
        for i, followers in enumerate(after):
            for j in followers:
                sorter.add(j, i)
    return sorter


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


def _barriers(steps: tuple[Step[Any], ...], shape: Shape) -> Iterator[tuple[int, int]]:
    """Which step holds which until it has ended."""
    tiers = [t for t in dict.fromkeys(s.policy.tier for s in steps) if t] if shape.barriers else []
    # Every later tier and not only the next: one whose steps are all known ends before the tiers before it.
    for earlier, later in combinations(tiers, 2):
        for i, j in product(range(len(steps)), repeat=2):
            if steps[i].policy.tier == earlier and steps[j].policy.tier == later:
                yield i, j


def _fix(lists: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(one) for one in lists)
