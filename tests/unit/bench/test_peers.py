"""The other engines beside this one: the same turns, told apart by their times and by what a failure leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vital_bench.durations import Durations
from vital_bench.goals import ENGINE, MACHINE_GOALS, judge, of_peers
from vital_bench.page import peers_page
from vital_bench.peers.__main__ import QUICK, report
from vital_bench.peers.registry import BY_KEY, ENTRIES, OURS, WHOLE, Entry
from vital_bench.peers.shapes import SHAPES, TROUBLE, Turn, expected, play
from vital_bench.peers.trouble import Trouble, cases, watch
from vital_engine.flow import run_virtual

INSTALLED = [entry for entry in ENTRIES if entry.installed]
SECONDS = {"seed": 2.15, "uneven": 2.15, "ten": 0.0}
"""Of an engine that starts each step when it can."""
OTHERWISE = {
    ("sequential", "seed"): 2.8,
    ("sequential", "uneven"): 2.8,
    ("langgraph", "uneven"): 2.45,
    ("haystack", "uneven"): 2.45,
    ("workflow", "seed"): 2.01875,
}


async def once(turn: Turn) -> tuple[float, Any]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    values = await play(turn, Durations())
    return round(loop.time() - began, 6), values


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("entry", INSTALLED, ids=lambda entry: entry.key)
def test_engines_run_the_same_turn(entry: Entry, shape: str) -> None:
    turn = entry.shape(shape)
    if turn is None:
        assert (entry.key, shape) in {(key, "uneven") for key in WHOLE}
        return
    seconds, values = run_virtual(once(turn))
    assert seconds == OTHERWISE.get((entry.key, shape), SECONDS[shape])
    assert set(values) == set(SHAPES["seed"]) if entry.key in WHOLE else values == expected(SHAPES[shape])


def test_plain_asyncio_this_engine_and_langgraph_are_always_here() -> None:
    assert {"sequential", "gather", "taskgroup", "langgraph", *OURS} <= {entry.key for entry in INSTALLED}


def into(key: str, trouble: Trouble) -> dict[str, Any]:
    turn = BY_KEY[key].shape("seed")
    assert turn is not None

    async def seen() -> dict[str, Any]:
        TROUBLE.set(trouble)
        return await watch(lambda: play(turn, Durations(suggest=0.1)), trouble)

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
        ("flow", "review raises", "a result", 2.15, 6, "none"),
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
    gather["burst"]["others_cores"], flow["burst"]["others_cores"] = 0.2, 1.7
    text = peers_page(found)
    assert "Something else used up to 1.7 cores meanwhile" in text
    assert "VITAL Engine, the executor: uneven turn, ms" in text
    assert "not measured, since not installed: Nobody's Graph." in text


def test_a_measurement_that_fails_is_reported_and_costs_only_itself() -> None:
    found = report([Entry("nobody", "Nobody's Graph"), BY_KEY["sequential"]], quick=True)
    assert "KeyError: 'nobody'" in found["failed"]["nobody"]
    assert [engine["key"] for engine in found["engines"]] == ["sequential"]


def measured(key: str, burst: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"key": key, "burst": burst, **facts}


def test_goals_are_met_missed_or_not_measured() -> None:
    burst = {"turns": 1000, "turns_per_second": 1800.0, "p99_ms": 100.0}
    flow = measured("flow", burst, seed_ms=2150.0, uneven_ms=None, cpu_us=300.0, calls=1500)
    verdicts = judge(of_peers({"engines": [flow, measured("langgraph", {}, cpu_us=1200.0)]}), MACHINE_GOALS)
    by_what = {verdict.says.removeprefix("VITAL Engine, the executor: "): verdict for verdict in verdicts}
    cpu, ratio, calls, rate, p99, seed = by_what.values()
    assert [v.met for v in (cpu, ratio, calls, rate, p99, seed)] == [False, False, True, False, True, True]
    assert (cpu.by, ratio.limit, rate.by, seed.source) == (-0.5, 240.0, -0.1, "beside peers")


def test_goals_of_a_thousand_turns_are_not_judged_by_fewer() -> None:
    burst = {name: 9000.0 for _, name, *_ in ENGINE}
    few, enough = (
        judge(of_peers({"engines": [measured("flow", {**burst, "turns": turns})]}), MACHINE_GOALS)
        for turns in (50, 1000)
    )
    assert few == [] and len(enough) == len(ENGINE)
