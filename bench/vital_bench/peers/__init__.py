"""Other engines, and plain asyncio, beside this one: the same turns, on one machine, in one run.

::

    shapes.py     the turns that every engine runs, and what their steps do
    plain.py      plain asyncio: one after another, gather, TaskGroup
    langgraph.py haystack.py hamilton.py pydantic_graph.py llama_index.py agno.py
    flow.py       this engine's executor alone
    workflow.py   whole turns of mode 2
    registry.py   who is measured, under which name, out of which package
    trouble.py    what a caller sees when a step raises or hangs
    measure.py    one engine in a process of its own

Each engine has one function, named in the registry: given a shape ("seed", "uneven" or "ten") it builds it once, and gives
what runs a turn. Nothing is set that slows an engine down: no store, no tracing, no telemetry, one built graph for all
turns. Run with ``make bench``, or ``python -m vital_bench.peers`` where the packages are installed. To measure an engine of
your own, write such a function and enter it in the registry.
"""
