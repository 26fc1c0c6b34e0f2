"""Measuring the engine: workloads in virtual time beside their arithmetic bound, and what the engine itself costs.

::

    durations.py  how long each step of one turn takes
    peer.py       what an engine must be able to do to be measured here
    bounds.py     what a turn takes at least
    workloads.py  W1: the seed profile
    engine.py     CPU per turn, beside plain asyncio and, where it is installed, LangGraph

May import: testing, modes, flow.
"""

from .bounds import Bound, bound
from .durations import Durations
from .engine import measure_engine
from .peer import Peer
from .workloads import Measured, w1

__all__ = ["Bound", "Durations", "Measured", "Peer", "bound", "measure_engine", "w1"]
