"""The page of a run: every verdict and every plot is there, its numbers are the run's, and a rerun makes no difference."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from vital_bench.command import run_report, run_workloads
from vital_bench.goals import GOALS, MACHINE_GOALS, judge, of_cost
from vital_bench.page import Material, Surroundings, aligned, table, write_page
from vital_bench.pictures import slower
from vital_bench.report import Report, measure
from vital_bench.timelines import timelines
from vital_bench.variants import SEGMENTS
from vital_bench.workloads import W1, W2
from vital_engine.errors import ConfigError

HERE = Surroundings("2026-01-02 03:04 UTC", "a machine", 2, "Linux x86_64", "3.11.7", 0.5, {"vital-engine": "0.1.0"})
COST = {
    "ten steps": {
        "flow": {"cpu_us": 150.0, "calls": 1600, "iterations": 9},
        "langgraph": {"cpu_us": 1500.0, "calls": 7000, "iterations": 29},
    },
    "at once": {"flow of ten steps": {"turns_per_second": 1500.0, "p50_ms": 250.0, "p99_ms": 300.0, "cpu_us": 200.0, "kb_per_turn": 20.0}},
}  # fmt: skip


def engine(key: str, name: str, cpu: float | None) -> dict[str, Any]:
    burst = {"turns": 1000, "turns_per_second": 1234.5, "p50_ms": 300.0, "p99_ms": 400.0, "turns_per_cpu_second": 2000.0,
             "peak_rss_mb": 80.0, "kb_per_turn": 12.5, "others_cores": 0.1}  # fmt: skip
    seen = {"sees": "Broken", "seconds": 0.2, "patience": 60, "kept": [], "answered": False, "others": "cancelled"}
    hangs = {"sees": "nothing", "seconds": None, "patience": 60, "kept": [], "answered": False, "others": "none"}
    return {"key": key, "name": name, "version": "1.0", "note": "a note", "seed_ms": 2150.0, "uneven_ms": None, "cpu_us": cpu,
            "calls": 1650, "iterations": 9, "setup_seconds": 0.5, "setup_rss_mb": 50.0, "burst": burst, "frozen": burst,
            "trouble": {"input raises": seen, "input hangs": hangs, "review raises": seen}}  # fmt: skip


PEERS = {
    "machine": {"cpu": "a machine", "cores": 2, "python": "3.11.7", "load_before": 0.1, "load_after": 0.2},
    "engines": [engine("flow", "VITAL Engine, the executor", 151.0), engine("other", "Another Graph", None)],
    "left_out": [{"key": "nobody", "name": "Nobody's Graph", "package": "nobody"}],
}  # fmt: skip
REAL = {
    "model": "a small model", "pairs": 3, "note": "With whatever else ran.",
    "rows": [{"earlier": 2, "delay": 0.5, "arm": "segments", "pairs": 3, "prompt": 1501.0, "computed": 869.0, "fewer": 0.421,
              "first_seconds": 3.21, "first_ratio": [0.7, 0.6, 0.8], "total_ratio": [0.9, 0.8, 1.0], "equal": 2, "quality": 0.5,
              "support": None}],
    "goals": [{"says": "fewer tokens", "value": 0.421, "limit": 0.6, "met": False}],
}  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    return measure(["W1", "W1b", "W2 no stalls", "W3"], turns=12, seed=3)


@pytest.fixture(scope="module")
def material(report: Report) -> Material:
    return Material(report, HERE, timelines(), COST, PEERS, REAL)


@pytest.fixture(scope="module")
def written(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    files = write_page(tmp_path_factory.mktemp("page") / "new", material)
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def test_every_verdict_is_there_and_what_was_missed_comes_first(report: Report, written: Mapping[str, str]) -> None:
    goals = written["report.md"].split("## Goals")[1].split("## W1")[0]
    lines = [line for line in goals.splitlines() if line.startswith("| ") and ("≤" in line or "≥" in line)]
    for verdict in report.verdicts:
        (line,) = [line for line in lines if line.startswith(f"| {verdict.says} |")]
        assert ("**missed" in line) is not verdict.met, line
    missed = ["**missed" in line for line in lines]
    assert missed == sorted(missed, reverse=True)
    assert any(
        line.startswith("| VITAL Engine, the executor: its function calls |") and "by 10.00%" in line for line in lines
    )
    assert any(line.startswith("| fewer tokens |") and "by 29.83%" in line for line in lines)
    met = len(lines) - sum(missed)
    assert f"**{met} of {len(lines)} met**" in goals
    told = {verdict.says for verdict in report.verdicts}
    assert all(goal.says in goals for goal in GOALS if goal.says not in told), "what was not measured is named"


def test_the_numbers_of_the_page_are_those_of_the_run(report: Report, written: Mapping[str, str]) -> None:
    page = written["report.md"]
    for s in report.summaries:
        if s.workload.startswith("W1") and s.first_token and s.last_token:
            spreads = (s.first_token, s.last_token, s.total)
            took = " | ".join(f"{1000 * each.quantiles['p50']:,.2f}" for each in spreads)
            table = page.split(f"**{s.workload}**")[1].split("\n\n")[1]
            bound = report.rows[s.workload, s.variant][0].bound
            assert bound is not None
            gap = s.total.quantiles["p50"] / bound.total - 1
            assert f"| {s.variant} | {s.label} | {took} | {1000 * bound.total:,.2f} | {gap:.2%} |" in table
    tails = page.split("## W2")[1].split("## W3")[0]
    for s in report.summaries:
        if s.workload == W2[-1].name:
            (line,) = [line for line in tails.splitlines() if line.startswith(f"| {s.variant} |")]
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert cells[1] == s.label and cells[3] == f"{1000 * s.total.quantiles['p50']:,.1f}"
            assert cells[-1] == f"{s.extra_calls:.2%}"
    kept = json.loads(written["figures.json"])
    assert kept["figures"] == [[*f.key, f.value, f.unit, f.label] for f in report.figures]
    assert (kept["cost"], kept["peers"], kept["real"]) == (COST, PEERS, REAL)


def test_what_is_measured_elsewhere_is_shown_as_it_was_written(written: Mapping[str, str]) -> None:
    page = written["report.md"]
    assert "| VITAL Engine, the executor | 1.0 | 2,150.0 | – | 151 |" in page
    assert "| Another Graph | Broken at 0.2 s, no answer, 0 kept; the others are cancelled | nothing in 60 s |" in page
    assert "Nobody's Graph" in page
    assert "| 2 | 0.5 | segments | 1,501 | 869 | 42.1% | 3.21 | 0.70 [0.60, 0.80] |" in page
    assert "| flow of ten steps | 1,500 | 250.0 | 300.0 | 200.0 | 20.0 |" in page


def test_the_page_names_each_plot_and_each_is_a_picture(written: Mapping[str, str]) -> None:
    named = re.findall(r"!\[[^]]+\]\(([^)]+)\)", written["report.md"])
    assert set(named) == {"timelines.svg", "tails.svg"}
    for name in named:
        root = ET.fromstring(written[name])
        texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any(" ms" in text for text in texts) and len(written[name]) < 40_000
        if name == "timelines.svg":
            assert {"retrieve", "read tools", "cite"} <= set(texts) and any("all after 1,824 ms" in t for t in texts)
        else:
            assert {"W2 no stalls", SEGMENTS.name, "100 %"} <= set(texts)


def test_what_was_not_measured_has_no_section_and_no_plot(report: Report, tmp_path: Path) -> None:
    few = measure(["W1b"], turns=2, seed=1)
    files = write_page(tmp_path, Material(few, HERE))
    assert [file.name for file in files] == ["report.md", "figures.json"]
    page = files[0].read_text(encoding="utf-8")
    assert "## W1b" in page and "## W2" not in page and "![" not in page and "## Other engines" not in page


def test_a_rerun_writes_the_same_to_the_byte(material: Material, written: Mapping[str, str], tmp_path: Path) -> None:
    again = replace(material, lines=timelines())
    assert {file.name: file.read_text(encoding="utf-8") for file in write_page(tmp_path, again)} == written


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_what_is_no_file_of_peers_is_refused_before_anything_is_run(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "peers.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(str(file))):
        run_report(tmp_path / "page", None, turns=1, seed=1, rows=None, peers=file, real=None)
    assert not (tmp_path / "page").exists()


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.csv"
    run_report(tmp_path / "page", ["w1"], turns=1, seed=2, rows=rows, peers=None, real=None)
    written = capsys.readouterr().out.splitlines()
    names = [Path(line).name for line in written]
    assert names == ["report.md", "figures.json", "timelines.svg"] and rows.exists()
    assert "| seed | 2 |" in Path(written[0]).read_text(encoding="utf-8")


def test_several_processes_measure_the_same() -> None:
    names = ["W1b", "W2 no stalls"]
    assert measure(names, turns=4, seed=5, jobs=2) == measure(names, turns=4, seed=5)


def test_no_workload_gets_more_turns_than_it_needs() -> None:
    told: list[str] = []
    measure(["W1"], turns=50, seed=1, at_most=True, told=told.append)
    assert len(told) == sum(len(w.variants) for w in W1) and all(": 1 turns" in line for line in told)


def test_an_unknown_workload_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"W99.*W1b.*cost"):
        run_workloads(["W99"], turns=1, seed=1, rows=None, as_json=True)


def test_in_a_terminal_columns_stand_one_below_the_other() -> None:
    assert aligned(table(("who", "ms"), [("ours", "1"), ("asyncio", "1,000")])).splitlines() == [
        "who         ms",
        "-------  -----",
        "ours         1",
        "asyncio  1,000",
    ]
    assert aligned("no table") == "no table"


def test_time_lines_are_those_of_the_arithmetic() -> None:
    by_policy = {turn.policy: turn for turn in timelines()}
    assert [round(1000 * turn.total, 2) for turn in by_policy.values()] == [2800, 2150, 2018.75, 1868.75, 1823.75]
    segments = by_policy[SEGMENTS.name]
    critical = [bar.step for bar in segments.bars if bar.critical]
    assert list(dict.fromkeys(critical)) == ["retrieve", "reply", "cite"]
    assert [(bar.began, bar.ended) for bar in segments.bars if bar.kind == "read"] == [(0.5, pytest.approx(0.615))]


def test_a_tail_shows_the_share_that_is_slower() -> None:
    times, shares = slower([float(i) for i in range(1, 1001)])
    assert (times[0], shares[0]) == (1000.0, 1.0) and (times[-1], shares[-1]) == (1_000_000.0, 0.001)
    assert all(math.isclose(share, (1001 - t / 1000) / 1000) for t, share in zip(times, shares, strict=True))


def test_the_engines_cost_is_judged_by_what_was_aimed_for() -> None:
    verdicts = judge(of_cost(COST), MACHINE_GOALS)
    cpu, ratio, calls, passes, rate, p99, kb = verdicts
    assert [v.met for v in (cpu, ratio, calls, passes, rate, p99, kb)] == [True, True, False, True, False, True, True]
    assert (ratio.limit, calls.by, rate.by) == (300.0, pytest.approx(-1 / 15), -0.25)
    assert {v.source for v in verdicts} == {"this machine"}
