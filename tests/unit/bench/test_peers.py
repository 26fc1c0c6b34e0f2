"""The other engines beside this one: the same turns, told apart by their times and by what a failure leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bench.peers.__main__ import QUICK, report
from bench.peers.goals import GOALS, judged
from bench.peers.registry import BY_KEY, ENTRIES, OURS, WHOLE, Entry
from bench.peers.shapes import SHAPES, TROUBLE, Engine, expected
from bench.peers.table import page
from bench.peers.trouble import Trouble, cases, watch

from seed_profile import DATAFLOW_TOTAL, SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine.bench import Durations, Peer
from vital_engine.flow import run_virtual

INSTALLED = [entry for entry in ENTRIES if entry.installed]
SECONDS = {"seed": TIERS_TOTAL, "uneven": TIERS_TOTAL, "ten": 0.0}
"""Of an engine that starts each step when it can."""
OTHERWISE = {
    ("sequential", "seed"): SEQUENTIAL_TOTAL,
    ("sequential", "uneven"): SEQUENTIAL_TOTAL,
    ("langgraph", "uneven"): 2.45,
    ("haystack", "uneven"): 2.45,
    ("workflow", "seed"): DATAFLOW_TOTAL,
}


async def once(peer: Peer) -> tuple[float, Any]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    values = await peer(Durations())
    return round(loop.time() - began, 6), values


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("entry", INSTALLED, ids=lambda entry: entry.key)
def test_engines_run_the_same_turn(entry: Entry, shape: str) -> None:
    build = entry.shape(shape)
    if build is None:
        assert (entry.key, shape) in {(key, "uneven") for key in WHOLE}
        return
    seconds, values = run_virtual(once(Engine(build())))
    assert seconds == OTHERWISE.get((entry.key, shape), SECONDS[shape])
    assert set(values) == set(SHAPES["seed"]) if entry.key in WHOLE else values == expected(SHAPES[shape])


def test_plain_asyncio_this_engine_and_langgraph_are_always_here() -> None:
    assert {"sequential", "gather", "taskgroup", "langgraph", *OURS} <= {entry.key for entry in INSTALLED}


def into(key: str, trouble: Trouble) -> dict[str, Any]:
    build = BY_KEY[key].shape("seed")
    assert build is not None
    engine = Engine(build())

    async def seen() -> dict[str, Any]:
        TROUBLE.set(trouble)
        return await watch(lambda: engine(Durations(suggest=0.1)), trouble)

    return run_virtual(seen())


@pytest.mark.parametrize(
    ("key", "case", "sees", "seconds", "kept", "others"),
    [
        ("gather", "input raises", "Broken", 0.2, 0, "ran on"),
        ("taskgroup", "input raises", "ExceptionGroup", 0.2, 0, "cancelled"),
        ("langgraph", "input raises", "Broken", 0.2, 0, "cancelled"),
        ("flow", "input raises", "a result", 0.5, 2, "none"),
        ("workflow", "input raises", "a result", 2.019, 6, "none"),
        ("gather", "input hangs", "nothing", None, 0, "none"),
        ("workflow", "input hangs", "a result", 6.519, 6, "none"),
        ("langgraph", "review raises", "Broken", 2.1, 0, "cancelled"),
        ("flow", "review raises", "a result", TIERS_TOTAL, 6, "none"),
    ],
)
def test_what_a_caller_sees_of_a_failure(
    key: str, case: str, sees: str, seconds: float | None, kept: int, others: str
) -> None:
    seen = into(key, cases()[case])
    assert (seen["sees"], seen["seconds"], len(seen["kept"]), seen["others"]) == (sees, seconds, kept, others)


def test_each_is_measured_in_a_process_of_its_own_and_who_is_missing_is_named() -> None:
    missing = Entry("nobody", "Nobody's Graph", "no-such-package", "no_such_package")
    found = report([BY_KEY["gather"], BY_KEY["flow"], missing], quick=True)
    assert found["failed"] == {} and found["left_out"] == [
        {"key": "nobody", "name": "Nobody's Graph", "package": "no-such-package"}
    ]
    gather, flow = found["engines"]
    assert flow["seed_ms"] == gather["uneven_ms"] == 2150.0
    assert 0 < gather["calls"] < flow["calls"]
    assert f"turns={flow['burst']['turns']}" in QUICK
    flow["burst"]["others_cores"] = 1.7
    text = page(found)
    assert "Something else used 1.7 cores meanwhile" in text
    assert "| VITAL Engine, the executor |" in text and "Not measured, since not installed: Nobody's Graph." in text


def test_a_measurement_that_fails_is_reported_and_costs_only_itself() -> None:
    found = report([Entry("nobody", "Nobody's Graph"), BY_KEY["sequential"]], quick=True)
    assert "KeyError: 'nobody'" in found["failed"]["nobody"]
    assert [engine["key"] for engine in found["engines"]] == ["sequential"]


def test_goals_are_met_missed_or_not_measured() -> None:
    facts = {
        "seed_ms": 2150.0,
        "uneven_ms": None,
        "cpu_us": 300.0,
        "calls": 1500,
        "burst": {"turns": 1000, "turns_per_second": 1800.0, "p99_ms": 100.0},
    }
    by_first_word = {goal["says"]: goal for goal in judged({"flow": facts, "langgraph": {"cpu_us": 1200.0}}, "flow")}
    seed, uneven, cpu, ratio, calls, iterations, rate, p99, memory = by_first_word.values()
    assert [g["met"] for g in (seed, uneven, cpu, ratio, calls)] == [True, None, False, False, True]
    assert (iterations["met"], rate["met"], p99["met"], memory["met"]) == (None, False, True, None)
    assert (cpu["share"], ratio["value"], rate["share"]) == (1.5, 0.25, 0.9)


def test_goals_of_a_thousand_turns_are_not_judged_by_fewer() -> None:
    facts = {"burst": {"turns": 50, "turns_per_second": 9000.0}}
    assert all(goal["met"] is None for goal in judged({"flow": facts}, "flow"))
    assert len(judged({"flow": facts}, "flow")) == len(GOALS)
