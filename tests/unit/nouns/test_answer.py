"""An answer as text, for a debugger, and for a notebook: what comes from a model or a document is escaped there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vital_engine import Mode2AutomaticWorkflow
from vital_engine.flow import run_virtual
from vital_engine.nouns import Answer, Citation, Citations, Quality, Question, Timing
from vital_engine.testing import scripted

QUESTION = Question("Why?", tenant="t", user="u", run_id="r")
EVIL = "<script>alert('x')</script>"


def answer(**changes: Any) -> Answer:
    made = run_virtual(Mode2AutomaticWorkflow(scripted(), watchers=()).execute(QUESTION))
    return replace(made, **changes)


CITED = Citations(
    (
        Citation(2, "weak", 1, "p2", "d2", page=4, quote="It rose."),
        Citation(1, "verified", 0, "p1", "d1", "A trial", quote="It fell."),
        Citation(9, "dangling", 1),
        Citation(2, "verified", 2, "p2", "d2", page=4, quote="A later quote."),
    )
)


def test_its_text_is_followed_by_what_its_numbers_stand_for() -> None:
    said = str(answer(text="It fell [1]. It rose [2][9].", citations=CITED))
    assert said == (
        'It fell [1]. It rose [2][9].\n\n[1] A trial (verified): "It fell."\n[2] d2, p. 4 (weak): "It rose."'
    )
    assert str(answer(text="Nobody knows.", citations=Citations())) == "Nobody knows."


def test_its_repr_is_one_line_with_what_one_looks_for_first() -> None:
    timing = Timing(total=2.01875)
    made = answer(text="It fell.\n" + "x" * 100, citations=CITED, quality=Quality(0.876), timing=timing)
    assert repr(made) == f"<Answer complete {'It fell.' + chr(10) + 'x' * 48 + '...'!r} citations=3 quality=0.88 2.02s>"
    assert "quality=unknown" in repr(replace(made, quality=Quality()))


def test_in_a_notebook_nothing_of_it_is_markup() -> None:
    evil = Citations((Citation(1, EVIL, 0, "p", title=f"A {EVIL}", quote=f"said {EVIL}"),))  # type: ignore[arg-type]
    html = answer(text=f"It fell {EVIL}.\n\nIt rose.", citations=evil, warnings=(f"beware {EVIL}",))._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4
    assert html.startswith("<p>It fell &lt;script&gt;") and "<p>It rose.</p>" in html
    assert "<li value='1'>A &lt;script" in html and "<ul class=warnings><li>beware" in html
    plain = answer(text="It fell.", citations=Citations(), warnings=())._repr_html_()
    assert "<ol>" not in plain and "<ul" not in plain
