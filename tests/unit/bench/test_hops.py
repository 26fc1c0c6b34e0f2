"""The path of a Question to the model, as a script counts it: the same every time, and longer by HTTP than by the library."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hops import MODES, Hops, count, main
from vital_engine.nouns import Brief, Expert, Prompt, Question
from vital_engine.ports import Services
from vital_engine.text.sentences import split


@pytest.fixture(scope="module")
def library() -> Hops:
    return count(2, "library")


def test_a_path_is_the_same_every_time(library: Hops) -> None:
    assert count(2, "library") == library
    assert library.modules - 1 <= library.switches < library.calls
    assert library.functions <= library.calls and library.packages <= library.switches
    assert sum(times for _, _, times in library.frequent) <= library.switches


def test_http_adds_modules_of_its_own(library: Hops) -> None:
    http = count(2, "http")
    assert http.modules > library.modules and http.switches > library.switches
    reached = {module.split("/")[0] for pair in http.frequent for module in pair[:2]}
    assert "turn" in reached or "flow" in reached


def test_a_pause_that_is_not_needed_is_counted_too(library: Hops) -> None:
    assert count(1, "library").functions > library.functions


PROMPT = Prompt((), Question("Why?", tenant="t1", user="u1"), Brief(Expert("e", "E", "", "")))


class Path:
    """A workflow that makes *before* calls, asks its model, and makes *after* more."""

    def __init__(self, services: Services, before: int, after: int, *, asks: bool = True) -> None:
        self.services, self.before, self.after, self.asks = services, before, after, asks

    async def execute(self, _: Any) -> None:
        for _ in range(self.before):
            split("It fell.")
        if self.asks:
            async for _ in self.services.llm.stream(PROMPT):
                break
        for _ in range(self.after):
            split("It fell.")


def test_what_comes_after_the_model_was_asked_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def calls(before: int, after: int) -> int:
        monkeypatch.setitem(MODES, 9, lambda services, **_: Path(services, before, after))
        return count(9, "library").calls

    one = calls(1, 0) - calls(0, 0)
    assert one > 0
    assert calls(5, 0) == calls(5, 50) == calls(0, 0) + 5 * one


def test_a_turn_that_never_asks_its_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODES, 9, lambda services, **_: Path(services, 1, 1, asks=False))
    with pytest.raises(RuntimeError, match="not asked"):
        count(9, "library")


def test_it_prints_what_it_counts(library: Hops, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--door", "library"])
    said = capsys.readouterr().out.splitlines()
    assert f"{library.switches} switches between modules" in said[0] and len(said) == 1 + len(library.frequent)
    main(["--door", "library", "--json"])
    assert json.loads(capsys.readouterr().out)["switches"] == library.switches
