"""No character that a person cannot see reaches them as nothing, in the terminal or over HTTP."""

from __future__ import annotations

import io
import json
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vital_engine.api.approvals import approval_body
from vital_engine.cli import render, screen
from vital_engine.nouns import Approval, Question, ToolCall
from vital_engine.nouns.transitions import hash_of
from vital_engine.store import ApprovalLine
from vital_engine.testing import run_virtual, scripted
from vital_engine.text.visible import arguments, exact, hidden, visible

from .conftest import MODES, Foreign

# Of the Unicode Character Database, DerivedCoreProperties.txt: Default_Ignorable_Code_Point.
IGNORABLE = """
00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8
1BCA0-1BCA3 1D173-1D17A E0000-E0FFF
"""
# Characters of other kinds whose glyph is blank: Braille, joiners, fillers, a note without a head, other blanks.
BLANK = """
00A0 1680 2000-200A 2028-2029 202F 205F 3000 2800 2D7F 1107F 13441-13442 16FE4 1D159
"""
CONTROLS = "0000-0008 000B-001F 007F-009F D800-DFFF E000 F8FF FFFE-FFFF 10FFFF"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def points(table: str) -> list[str]:
    found: list[str] = []
    for part in table.split():
        first, _, last = part.partition("-")
        found += map(chr, range(int(first, 16), int(last or first, 16) + 1))
    return found


UNSEEN = [*points(IGNORABLE), *points(BLANK), *points(CONTROLS)]


def test_every_one_of_them_is_hidden_and_written_out_by_both_faces() -> None:
    assert len(UNSEEN) > 6_000
    for c in UNSEEN:
        number = f"‹U+{ord(c):04X}›"
        assert hidden(c), number
        assert exact(f"a{c}b") == f"a{number}b"
        assert arguments({"x": f"a{c}b"}) in (f'x = "a{number}b"', f"x = {json.dumps(f'a{c}b')}")
        assert c not in visible(f"a{c}b") and json.loads(visible(f"a{c}b")) == f"a{c}b"


def approval(text: str) -> Approval:
    call = ToolCall("id-1", f"send{text}", {"to": f"a{text}b", f"n{text}": 1}, f"because{text}")
    return Approval(call, "r", hash_of(call.arguments), "id-1", NOW, NOW)


@pytest.mark.parametrize(
    "c", ["\u3164", "\u115f", "\u1160", "\u2800", "\uffa0", "\ufe0f", "\u034f", "\u17b4", "\U000e0100"]
)
def test_in_the_frame_on_the_list_and_over_http(c: str) -> None:
    out = io.StringIO()
    screen.call(Console(file=out, width=120, color_system=None), approval(c), number=1, of=1)
    body = approval_body(ApprovalLine(approval(c), "paused", 1, "q", None, (1, 1)))
    shown = [out.getvalue(), *body.visible.model_dump().values()]
    assert all(c not in each for each in shown)
    assert out.getvalue().count(f"‹U+{ord(c):04X}›") == 4
    assert all(json.dumps(c)[1:-1] in each for each in body.visible.model_dump().values())


def test_the_name_of_an_argument_cannot_make_a_line_of_its_own() -> None:
    assert arguments({"a\nto": 1}) == "a\\nto = 1"


@given(st.text(st.characters()))
def test_what_is_seen_stays_as_it_is_and_the_rest_is_written_out(text: Any) -> None:
    shown = exact(text)
    assert not any(hidden(c) for c in shown.replace("\n", ""))
    seen = [c for c in text if not hidden(c)]
    assert [c for c in seen if c not in shown] == []
    assert not {unicodedata.category(c) for c in shown.replace("\n", "")} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert json.loads(visible(text)) == text


@pytest.mark.parametrize(
    "text", ["naïve café, 日本語 – “x”", "हिन्दी עברית ไทย မြန်မာ", "a\u0301 😀 ½ ™", "12 µmol/l ≤ 3"]
)
def test_words_of_any_script_stay_as_they_are(text: str) -> None:
    assert exact(text) == text
    assert visible(text) == json.dumps(text, ensure_ascii=False)


def test_below_a_paused_answer_of_the_command_line() -> None:
    tool_suggester = Foreign({"to": "a\u3164b"}, tool="send\u2800", more={"reason": "because\ufe0f"})
    services = replace(scripted(), tool_suggester=tool_suggester)
    shown = render.report(run_virtual(MODES[1](services, watchers=()).execute(Question("x", "t", "u"))))
    assert not {"\u3164", "\u2800", "\ufe0f"} & set(shown)
    assert all(f"‹U+{number}›" in shown for number in ("3164", "2800", "FE0F"))
