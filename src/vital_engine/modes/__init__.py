"""WHICH turn: who approves, and one question or a conversation. The only package that imports LangGraph.

::

    mode.py             the 2 x 2
    workflow.py         ParallelBaseWorkflow: execute, start, stream
    nodes.py            the two wide nodes and the six tasks, each callable alone
    settings.py         profile, switches, limits; refused where unknown
    consent.py          what a policy approves, and why
    assemble.py         what the steps made -> the answer
    stream.py           a turn as it happens
    state.py            a turn as a graph sees it
    mode2_automatic.py  one question, the policy approves

May import: monitoring (to be watched by default), turn, flow, ports, nouns, errors.
"""

from .mode import Mode
from .mode2_automatic import Mode2AutomaticWorkflow
from .settings import PROFILES, Profile, TurnSettings
from .stream import Broken, Cited, Event, Finished, Spent, Started, Step, Token
from .workflow import ParallelBaseWorkflow, Turn

__all__ = [
    "PROFILES",
    "Broken",
    "Cited",
    "Event",
    "Finished",
    "Mode",
    "Mode2AutomaticWorkflow",
    "ParallelBaseWorkflow",
    "Profile",
    "Spent",
    "Started",
    "Step",
    "Token",
    "Turn",
    "TurnSettings",
]
