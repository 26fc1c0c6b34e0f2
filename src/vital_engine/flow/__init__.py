"""HOW steps run together: in time, with failure, with measurement. Knows nothing of what a turn is.

::

    step.py      a plain async function, read by its signature: what it needs, what it makes
    policy.py    how long, in which tier; under which constraints a flow runs
    flow.py      steps joined by type; refuses what does not fit; can be drawn
    run.py       the executor: a task per step, one deadline, abandoned steps
    seats.py     who may run, where not all may
    result.py    what a run left behind: outcomes, overlap, the critical path
    outcome.py   Done | Degraded | Failed | Skipped
    live.py      a value that is still being made: one producer, many readers
    quantiles.py how long something takes, as a distribution that forgets
    hedge.py     whether and when a late call is sent a second time
    race.py      a call and its copy: the first that says a word wins
    load.py      how busy something is, on average over the last while
    events.py    what observers are told
    offload.py   a limit that holds against deaf work; threads for work that blocks
    together.py  calls whose number is known only at run time
    supervise.py work that outlives who began it
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
    Observer,
    StepEnded,
    StepStarted,
    StreamOpened,
    broken_observers,
    tell,
)
from .flow import Flow
from .gather_outcomes import gather_outcomes
from .hedge import Hedge
from .live import Stream
from .load import Load
from .offload import abandoned, bounded, call
from .outcome import REASONS, Degraded, Done, Failed, Outcome, Reason, Skipped, reason_of
from .policy import DATAFLOW, SEQUENTIAL, TIERS, Policy, Shape
from .quantiles import DecayedHistogram
from .race import HedgeOutcome, either
from .result import Run, speedup
from .run_in_background import background_tasks, run_in_background, shutdown
from .step import Step, step

__all__ = [
    "DATAFLOW",
    "REASONS",
    "SEQUENTIAL",
    "TIERS",
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
    "LateResult",
    "Load",
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
    "shutdown",
    "speedup",
    "step",
    "tell",
]
