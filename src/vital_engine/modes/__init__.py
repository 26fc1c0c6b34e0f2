"""WHICH turn: who approves, and one question or a conversation. The only package that imports LangGraph.

::

    mode.py             the 2 x 2
    workflow.py         ParallelBaseWorkflow: execute, start, stream, resume
    course.py           one turn under way: its clock, its watchers, its limit
    pausing.py          a turn in two halves, with a person between them
    approved_calls.py   what a person approved is called once
    rulings.py          what a person may say to a proposed call
    recorded.py         a turn as it was written down, read back
    lease.py            a heartbeat beside the work
    chat.py             turns of a conversation, one at a time
    nodes.py            the two wide nodes and the six tasks, each callable alone
    hedging.py          which steps may be sent twice, and to whom
    settings.py         profile, switches, limits; refused where unknown
    consent.py          what a policy approves, and why
    assemble.py         what the steps made -> the answer
    stream.py           a turn as it happens
    state.py            a turn as a graph sees it
    parts.py            a turn cut into parts, for those who run it node by node
    door.py             the way to the graph; who does not take it does not load LangGraph
    graph.py, graph_*.py   a turn as a LangGraph graph
    mode1_manual.py, mode2_automatic.py, mode3_chat_manual.py, mode4_chat_automatic.py

May import: monitoring (to be watched by default), turn, flow, ports, nouns, errors.
"""

from .decisions import Decisions
from .mode import Mode
from .mode1_manual import Mode1ManualWorkflow
from .mode2_automatic import Mode2AutomaticWorkflow
from .mode3_chat_manual import Mode3ChatManualWorkflow
from .mode4_chat_automatic import Mode4ChatAutomaticWorkflow
from .settings import PROFILES, Profile, TurnSettings
from .stream import Broken, Cited, Event, Finished, Spent, Started, Step, Token
from .workflow import ParallelBaseWorkflow, Turn

__all__ = [
    "PROFILES",
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
    "Profile",
    "Spent",
    "Started",
    "Step",
    "Token",
    "Turn",
    "TurnSettings",
]
