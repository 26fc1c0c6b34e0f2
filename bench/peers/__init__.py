"""Other engines, and plain asyncio, beside this one: the same turns, on one machine, in one run.

::

    shapes.py     the turns that everybody runs, and what their steps do
    sequential.py gather.py taskgroup.py                  plain asyncio
    langgraph.py haystack.py hamilton.py pydantic_graph.py llama_index.py agno.py
    flow.py workflow.py workflow_bare.py                  this engine: its executor alone, and whole turns of mode 2
    registry.py   who is measured, under which name, out of which package
    trouble.py    what a caller sees when a step raises or hangs
    measure.py    one engine in a process of its own
    goals.py      what was aimed for
    table.py      what was measured, as tables

Each engine's module has one function per shape: ``seed()``, ``uneven()`` and ``ten()``, which build it once and give
what runs a turn. Nothing is set that slows an engine down: no store, no tracing, no telemetry, one built graph for all
turns. Run with ``make bench``, or ``python -m bench.peers`` where the packages are installed.
"""
