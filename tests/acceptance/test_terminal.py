"""Terminals and pipes as they are: an encoding that lacks a character, a reader that goes, a key that stops all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from model_server import ModelServer, Reply

pytestmark = pytest.mark.slow
VITAL = [sys.executable, "-m", "vital_engine"]
QUESTION = "Ünï — 😀: do mutations causing low HDL-C promote carotid intima-media thickness?"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vital-") as folder:
        done = run(Path(folder) / "home", "ingest", "--sample")
        assert done.returncode == 0, done.stderr
        yield Path(folder) / "home"


def surroundings(home: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("VITAL_", "OPENAI_", "DATABASE_"))}
    return {**clean, "VITAL_HOME": str(home), **more}


def run(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VITAL, *arguments],
        env=surroundings(home, **more),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_an_ascii_terminal_gets_escapes_and_valid_json(home: Path) -> None:
    shown = run(home, "ask", QUESTION, PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\\u00b7 quality" in shown.stdout
    receipt = run(home, "ask", QUESTION, "--json", PYTHONIOENCODING="ascii")
    assert receipt.stdout.isascii()
    assert json.loads(receipt.stdout)["question"] == QUESTION


def test_a_reader_that_goes_is_no_traceback(home: Path) -> None:
    command = [*VITAL, "ask", "--json", QUESTION]
    with subprocess.Popen(
        command, env=surroundings(home), cwd=home.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 5


def test_an_expert_that_is_not_there_is_named_and_what_follows_from_it_is_not(home: Path) -> None:
    refused = run(home, "ask", QUESTION, "--expert", "nobody")
    assert refused.returncode == 4
    assert "nobody" in refused.stdout
    assert "what it needs was missing" not in refused.stdout
    assert refused.stderr == ""


def test_escape_sequences_of_a_document_do_not_reach_the_terminal(home: Path) -> None:
    text = "The zebrafish marker\x1b[31m \x1b]0;owned\x07 glows green at night in the laboratory of Bergen."
    document = home.parent / "corpus.jsonl"
    document.write_text(json.dumps({"id": "glow", "title": "\x1b]0;owned\x07", "text": text}) + "\n", encoding="utf-8")
    assert run(home, "ingest", str(document)).returncode == 0
    answered = run(home, "ask", "Which colour does the zebrafish marker glow at night?", "--sources")
    assert "glows green" in answered.stdout
    assert not {"\x1b", "\x07"} & set(answered.stdout)


def test_files_of_one_name_in_two_folders_are_two_documents(home: Path) -> None:
    for folder, soil in (("x", "alpha soil"), ("y", "beta clay")):
        (home.parent / "burrows" / folder).mkdir(parents=True)
        (home.parent / "burrows" / folder / "a.txt").write_text(f"The wombat digs its burrows in {soil}.")
    taken = json.loads(run(home, "ingest", "burrows", "--tenant", "zoo", "--json").stdout)
    assert (taken["added"], taken["failed"]) == (2, [])
    answered = run(home, "ask", "Where does the wombat dig its burrows?", "--tenant", "zoo", "--sources").stdout
    assert "x/a.txt" in answered
    assert "y/a.txt" in answered


def test_ctrl_c_in_mid_stream_keeps_what_was_said(home: Path) -> None:
    with ModelServer() as server:
        server.default = Reply("HDL is low [1]. " * 500, tokens_per_second=20)
        model: dict[str, Any] = {"VITAL_MODEL": "m", "VITAL_MODEL_URL": server.base_url, "OPENAI_API_KEY": "x"}
        process = subprocess.Popen(
            [*VITAL, "ask", QUESTION],
            env=surroundings(home, **model),
            cwd=home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.read(16)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, errors = process.communicate(timeout=120)
        assert time.monotonic() - began < 60, "the answer would have taken 100 s"
    assert process.returncode == 130
    assert b"Traceback" not in errors
    (newest,) = json.loads(run(home, "runs", "list", "--limit", "1", "--json").stdout)
    assert newest["status"] == "partial"
    kept = json.loads(run(home, "runs", "show", newest["run_id"]).stdout)
    assert kept["text"].startswith("HDL is low [1].")
