"""The command line in processes of their own: ask, pause, list, decide; and a conversation by piped input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vital_engine.errors import InvalidArguments
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.text.visible import arguments, exact, json_object, safe


@pytest.fixture
def vital(database_server: EmbeddedServer, database: str, tmp_path: Path) -> Any:
    """``vital(*arguments, typed="")`` -> the finished process."""
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith("VITAL_") and k != "DATABASE_URL"},
        "DATABASE_URL": database_server.url(database=database),
        "VITAL_HOME": str(tmp_path),
        "VITAL_EMBEDDER": "none",
    }

    def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from vital_engine.cli import main; main()", *words]
        return subprocess.run(
            command, input=typed, capture_output=True, text=True, timeout=240, check=False, env=environ, cwd=tmp_path
        )

    return run


def test_a_question_pauses_says_how_to_go_on_and_goes_on_in_another_process(vital: Any) -> None:
    asked = vital("ask", "--mode", "1", "Please calculate 12*7+3.")
    assert asked.returncode == 3, asked.stderr
    assert 'expression = "12*7+3"' in asked.stdout
    (waiting,) = json.loads(vital("approvals", "list", "--json").stdout)
    assert (waiting["status"], waiting["question"]) == ("proposed", "Please calculate 12*7+3.")
    call_id = waiting["tool_call"]["id"]
    assert f"vital approvals approve {call_id}" in asked.stdout
    refused = vital("approvals", "approve", call_id, "--arguments", '{"expression": 5}')
    assert refused.returncode == 2
    edited = vital("approvals", "approve", call_id, "--arguments", '{"expression": "2*3"}')
    assert edited.returncode == 0, edited.stderr
    assert "2*3 = 6" in edited.stdout
    assert "Nothing waits" in vital("approvals", "list").stdout
    otherwise = vital("approvals", "reject", call_id)
    assert (otherwise.returncode, "approved" in otherwise.stderr or "edited" in otherwise.stderr) == (4, True)
    assert vital("approvals", "approve", "call_none").returncode == 4


def test_a_conversation_by_piped_input(vital: Any) -> None:
    typed = "calculate 3*3\nr\nnot now\ncalculate 4*4\nl\napprove\na\n/nothing\n/quit"
    talk = vital("chat", "--mode", "3", typed=typed)
    assert talk.returncode == 0, talk.stderr
    first, rest = talk.stdout.split("not called, not now")
    assert "3*3 = 9" not in first
    assert "Left for later" in rest
    queued, answered = rest.split("Your message is queued")
    assert "4*4 = 16" not in queued  # the message said "approve", and was none
    assert "4*4 = 16" in answered
    assert "There is no /nothing" in answered


def test_a_conversation_is_taken_up_where_something_waits(vital: Any) -> None:
    first = vital("chat", "--conversation", "c1", typed="calculate 3*3\nl\n")
    assert "Left for later" in first.stdout
    second = vital("chat", "--conversation", "c1", typed="a\n/quit\n")
    assert "Still open: calculate 3*3" in second.stdout
    assert "3*3 = 9" in second.stdout


def test_a_mode_that_is_none_is_refused(vital: Any) -> None:
    assert vital("chat", "--mode", "7").returncode == 2


def test_what_would_steer_a_terminal_or_hide_is_shown() -> None:
    trojan = "access\u202e \u2066// admin\u2069\x1b[2J\u200b\u00a0x"
    assert safe(trojan) == "access‹U+202E› ‹U+2066›// admin‹U+2069›‹U+001B›[2J\u200b\u00a0x"
    assert exact(trojan) == "access‹U+202E› ‹U+2066›// admin‹U+2069›‹U+001B›[2J‹U+200B›‹U+00A0›x"
    assert exact("naïve café, 日本語, 😀 – “x”") == "naïve café, 日本語, 😀 – “x”"
    assert arguments({"b": "a\x1b\u202e", "a": 1.0}) == 'a = 1.0\nb = "a\\u001b‹U+202E›"'
    assert arguments({"to": "x\ny = 2"}) == 'to = "x\\ny = 2"'
    assert arguments({}) == "(none)"


@pytest.mark.parametrize("typed", ["", "{", "[1]", "3"])
def test_arguments_that_are_no_object_are_refused(typed: str) -> None:
    assert json_object('{"a": 1}') == {"a": 1}
    with pytest.raises(InvalidArguments):
        json_object(typed)
