"""A turn as a LangGraph ``StateGraph``, for a graph of your own.

::

    graph.py    the graph: one node per part of a turn, and what each is wrapped in
    state.py    the state: channels that hold nouns, and give checkpoints plain JSON
    server.py   the engine behind a LangGraph server: what langgraph.json names

Nodes run the same steps as the engine's own path, under the same settings (:mod:`vital_engine.modes.segments`). No
other package imports LangGraph, and nothing imports this one before a graph is built. May import: everything up to
modes; the server also imports the engine.
"""
