"""What the graph costs: CPU time of a turn on the engine's own path and through LangGraph, in virtual time.

    python bench/graph_overhead.py [--turns 200] [--json]

Services are scripted and take no CPU worth the name, so that what is left is the engine's own work and LangGraph's.
A turn of 120 tokens in 8 sentences, as the library's tests use it; no watchers. The median and the spread of rounds of
ten turns, taken in turns so that a busy machine is busy for all.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from vital_engine import Mode2AutomaticWorkflow, Question
from vital_engine.modes.graph_plain import plain
from vital_engine.testing import run_virtual, scripted

ROUND = 10
QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
STEPS = {"retrieve": 0.5, "suggest": 0.3, "recall": 0.2, "reply": 1.5, "assess": 0.1, "cite": 0.15, "tally": 0.05}


def ways() -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
    """Each gives one turn."""
    workflow = Mode2AutomaticWorkflow(scripted(**STEPS), profile="tiers", watchers=())
    bare = workflow.build_graph().compile()
    kept = workflow.build_graph().compile(checkpointer=InMemorySaver())
    threads = iter(range(10**9))

    def with_checkpoints() -> Coroutine[Any, Any, Any]:
        return kept.ainvoke({"question": QUESTION}, {"configurable": {"thread_id": str(next(threads))}})

    return {
        "the engine's own path": lambda: workflow.execute(QUESTION),
        "the graph": lambda: bare.ainvoke({"question": QUESTION}),
        "the graph, checkpoints in memory": with_checkpoints,
    }


def measure(turns: int) -> dict[str, list[float]]:
    """Microseconds of CPU per turn, by way and round."""

    async def some(way: Callable[[], Coroutine[Any, Any, Any]]) -> float:
        gc.collect()
        began = time.process_time()
        for _ in range(ROUND):
            await way()
        return (time.process_time() - began) / ROUND * 1e6

    taken: dict[str, list[float]] = {name: [] for name in ways()}
    for number in range(turns // ROUND + 1):
        for name, way in ways().items():
            micros = run_virtual(some(way))
            if number:  # the first round warms up
                taken[name].append(micros)
    return taken


async def state_bytes() -> int:
    """Of the values of the last checkpoint of a turn, as compact JSON."""
    graph = Mode2AutomaticWorkflow(scripted(**STEPS), watchers=()).build_graph().compile()
    state = await graph.ainvoke({"question": QUESTION})
    written = {key: plain(value) for key, value in state.items() if key != "outcomes"}
    return len(json.dumps(written, separators=(",", ":")).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    taken = measure(args.turns)
    own = statistics.median(taken["the engine's own path"])
    rows = [
        {
            "way": name,
            "median_us": round(statistics.median(micros)),
            "p10_us": round(statistics.quantiles(micros, n=10)[0]),
            "p90_us": round(statistics.quantiles(micros, n=10)[-1]),
            "more_us": round(statistics.median(micros) - own),
        }
        for name, micros in taken.items()
    ]
    size = run_virtual(state_bytes())
    if args.json:
        print(json.dumps({"turns": args.turns, "rows": rows, "state_bytes": size}, indent=2))
        return
    print("| a turn through | CPU, median (µs) | p10 to p90 (µs) | more than its own (µs) |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row['way']} | {row['median_us']:,} | {row['p10_us']:,} to {row['p90_us']:,} | {row['more_us']:,} |")
    print(f"\nstate of a turn, as JSON: {size:,} bytes")


if __name__ == "__main__":
    main()
