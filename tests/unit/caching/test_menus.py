"""A menu is known again only for the same question of the same expert over the same tools, and its calls are new ones."""

from __future__ import annotations

from dataclasses import replace

from vital_engine.flow import run_virtual, supervise
from vital_engine.nouns import Brief, Expert, Menu, Question
from vital_engine.ports import Suggester
from vital_engine.services.caching import Cache, CachedSuggester
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

    async def suggest(self, question: Question, brief: Brief) -> Menu:
        self.asked += 1
        return self._suggest_now(question, brief)


def make() -> tuple[Counting, CachedSuggester]:
    box = Counting([tool(cues=["double"])(double)])
    return box, CachedSuggester(box, Cache("menu", entries=8, start=supervise))


def ask(suggester: CachedSuggester, question: Question = QUESTION, expert: Expert = EXPERT) -> Menu:
    async def suggest() -> Menu:
        return await suggester.suggest(question, Brief(expert))

    return run_virtual(suggest())


def test_the_same_question_is_read_once_and_says_so() -> None:
    box, suggester = make()
    assert isinstance(suggester, Suggester)
    first, again = ask(suggester), ask(suggester)
    assert box.asked == 1
    assert [p.tool for p in first.proposals] == ["double"]
    assert (first.cached, again.cached) == (False, True)
    assert again.proposals == first.proposals


def test_another_turn_gets_calls_of_its_own_as_the_tools_themselves_would_make_them() -> None:
    box, suggester = make()
    ask(suggester)
    for other in (replace(QUESTION, run_id="r2"), replace(QUESTION, user="u2")):
        known = ask(suggester, other).proposals
        assert known == box._suggest_now(other, Brief(EXPERT)).proposals
        assert known[0].id != ask(suggester).proposals[0].id
    assert box.asked == 1


def test_another_tenant_another_expert_and_other_tools_are_read_anew() -> None:
    box, suggester = make()
    ask(suggester)
    ask(suggester, replace(QUESTION, tenant="t2"))
    ask(suggester, expert=replace(EXPERT, id="cardiologist"))
    none = ask(suggester, expert=replace(EXPERT, tools=("half",)))
    ask(suggester, replace(QUESTION, text="Please double: weight 22"))
    assert box.asked == 5
    assert none.proposals == ()


def test_a_tool_that_is_added_is_seen_by_the_next_question() -> None:
    box, suggester = make()
    question = replace(QUESTION, text="half, weight 4")
    assert ask(suggester, question).proposals == ()
    box.add(tool(cues=["half"])(half))
    assert [p.tool for p in ask(suggester, question).proposals] == ["half"]


def test_a_menu_of_a_failure_is_not_kept() -> None:
    class Down(Counting):
        async def suggest(self, question: Question, brief: Brief) -> Menu:
            self.asked += 1
            return Menu.missing()

    box = Down()
    suggester = CachedSuggester(box, Cache("menu", entries=8, start=supervise))
    assert ask(suggester).failed and ask(suggester).failed
    assert box.asked == 2
