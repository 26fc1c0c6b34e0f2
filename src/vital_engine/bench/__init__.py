"""Measuring the engine: workloads in virtual time, each turn beside its bound from the same draws, and what the engine
itself costs.

::

    durations.py   how long each step of one turn takes
    draws.py       common random numbers: what happens to a turn is a function of seed, turn, step and attempt
    oracle.py      the bound: what a turn takes at least
    stage.py       one turn under way, as its services see it
    model.py       the model server: reads, remembers what it has read, speaks
    services.py    all services of a turn, in drawn time
    times.py       what one turn took
    handwritten.py what one would write by hand, to be measured beside the engine
    variants.py    the engine with its features switched off in turn, and the handwritten ones
    measure.py     run turns, and lay each beside its bound
    summary.py     quantiles, shares and counts of a run
    workloads.py   W1 the seed profile, W2 tails, W3 failures: as data
    shapes.py      W1b the uneven graph, W6 many experts
    repeats.py     W7 questions that come again
    real_clock.py  the simulator against a real clock
    figures.py     one number each, with what it is of and what it is called
    goals.py       what was to be reached, written down before it was measured
    report.py      one run, from its seed to its verdicts; tables.py, rows.py: as text, and turn by turn
    peer.py        what another engine must be able to do to be measured here
    engine.py      CPU per turn, beside plain asyncio and, where it is installed, LangGraph
    cost.py        the same for tokens and for many turns at once, and whether it is what was aimed for
    timelines.py   one turn by each policy, step by step
    parallel.py    a whole run in several processes
    page/          a run as one page, with plots

May import: testing, modes, turn, services, flow.
"""

from .durations import Durations
from .engine import measure_engine
from .oracle import Bound, bound
from .peer import Peer

__all__ = ["Bound", "Durations", "Peer", "bound", "measure_engine"]
