"""Watches turns from outside: metrics, traces, logs, and a watchdog over the event loop.

::

    labels.py        the closed sets that labels are taken from
    metrics.py       the registry: the six parallel metrics and the vital_ ones; render() for /metrics
    derived.py       metrics worked out at the scrape, from numbers recorded once
    track.py         recording by hand; refuses what cannot be recorded, and never breaks a turn
    watching.py      what observers share: flows that are open, closed exactly once
    watch.py         prometheus(mode): the observer that feeds the metrics
    otel.py          tracing(mode): a span per turn, a child per step
    genai_names.py   the OpenTelemetry GenAI attribute names, by version
    logs.py          logs(mode): a structured record per start and end; configure()
    watchdog.py      who blocks the event loop, and for how long

May import: answer, flow, nouns, errors. No step imports this package: observers are handed in.
"""

from .metrics import registry, render
from .track import (
    track_parallel_execution,
    track_parallel_task_duration,
    track_parallel_task_failure,
    track_parallel_timeout,
    track_spending,
    track_turn,
)
from .watch import TurnWatch, default_watchers, prometheus

__all__ = [
    "TurnWatch",
    "default_watchers",
    "prometheus",
    "registry",
    "render",
    "track_parallel_execution",
    "track_parallel_task_duration",
    "track_parallel_task_failure",
    "track_parallel_timeout",
    "track_spending",
    "track_turn",
]
