"""What the engine itself costs, and whether that is what it was to cost: CPU, calls and passes of the event loop of a turn,
CPU of a token, a thousand turns at once. Of this machine, and of whatever else runs on it; see :mod:`.turns`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .engine import calls, iterations, measure_engine
from .goals import Verdict
from .turns import FEW, WAYS, at_once, flow_at_once, kilobytes_in_flight, per_token, plain_at_once, workflow_at_once

AT_ONCE = 1000
ROUNDS = 3
IN_FLIGHT = 300
"""Turns at once whose memory is counted: enough to be divided by, few enough that all wait for the model together."""

Cost: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]
"""``ten steps``, ``whole turn``, ``at once`` -> who -> figure -> value."""


@dataclass(frozen=True, slots=True)
class CostGoal:
    """``figure`` (see :data:`Cost`) is to be at most ``limit``, or (``least``) at least; ``than``: times that figure."""

    says: str
    figure: tuple[str, str, str]
    limit: float
    least: bool = False
    than: tuple[str, str, str] | None = None


_TURN, _MANY = ("ten steps", "flow"), ("at once", "flow of ten steps")
GOALS = (
    CostGoal("CPU of a turn of ten steps, µs", (*_TURN, "cpu_us"), 200.0),
    CostGoal("its CPU, µs, against a fifth of LangGraph's", (*_TURN, "cpu_us"), 0.2, than=("ten steps", "langgraph", "cpu_us")),
    CostGoal("its function calls", (*_TURN, "calls"), 1500.0),
    CostGoal("its passes of the event loop", (*_TURN, "iterations"), 12.0),
    CostGoal("CPU of a token of a whole turn, less the model's own, µs", ("whole turn", "turn", "token_us"), 10.0),
    CostGoal(f"{AT_ONCE:,} turns at once, turns per second", (*_MANY, "turns_per_s"), 2000.0, least=True),
    CostGoal(f"{AT_ONCE:,} turns at once, p99 in ms", (*_MANY, "p99_ms"), 450.0),
    CostGoal(f"{AT_ONCE:,} turns at once, KB in flight each", (*_MANY, "kb"), 25.0),
)  # fmt: skip


def measure_cost(turns: int = 2000, many: int = AT_ONCE, rounds: int = ROUNDS) -> Cost:
    """*turns*: of each kind that are timed. *many*: begun at once, of which the best of *rounds* counts."""
    return {
        "ten steps": measure_engine(turns),
        "whole turn": dict(_whole(max(20, turns // 10))),
        "at once": dict(_at_once(many, rounds)),
    }


def judge_cost(cost: Cost) -> Iterator[Verdict]:
    """The verdict on each goal whose figures are there."""
    for goal in GOALS:
        value, other = _figure(cost, goal.figure), _figure(cost, goal.than)
        if value is None or (goal.than is not None and other is None):
            continue
        limit = goal.limit * (1.0 if other is None else other)
        met = value >= limit if goal.least else value <= limit
        yield Verdict(goal.says, value, limit, met, (value - limit if goal.least else limit - value) / limit)


def _figure(cost: Cost, figure: tuple[str, str, str] | None) -> float | None:
    if figure is None:
        return None
    part, who, what = figure
    return cost.get(part, {}).get(who, {}).get(what)


def _whole(turns: int) -> Iterator[tuple[str, dict[str, float]]]:
    alone = 0.0
    for name, way in WAYS.items():
        turn_us, token_us = per_token(way, turns)
        alone = alone or token_us
        yield (
            name,
            {
                "cpu_us": round(turn_us, 1),
                "calls": calls(way(FEW)),
                "iterations": iterations(way(FEW)),
                "token_us": round(token_us - (0.0 if way is WAYS["model alone"] else alone), 2),
            },
        )


def _at_once(many: int, rounds: int) -> Iterator[tuple[str, dict[str, float]]]:
    for name, turn in (
        ("plain gather", plain_at_once()),
        ("flow of ten steps", flow_at_once()),
        ("mode 2, no watchers", workflow_at_once(watch=False)),
        ("mode 2, watched", workflow_at_once(watch=True)),
    ):
        ran: list[dict[str, Any]] = [asyncio.run(at_once(turn, many)) for _ in range(rounds)]
        best = max(ran, key=lambda each: each["turns_per_s"])
        yield name, {**best, "kb": kilobytes_in_flight(turn, min(many, IN_FLIGHT))}
