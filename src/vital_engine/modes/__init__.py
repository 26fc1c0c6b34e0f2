"""The four modes: who approves tool calls, and one question or a conversation.

::

    workflow.py       the two by two: ParallelBaseWorkflow and the four modes; execute, start, stream, resume
    runner.py         a turn from its opening to its saving, with or without a pause
    segments.py       the flows of a turn: opening, decision, closing; or part by part
    approval.py       who approves tool calls: a policy or a person
    conversation.py   turns of a conversation, one at a time; leases
    assemble.py       what the steps made -> the answer
    events.py         a turn as it happens
    settings.py       profile, switches, limits; refused where unknown

May import: monitoring (a workflow is watched by default), turn, flow, ports, nouns, errors.
"""

from .approval import Approver, Decisions, Person, Policy
from .events import Broken, Cited, Event, Finished, Spent, Started, StepEvent, Token
from .settings import PROFILES, Profile, TurnOptions, TurnSettings
from .workflow import (
    Mode,
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
    ParallelBaseWorkflow,
    Turn,
)

__all__ = [
    "PROFILES",
    "Approver",
    "Broken",
    "Cited",
    "Decisions",
    "Event",
    "Finished",
    "Mode",
    "Mode1ManualWorkflow",
    "Mode2AutomaticWorkflow",
    "Mode3ChatManualWorkflow",
    "Mode4ChatAutomaticWorkflow",
    "ParallelBaseWorkflow",
    "Person",
    "Policy",
    "Profile",
    "Spent",
    "Started",
    "StepEvent",
    "Token",
    "Turn",
    "TurnOptions",
    "TurnSettings",
]
