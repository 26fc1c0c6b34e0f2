"""The command line as a person meets it: the real commands, the sample corpus, a database of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from model_server import ModelServer, Reply
from seed_profile import DATAFLOW_TOTAL, SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine.text.sentences import split

QUESTION = "Do mutations causing low HDL-C promote increased carotid intima-media thickness?"
HDL = "pmid-17113061"
ABSTRACTS = Path(__file__).parents[2] / "src" / "vital_engine" / "sample" / "abstracts.jsonl"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # not tmp_path: see tests/store_fixtures.py
    with TemporaryDirectory(prefix="vital-") as folder:
        yield Path(folder) / "home"


def vital(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("VITAL_", "OPENAI_", "DATABASE_"))}
    return subprocess.run(
        [sys.executable, "-m", "vital_engine", *arguments],
        env={**clean, "VITAL_HOME": str(home), **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def filled(home: Path) -> Path:
    done = vital(home, "ingest", "--sample")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("120 added")
    return home


def test_taking_in_again_does_nothing(filled: Path) -> None:
    again = vital(filled, "ingest", "--sample", "--json")
    assert again.returncode == 0
    report = json.loads(again.stdout)
    assert (report["added"], report["unchanged"], report["passages"]) == (0, 120, 0)


def test_the_first_question_is_answered_with_the_right_abstract_and_its_span(filled: Path) -> None:
    done = vital(filled, "ask", QUESTION, "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["status"] == "complete"
    assert receipt["model"]["name"] == "extractive"
    stored = next(
        row for row in map(json.loads, ABSTRACTS.read_text(encoding="utf-8").splitlines()) if row["id"] == HDL
    )["text"]
    first = receipt["citations"][0]
    assert first["document"] == HDL
    assert first["verdict"] == "verified"
    for citation in receipt["citations"]:
        if citation["document"] == HDL:
            assert stored[citation["start"] : citation["end"]] == citation["quote"]
    assert receipt["cost"]["usd"] == "0"
    assert receipt["degraded"] == {}
    assert set(receipt["steps"]) >= {"brief", "retrieve", "suggest", "recall", "reply", "cite", "assess", "tally"}
    assert all(sentence.text for sentence in split(receipt["text"]))


def test_a_terminal_shows_citations_who_spoke_the_cost_and_the_times(filled: Path) -> None:
    done = vital(filled, "ask", QUESTION, "--timeline")
    assert done.returncode == 0
    for part in (
        "Citations",
        "[1] ok",
        HDL,
        "extractive by vital",
        "cost $0",
        "first token",
        "critical path:",
        "reply",
    ):
        assert part in done.stdout


def test_a_run_can_be_looked_at_afterwards(filled: Path) -> None:
    run_id = json.loads(vital(filled, "ask", QUESTION, "--json").stdout)["run_id"]
    assert run_id in vital(filled, "runs", "list").stdout
    assert QUESTION in vital(filled, "runs", "show", run_id).stdout
    missing = vital(filled, "runs", "show", "nothing")
    assert missing.returncode == 4
    assert missing.stderr.startswith("vital: ")


def test_another_tenant_finds_nothing(filled: Path) -> None:
    done = vital(filled, "ask", QUESTION, "--json", "--tenant", "stranger")
    receipt = json.loads(done.stdout)
    assert receipt["retrieved"] == []
    assert receipt["citations"] == []
    assert "not found" in receipt["text"]


def test_experts_of_ones_own_are_kept_for_one_tenant_and_answer_when_named(filled: Path, tmp_path: Path) -> None:
    shipped = vital(filled, "experts", "list", "--yaml").stdout
    file = tmp_path / "mine.yaml"
    file.write_text(shipped.replace("id: quality\n", "id: house-quality\n"), encoding="utf-8")
    added = vital(filled, "experts", "add", str(file), "--replace")
    assert added.returncode == 0, added.stderr
    receipt = json.loads(vital(filled, "ask", QUESTION, "--json", "--expert", "house-quality").stdout)
    assert receipt["expert"] == "house-quality"
    assert vital(filled, "ask", QUESTION, "--expert", "house-quality", "--tenant", "stranger").returncode == 4
    again = vital(filled, "experts", "add", str(file))
    assert (again.returncode, again.stderr.count("\n")) == (4, 1)
    broken = tmp_path / "broken.yaml"
    broken.write_text("experts: [{id: x}]", encoding="utf-8")
    assert vital(filled, "experts", "add", str(broken)).returncode == 2


def test_a_model_server_streams_its_answer_and_its_usage_is_priced(filled: Path) -> None:
    reply = Reply(text="cIMT was nearly identical between cases and controls [1].")
    with ModelServer(model="gpt-4o-mini", default=reply) as server:
        done = vital(filled, "ask", QUESTION, "--json", VITAL_MODEL="gpt-4o-mini", VITAL_MODEL_URL=server.base_url)
    receipt = json.loads(done.stdout)
    assert receipt["status"] == "complete"
    assert "nearly identical" in receipt["text"]
    (row,) = receipt["cost"]["calls"]
    assert row["call"]["usage"]["output"] > 0


def test_a_model_server_that_is_not_there_is_an_error_with_a_code(filled: Path) -> None:
    done = vital(filled, "ask", QUESTION, "--json", VITAL_MODEL="m", VITAL_MODEL_URL="http://127.0.0.1:9/v1")
    receipt: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 5
    assert receipt["status"] == "failed"
    assert receipt["error"] == "model.unavailable"


def test_the_floor_answers_when_the_model_cannot(filled: Path) -> None:
    settings = {"VITAL_MODEL": "m", "VITAL_MODEL_URL": "http://127.0.0.1:9/v1", "VITAL_FALLBACK": "extractive"}
    receipt = json.loads(vital(filled, "ask", QUESTION, "--json", **settings).stdout)
    assert receipt["status"] == "complete"
    assert receipt["model"]["name"] == "extractive"


def test_the_doctor_finds_all_well(filled: Path) -> None:
    done = vital(filled, "doctor", "--json")
    states = {row["what"]: row["state"] for row in json.loads(done.stdout)}
    assert "broken" not in states.values(), done.stdout
    assert states["a turn"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["ask", "x", "--set", "profil=tiers"], {}, 2, "did you mean 'profile'"),
        (["ask", "x", "--profile", "fast"], {}, 2, "profile must be one of"),
        (["config", "check"], {"VITAL_PARALEL_TIMEOUT_MS": "3"}, 2, "did you mean 'parallel_timeout_ms'"),
        (["ask", " "], {}, 2, "text"),
        (["ask", "x", "--expert", "nobody"], {}, 4, "nobody"),
        (["ingest", "nowhere.pdf"], {}, 4, "nowhere.pdf"),
        (["ingest"], {}, 2, "name a file or a folder"),
        (["bench", "--workload", "W99"], {}, 2, "W99"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    filled: Path, arguments: list[str], environment: dict[str, str], code: int, said: str
) -> None:
    done = vital(filled, *arguments, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_the_bench_prints_the_arithmetic(home: Path) -> None:
    done = vital(home, "bench", "--workload", "W1", "--json")
    report = json.loads(done.stdout)
    took = {(f["workload"], f["variant"]): f["value"] for f in report["figures"] if f["name"] == "all p50"}
    assert took["W1 opaque", "sequential"] == SEQUENTIAL_TOTAL
    assert took["W1 opaque", "tiers"] == TIERS_TOTAL
    assert took["W1 opaque", "+ tier 2 reads along"] == DATAFLOW_TOTAL
    assert took["W1 half known", "+ segments read ahead"] == 1.82375
    assert all(goal["met"] for goal in report["goals"])
