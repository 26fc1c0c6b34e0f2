"""``vital bench`` where the benchmark is installed, and where it is not."""

from __future__ import annotations

import json
import sys

import pytest

from vital_engine.cli import main


def test_without_the_benchmark_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vital_bench", None)
    monkeypatch.setattr(sys, "argv", ["vital", "bench", "--workload", "W1"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == ""
    assert said.err.count("\n") == 1 and "pip install 'vital-engine[bench]'" in said.err


def test_with_it_workloads_are_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vital", "bench", "--workload", "w1b", "--turns", "2", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert {figure["workload"] for figure in json.loads(capsys.readouterr().out)["figures"]} == {"W1b"}
