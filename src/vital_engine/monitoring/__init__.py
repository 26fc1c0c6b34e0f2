"""Watches turns from outside: metrics, traces, logs, and a watchdog over the event loop.

::

    metrics.py    the registry, the closed sets of labels, the six parallel metrics and the vital_ ones; render() for /metrics
    track.py      recording by hand; refuses what cannot be recorded, and never breaks a turn
    watch.py      what observers of a turn share, and prometheus(mode), the one that feeds the metrics
    otel.py       Tracing: a span per turn, a child per step; the GenAI attribute names
    logs.py       log_turn: a structured record per start and end; configure()
    watchdog.py   what blocks the event loop, and for how long

May import: turn (its table of steps), flow, nouns, errors. No step imports this package: observers are passed in.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .metrics import registry, render
from .track import (
    track_cache,
    track_parallel_execution,
    track_parallel_task_duration,
    track_parallel_task_failure,
    track_parallel_timeout,
    track_spending,
    track_tool_suggestion,
    track_turn,
)
from .watch import TurnWatch, Watch, Watcher, default_watchers, prometheus

if TYPE_CHECKING:
    from .logs import LogWriter, TurnLog, configure, log_turn
    from .otel import Tracing, TurnTrace
    from .watchdog import Block, Watchdog

#: Imported when first asked for: who only counts does not load what logs and traces.
_LATER = {
    "Block": "watchdog",
    "LogWriter": "logs",
    "Tracing": "otel",
    "TurnLog": "logs",
    "TurnTrace": "otel",
    "Watchdog": "watchdog",
    "configure": "logs",
    "log_turn": "logs",
}

__all__ = [
    "Block",
    "LogWriter",
    "Tracing",
    "TurnLog",
    "TurnTrace",
    "TurnWatch",
    "Watch",
    "Watchdog",
    "Watcher",
    "configure",
    "default_watchers",
    "log_turn",
    "prometheus",
    "registry",
    "render",
    "track_cache",
    "track_parallel_execution",
    "track_parallel_task_duration",
    "track_parallel_task_failure",
    "track_parallel_timeout",
    "track_spending",
    "track_tool_suggestion",
    "track_turn",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
