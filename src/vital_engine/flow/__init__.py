"""How steps run together: in time, with failure, with measurement. This package knows nothing of what a turn is.

::

    step.py      a plain async function, read by its signature: what it needs, what it makes
    policy.py    how long, in which tier; under which constraints a flow runs
    plan.py      which step waits for which
    flow.py      steps joined by type; refuses what does not fit; can be drawn
    run.py       the executor: a task per step, one deadline, abandoned steps; the result of a run
    outcome.py   Done | Degraded | Failed | Skipped
    events.py    the log of a run, and its readers
    stream.py    a value that is still being made: one producer, many readers
    hedging.py   a late call is sent a second time: whether, when, and which answer counts; how busy a service is
    quantiles.py how long something takes, as a distribution that forgets
    limits.py    limits in time and in number that hold against deaf work; threads; background tasks
    clock.py     virtual time, exact

May import: errors, the standard library.
"""

from .clock import Deadlock, VirtualLoop, run_virtual
from .events import (
    Event,
    FlowEnded,
    FlowStarted,
    Hedged,
    LateResult,
    Log,
    Observer,
    StepEnded,
    StepStarted,
    StreamOpened,
    broken_observers,
)
from .flow import Flow
from .hedging import Hedge, HedgeOutcome, Load, either
from .limits import abandoned, background_tasks, bounded, call, gather_outcomes, run_in_background, shutdown
from .outcome import (
    KINDS,
    REASONS,
    BaseOutcome,
    Degraded,
    Done,
    Failed,
    Kind,
    Outcome,
    Reason,
    Skipped,
    reason_of,
    shift,
)
from .policy import DATAFLOW, SEQUENTIAL, TIERS, Policy, Shape
from .quantiles import DecayedHistogram
from .run import Run, speedup
from .step import Step, step
from .stream import Stream

__all__ = [
    "DATAFLOW",
    "KINDS",
    "REASONS",
    "SEQUENTIAL",
    "TIERS",
    "BaseOutcome",
    "Deadlock",
    "DecayedHistogram",
    "Degraded",
    "Done",
    "Event",
    "Failed",
    "Flow",
    "FlowEnded",
    "FlowStarted",
    "Hedge",
    "HedgeOutcome",
    "Hedged",
    "Kind",
    "LateResult",
    "Load",
    "Log",
    "Observer",
    "Outcome",
    "Policy",
    "Reason",
    "Run",
    "Shape",
    "Skipped",
    "Step",
    "StepEnded",
    "StepStarted",
    "Stream",
    "StreamOpened",
    "VirtualLoop",
    "abandoned",
    "background_tasks",
    "bounded",
    "broken_observers",
    "call",
    "either",
    "gather_outcomes",
    "reason_of",
    "run_in_background",
    "run_virtual",
    "shift",
    "shutdown",
    "speedup",
    "step",
]
