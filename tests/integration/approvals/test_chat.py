"""The conversation in a terminal, in this process: what it shows, what a key decides, and what Ctrl-C stops."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from rich.console import Console

from vital_engine import Mode4ChatAutomaticWorkflow, Question
from vital_engine.cli import render, screen
from vital_engine.cli.ask import decide, show_approvals
from vital_engine.cli.chat import END, chat, followed, read_key, read_line
from vital_engine.errors import ConfigError
from vital_engine.modes import Broken, Token
from vital_engine.nouns import Approval, ApprovalDecision, Effect, ToolCall
from vital_engine.nouns.transitions import hash_of
from vital_engine.settings import Settings
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.testing import scripted
from vital_engine.testing.pauses import EPOCH


@pytest.fixture
def settings(database_server: EmbeddedServer, database: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=database_server.url(database=database), embedder="none")


@pytest.fixture
def talk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``talk("line", "key", ...)`` -> what a terminal of 80 columns showed, without its colours."""

    def run(*typed: str, mode: int = 3, conversation: str | None = None) -> str:
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(typed) + "\n"))
        console = Console(file=out, force_terminal=True, width=80, highlight=False, color_system=None)
        assert chat(settings, mode=mode, expert=None, conversation=conversation, console=console) == 0
        return out.getvalue()

    return run


def test_a_call_is_framed_decided_and_its_result_shown(talk: Callable[..., str]) -> None:
    shown = talk("/help", "/sources", "please calculate 12*7+3", "a", "/sources", "/timeline", "/quit")
    frame, after = shown.split("approve\n", 1)
    assert "your decision" in frame
    assert 'expression = "12*7+3"' in frame
    assert "a calculation: nothing outside is read or changed" in frame
    assert "12*7+3 = 87" not in frame
    assert "12*7+3 = 87" in after
    assert "complete · " in after
    assert "critical path: " in after
    assert "There is no answer yet." in shown
    assert "nothing was retrieved" in after
    assert max(map(len, after.splitlines())) <= 100


def test_an_edit_is_checked_before_anything_is_decided(talk: Callable[..., str]) -> None:
    shown = talk("calculate 3*3", "e", '{"expression": 5}', "e", "{", "e", "", "x", "e", '{"expression": "2*5"}')
    assert "tool.invalid_arguments" in shown
    assert "the arguments are no JSON" in shown
    assert "2*5 = 10" in shown
    assert "3*3 = 9" not in shown


def test_what_is_left_for_later_is_taken_up_and_a_message_behind_it_waits(talk: Callable[..., str]) -> None:
    assert "Left for later" in talk("calculate 3*3", "l", conversation="c1")
    shown = talk("l", "/mode 4", "hello there", "r", "no", "/decide", "/quit", conversation="c1")
    assert "Still open: calculate 3*3" in shown
    assert "First decide what waits" in shown
    _, after = shown.split("Your message is queued")
    assert "not called, no" in after
    assert after.count("complete · ") == 2  # the decided one, and then the message
    assert "Nothing waits for a decision." in after


def test_modes_experts_and_conversations_can_be_changed(talk: Callable[..., str]) -> None:
    shown = talk("/expert research", "/mode 4", "calculate 2*4", "/mode 9", "/new", "/expert", "/what", "", "/quit")
    assert "expert: research" in shown
    assert "mode 4: chat, automatic" in shown
    assert "2*4 = 8" in shown
    assert "setup.config" in shown
    assert "expert: chosen by the engine" in shown
    assert "There is no /what" in shown
    assert len({line for line in shown.splitlines() if line.startswith("conversation ")}) == 2


def test_an_unknown_mode_is_refused_before_anything_is_said(settings: Settings) -> None:
    with pytest.raises(ConfigError):
        chat(settings, mode=7, expert=None, conversation=None)


async def test_calls_are_listed_and_decided_from_the_shell(settings: Settings, capsys: Any) -> None:
    from vital_engine.engine import Engine

    async with Engine(settings, watchers=()) as app:
        scope = app.scope()
        question = Question("please \x1b[2J calculate 3*3", scope.tenant, scope.user)
        paused = await app.workflow(1).execute(question)
    (approval,) = paused.approvals
    assert await show_approvals(settings, limit=5, as_json=False) == 0
    listed = capsys.readouterr().out
    assert approval.id in listed
    assert "\x1b" not in listed
    assert await show_approvals(settings, limit=5, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "proposed"
    assert await decide(approval.id, ApprovalDecision("approve"), settings, as_json=False) == 0
    assert "3*3 = 9" in capsys.readouterr().out
    assert (
        await decide(approval.id, ApprovalDecision("approve"), settings, as_json=False) == 0
    )  # the first outcome again
    assert "3*3 = 9" in capsys.readouterr().out
    assert await decide(approval.id, ApprovalDecision("approve"), settings, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["proposed"][0]["attempts"] == 1


def test_ctrl_c_stops_the_answer_and_not_the_program() -> None:
    services = scripted(reply=120.0, tokens=1200)
    workflow = Mode4ChatAutomaticWorkflow(services, watchers=())
    pressed = threading.Event()
    with start_blocking_portal() as portal:
        turn = portal.call(workflow.start, Question("x", "t", "u"))
        events: list[Any] = []
        for event in followed(portal, turn):
            events.append(event)
            if isinstance(event, Token) and not pressed.is_set():
                pressed.set()
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()  # while the next is waited for
    assert pressed.is_set()
    assert isinstance(events[-1], Broken)
    assert events[-1].code == "turn.cancelled"


def test_a_key_needs_no_enter_and_a_line_can_begin_with_text(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import termios

    master, slave = pty.openpty()

    def press() -> None:  # once it listens: what was typed before the question is dropped, and must not answer it
        while termios.tcgetattr(slave)[3] & termios.ICANON:
            time.sleep(0.005)
        os.write(master, b"A")

    with os.fdopen(slave, "r", encoding="utf-8") as terminal:
        finger = threading.Thread(target=press)
        finger.start()
        assert read_key(terminal) == "a"
        finger.join()
    os.close(master)
    piped = io.StringIO("reject\n")
    assert read_key(piped) == "r"
    assert read_key(piped) == END
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed\n"))
    assert read_line("› ", prefilled="before") == "typed"


def test_words_are_wrapped_between_words_as_they_come() -> None:
    out = io.StringIO()
    words = screen.Words(Console(file=out, force_terminal=True, width=20, color_system=None))
    for piece in ("The qu", "ick brown fox\nju", "mps ov", "er the lazy \x1b[31mdog"):
        words.feed(piece)
    words.close()
    assert out.getvalue() == "The quick brown fox\njumps over the lazy \n‹U+001B›[31mdog\n"


@pytest.mark.parametrize("effect", Effect)
def test_what_a_call_does_to_the_world_is_said(effect: Effect) -> None:
    out = io.StringIO()
    hostile = {"to": "a\u202eb\x1b[2K", "n": 1}
    call = ToolCall("id-1", "send\u200b", hostile, "why", effect=effect, tainted=True, cost_usd=Decimal("0.02"))
    approval = Approval(call, "r", hash_of(hostile), "id-1", EPOCH, EPOCH)
    screen.call(Console(file=out, width=90, color_system=None), approval, number=2, of=3)
    shown = out.getvalue()
    assert screen.RISK[effect] in shown
    assert render.FOREIGN in shown and render.CONSENT not in shown
    assert 'to = "a‹U+202E›b\\u001b[2K"' in shown
    assert "send‹U+200B›" in shown
    assert "$0.02 estimated" in shown
    assert "2 of 3" in shown
