"""A menu is known again only for the same question of the same expert over the same tools, and its calls are new ones."""

from __future__ import annotations

from dataclasses import replace

from vital_engine.flow import run_in_background, run_virtual
from vital_engine.nouns import Brief, Expert, Question, ToolSuggestions
from vital_engine.ports import ToolSuggester
from vital_engine.services.caching import Cache, CachedToolSuggester
from vital_engine.services.tools import Toolbox, tool

EXPERT = Expert("nephrologist", "Nephrologist", "Kidneys.", "Answer.")
QUESTION = Question("Please double: weight 21", tenant="t1", user="u1", run_id="r1")


async def double(weight: float) -> float:
    """Twice a number."""
    return 2 * weight


async def half(weight: float) -> float:
    """Half of a number."""
    return weight / 2


class Counting(Toolbox):
    asked = 0

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        self.asked += 1
        return self._suggest_now(question, brief)


def make() -> tuple[Counting, CachedToolSuggester]:
    box = Counting([tool(cues=["double"])(double)])
    return box, CachedToolSuggester(box, Cache("suggestions", entries=8, start=run_in_background))


def ask(tool_suggester: CachedToolSuggester, question: Question = QUESTION, expert: Expert = EXPERT) -> ToolSuggestions:
    async def suggest() -> ToolSuggestions:
        return await tool_suggester.suggest(question, Brief(expert))

    return run_virtual(suggest())


def test_the_same_question_is_read_once_and_says_so() -> None:
    box, tool_suggester = make()
    assert isinstance(tool_suggester, ToolSuggester)
    first, again = ask(tool_suggester), ask(tool_suggester)
    assert box.asked == 1
    assert [p.tool for p in first.tool_calls] == ["double"]
    assert (first.cached, again.cached) == (False, True)
    assert again.tool_calls == first.tool_calls


def test_another_turn_gets_calls_of_its_own_as_the_tools_themselves_would_make_them() -> None:
    box, tool_suggester = make()
    ask(tool_suggester)
    for other in (replace(QUESTION, run_id="r2"), replace(QUESTION, user="u2")):
        known = ask(tool_suggester, other).tool_calls
        assert known == box._suggest_now(other, Brief(EXPERT)).tool_calls
        assert known[0].id != ask(tool_suggester).tool_calls[0].id
    assert box.asked == 1


def test_another_tenant_another_expert_and_other_tools_are_read_anew() -> None:
    box, tool_suggester = make()
    ask(tool_suggester)
    ask(tool_suggester, replace(QUESTION, tenant="t2"))
    ask(tool_suggester, expert=replace(EXPERT, id="cardiologist"))
    none = ask(tool_suggester, expert=replace(EXPERT, tools=("half",)))
    ask(tool_suggester, replace(QUESTION, text="Please double: weight 22"))
    assert box.asked == 5
    assert none.tool_calls == ()


def test_a_tool_that_is_added_is_seen_by_the_next_question() -> None:
    box, tool_suggester = make()
    question = replace(QUESTION, text="half, weight 4")
    assert ask(tool_suggester, question).tool_calls == ()
    box.add(tool(cues=["half"])(half))
    assert [p.tool for p in ask(tool_suggester, question).tool_calls] == ["half"]


def test_a_menu_of_a_failure_is_not_kept() -> None:
    class Down(Counting):
        async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
            self.asked += 1
            return ToolSuggestions.missing()

    box = Down()
    tool_suggester = CachedToolSuggester(box, Cache("suggestions", entries=8, start=run_in_background))
    assert ask(tool_suggester).failed and ask(tool_suggester).failed
    assert box.asked == 2
