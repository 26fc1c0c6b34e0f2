"""What this engine was to reach beside the others, written down before it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]
TURNS = 1000
"""Begun at once. What was measured with another number says nothing of these goals."""


@dataclass(frozen=True, slots=True)
class Goal:
    """``of``: figure -> where it stands in an engine's facts. ``least``: the figure is to be at least this, else at most."""

    says: str
    of: tuple[str, ...]
    limit: float
    least: bool = False
    times: str = ""
    """Key of another engine: the limit is so many times that engine's figure in the same run."""


GOALS = (
    Goal("turn of the seed profile, ms", ("seed_ms",), 2150.0 * 1.001),
    Goal("uneven turn, ms", ("uneven_ms",), 2150.0 * 1.01),
    Goal("CPU of a turn that takes no time, µs", ("cpu_us",), 200.0),
    Goal("its CPU, over LangGraph's", ("cpu_us",), 0.2, times="langgraph"),
    Goal("its function calls", ("calls",), 1500.0),
    Goal("its iterations of the event loop", ("iterations",), 12.0),
    Goal("1,000 turns at once, turns per second", ("burst", "turns_per_second"), 2000.0, least=True),
    Goal("1,000 turns at once, p99 in ms", ("burst", "p99_ms"), 450.0),
    Goal("1,000 turns at once, KB in flight each", ("burst", "kb_per_turn"), 25.0),
)
"""The seed turn may take a thousandth more than its ideal, the uneven one a hundredth."""


def _figure(facts: Facts, of: tuple[str, ...]) -> float | None:
    found: Any = facts
    for name in of:
        found = None if found is None else found.get(name)
        if isinstance(found, Mapping) and found.get("turns", TURNS) != TURNS:
            return None
    return None if found is None else float(found)


def judged(engines: Mapping[str, Facts], key: str) -> list[dict[str, Any]]:
    """For each goal of the engine *key*: ``says``, ``value``, ``limit``, ``met`` (None: not measured) and ``share``, the
    value over the limit; so 1.1 misses a goal of "at most" by a tenth, and 0.9 one of "at least"."""
    rows = []
    for goal in GOALS:
        value = _figure(engines[key], goal.of)
        if goal.times:
            other = _figure(engines.get(goal.times, {}), goal.of)
            value = None if value is None or not other else value / other
        met = None if value is None else value >= goal.limit if goal.least else value <= goal.limit
        share = None if value is None else round(value / goal.limit, 3)
        shown = None if value is None else round(value, 3)
        rows.append(
            {"says": goal.says, "value": shown, "limit": goal.limit, "least": goal.least, "met": met, "share": share}
        )
    return rows
