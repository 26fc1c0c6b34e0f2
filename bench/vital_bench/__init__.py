"""Measuring the engine: workloads in virtual time, each turn beside its bound from the same draws, and what the engine
itself costs.

::

    durations.py   how long each step of one turn takes
    draws.py       common random numbers: what happens to a turn is a function of seed, turn, step and attempt
    oracle.py      the bound: what a turn takes at least
    services.py    all services of a turn, in drawn time, and one turn under way as they see it
    variants.py    the engine with its features switched off in turn, and what one would write by hand
    measure.py     run turns, lay each beside its bound, and sum them up
    workloads.py   W1 the seed profile, W2 tails, W3 failures: as data; the simulator against a real clock
    shapes.py      W1b the uneven graph, W6 many experts
    repeats.py     W7 questions that come again
    goals.py       figures, and what was to be reached, written down before it was measured
    report.py      one run, from its seed to its verdicts, in one process or several
    meter.py       what a turn costs a process, whichever engine runs it
    cost.py        what this engine costs: empty steps, whole turns, tokens, many turns at once
    timelines.py   one turn by each policy, step by step
    page.py        a run as one page, and its tables for the terminal; pictures.py: its two pictures
    peers/         other engines beside this one
    command.py     what `vital bench` does

Nothing here imports the engine before it is asked for: the peers are timed from their first import on.
"""
