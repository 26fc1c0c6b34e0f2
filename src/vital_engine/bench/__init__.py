"""Measuring the engine: workloads in virtual time beside their arithmetic bound, and what the engine itself costs.

::

    bounds.py     what a turn takes at least
    workloads.py  W1: the seed profile
    engine.py     CPU per turn, beside plain asyncio and, where it is installed, LangGraph

May import: testing, modes, flow.
"""

from .bounds import Bound, Durations, bound
from .engine import measure_engine
from .workloads import Measured, w1

__all__ = ["Bound", "Durations", "Measured", "bound", "measure_engine", "w1"]
