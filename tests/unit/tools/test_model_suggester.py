"""A model suggests tool calls: what it is asked, what of its answer counts, what stands instead, and what is paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from vital_engine.errors import ConfigError, ModelUnavailable
from vital_engine.flow import run_in_background
from vital_engine.nouns import (
    Brief,
    Call,
    FunctionCall,
    FunctionCalls,
    Memory,
    PastTurn,
    Question,
    ToolSuggestions,
    Usage,
)
from vital_engine.nouns.provenance import marked
from vital_engine.ports import EarlySuggester, FunctionCalling, ToolSuggester
from vital_engine.services.caching import Cache, CachedToolSuggester
from vital_engine.services.tools import ModelSuggester, Toolbox, tool
from vital_engine.services.tools.model_suggester import OFFERED, messages, provenance

Briefed = Callable[..., Brief]

ASKED = "How much is left of 80 mg after 3 half-lives? Ask for Ann."
USAGE = Usage(input=300, output=20)


def half_life_left(dose_mg: float, half_lives: int) -> float:
    """What is left of a dose after some half-lives."""
    return dose_mg / 2.0**half_lives


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


@dataclass
class Model:
    """Fulfils FunctionCalling: answers with ``calls``, or raises."""

    calls: tuple[FunctionCall, ...] = ()
    error: Exception | None = None
    model: str = "small"
    provider: str = "house"
    asked: list[tuple[Sequence[Mapping[str, str]], Sequence[Mapping[str, Any]]]] = field(default_factory=list)
    seconds: float = 0.0

    async def function_calls(
        self, messages: Sequence[Mapping[str, str]], functions: Sequence[Mapping[str, Any]]
    ) -> FunctionCalls:
        self.asked.append((messages, functions))
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return FunctionCalls(self.calls, USAGE, "small-2026", "house")


def question(text: str = ASKED, run_id: str = "run1", memory: Memory | None = None) -> Question:
    return Question(text, "t1", "u1", run_id=run_id, memory=memory)


def box(*more: Callable[..., Any]) -> Toolbox:
    return Toolbox([half_life_left, greet, *more], model=True)


def paid(status: str, run_id: str = "run1", usage: Usage | None = None, model: str = "small") -> Call:
    return Call(run_id, "", model, "house", usage, status)  # the turn says for which of its steps


def calls(suggestions: ToolSuggestions) -> list[tuple[str, Mapping[str, Any]]]:
    return [(tool_call.tool, tool_call.arguments) for tool_call in suggestions.tool_calls]


SPELLED = ("half_life_left", {"dose_mg": 80.0, "half_lives": 3})


async def all_menus(
    tool_suggester: ModelSuggester, brief: Brief, asked: Question | None = None
) -> list[ToolSuggestions]:
    return [suggestions async for suggestions in tool_suggester.suggestions(asked or question(), brief)]


def test_it_fulfils_its_ports() -> None:
    assert isinstance(Model(), FunctionCalling)
    tool_suggester = ModelSuggester(Model(), box())
    assert isinstance(tool_suggester, ToolSuggester)
    assert isinstance(tool_suggester, EarlySuggester)


async def test_what_the_question_spells_out_stands_until_the_model_has_answered(brief: Briefed) -> None:
    counted: list[str] = []
    model = Model(
        (FunctionCall("greet", '{"name": "Ann"}'), FunctionCall("half_life_left", '{"dose_mg":40,"half_lives":1}'))
    )
    first, last = await all_menus(ModelSuggester(model, box(), count=counted.append), brief())
    assert (calls(first), first.calls) == ([SPELLED], (paid("cancelled"),))
    assert calls(last) == [("greet", {"name": "Ann"}), ("half_life_left", {"dose_mg": 40.0, "half_lives": 1})]
    assert last.calls == (paid("done", usage=USAGE, model="small-2026"),)
    assert [p.reason for p in last.tool_calls] == ["the model small suggests it"] * 2
    assert not any(p.tainted for p in last.tool_calls)
    assert counted == ["proposed", "proposed"]
    (asked,) = model.asked
    assert [each["name"] for each in asked[1]] == ["half_life_left", "greet"]
    assert asked[1][0]["parameters"] == box()["half_life_left"].schema
    assert [each["role"] for each in asked[0]] == ["system", "user"]
    assert asked[0][1]["content"] == ASKED


async def test_a_model_that_asks_for_nothing_means_nothing(brief: Briefed) -> None:
    last = (await all_menus(ModelSuggester(Model(), box()), brief()))[-1]
    assert (calls(last), last.failed) == ([], False)
    assert last.calls == (paid("done", usage=USAGE, model="small-2026"),)


@pytest.mark.parametrize(
    ("asked", "became"),
    [
        (FunctionCall("rm", "{}"), "unknown_tool"),
        (FunctionCall("greet", "{not json"), "invalid_arguments"),
        (FunctionCall("greet", "[]"), "invalid_arguments"),
        (FunctionCall("greet", "null"), "invalid_arguments"),
        (FunctionCall("greet", "[" * 100_000), "invalid_arguments"),
        (FunctionCall("greet", '{"name": 3}'), "invalid_arguments"),
        (FunctionCall("greet", '{"name": "Ann", "extra": 1}'), "invalid_arguments"),
        (FunctionCall("half_life_left", '{"dose_mg": "80", "half_lives": 3}'), "invalid_arguments"),
        (FunctionCall("half_life_left", '{"dose_mg": NaN, "half_lives": 3}'), "invalid_arguments"),
        (FunctionCall("half_life_left", '{"dose_mg": 80, "half_lives": 2.5}'), "invalid_arguments"),
    ],
)
async def test_what_cannot_be_called_is_dropped_and_counted(asked: FunctionCall, became: str, brief: Briefed) -> None:
    counted: list[str] = []
    good = FunctionCall("greet", '{"name": "Ann"}')
    last = (await all_menus(ModelSuggester(Model((asked, good, good)), box(), count=counted.append), brief()))[-1]
    assert calls(last) == [("greet", {"name": "Ann"})]  # once
    assert counted == [became, "proposed", "proposed"]
    # Where nothing is left, what the question spells out stands, and the call is paid for.
    last = (await all_menus(ModelSuggester(Model((asked,)), box()), brief()))[-1]
    assert calls(last) == [SPELLED]
    assert last.calls == (paid("done", usage=USAGE, model="small-2026"),)
    assert not last.failed


async def test_a_tool_that_the_expert_may_not_use_is_neither_shown_nor_taken(brief: Briefed) -> None:
    counted: list[str] = []
    model = Model((FunctionCall("greet", '{"name": "Ann"}'),))
    await all_menus(ModelSuggester(model, box(), count=counted.append), brief("half_life_left"))
    assert [each["name"] for each in model.asked[0][1]] == ["half_life_left"]
    assert counted == ["unknown_tool"]
    (suggestions,) = await all_menus(ModelSuggester(model, box()), brief("none_of_these"))
    assert suggestions == ToolSuggestions()  # nothing to choose among: nothing is asked, and nothing paid
    assert len(model.asked) == 1


async def test_where_it_fails_what_was_matched_stands_and_the_call_is_told(brief: Briefed) -> None:
    counted: list[str] = []
    tool_suggester = ModelSuggester(Model(error=ModelUnavailable("HTTP 500")), box(), count=counted.append)
    seen = ToolSuggestions()
    with pytest.raises(ModelUnavailable):
        async for suggestions in tool_suggester.suggestions(question(), brief()):
            seen = suggestions
    assert (calls(seen), seen.calls) == ([SPELLED], (paid("failed"),))
    assert counted == ["failed"]
    suggestions = await tool_suggester.suggest(question(), brief())
    assert (calls(suggestions), suggestions.calls) == ([SPELLED], (paid("failed"),))


async def test_a_matcher_that_fails_leaves_it_to_the_model(brief: Briefed) -> None:
    class Broken:
        async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
            raise ModelUnavailable("no embedder")

    model = Model((FunctionCall("greet", '{"name": "Ann"}'),))
    first, last = await all_menus(ModelSuggester(model, box(), matcher=Broken()), brief())
    assert first.failed
    assert calls(last) == [("greet", {"name": "Ann"})]


async def test_a_question_that_was_asked_before_is_not_paid_again(brief: Briefed) -> None:
    model = Model((FunctionCall("greet", '{"name": "Ann"}'),), seconds=0.01)

    def cached(asked: Any) -> CachedToolSuggester:
        return CachedToolSuggester(asked, Cache("suggestions", entries=8, start=run_in_background))

    tool_suggester = ModelSuggester(model, box(), cached=cached)
    first, same_time = await asyncio.gather(
        tool_suggester.suggest(question(), brief()), tool_suggester.suggest(question(run_id="run2"), brief())
    )
    later = await tool_suggester.suggest(question(run_id="run3"), brief())
    assert len(model.asked) == 1
    # Which of the two came first is not ours to say: one of them is charged.
    assert (len(first.calls) + len(same_time.calls), len(later.calls)) == (1, 0)
    assert (first.cached is not same_time.cached, later.cached) == (True, True)
    assert len({suggestions.tool_calls[0].id for suggestions in (first, same_time, later)}) == 3
    # Another model is another cache, and what failed is not kept.
    model.model = "other"
    await tool_suggester.suggest(question(run_id="run4"), brief())
    assert len(model.asked) == 2
    model.model, model.calls = "third", (FunctionCall("rm", "{}"),)
    for run in ("run5", "run6"):
        assert (await tool_suggester.suggest(question(run_id=run), brief())).calls
    assert len(model.asked) == 4


async def test_a_conversation_that_was_handed_in_is_read_and_marks_what_comes_of_it(brief: Briefed) -> None:
    memory = Memory((PastTurn("Who is she?", "She is Ann."),), summary="They spoke of names.", facts=("is polite",))
    asked = question("Greet her.", memory=memory)
    assert provenance(asked) == ("question", "conversation")
    said = messages(asked)[1]["content"]
    for part in ("They spoke of names.", "is polite", "User: Who is she?", "Assistant: She is Ann."):
        assert part in said
    assert said.endswith("Question:\nGreet her.")
    assert provenance(question(memory=Memory())) == ("question",)

    model = Model((FunctionCall("greet", '{"name": "Ann"}'),))
    cache: list[Any] = []

    def cached(asked: Any) -> ToolSuggester:
        cache.append(asked)
        return CachedToolSuggester(asked, Cache("suggestions", entries=8, start=run_in_background))

    tool_suggester = ModelSuggester(model, box(), cached=cached)
    for _ in range(2):  # another conversation may say something else: nothing is kept
        suggestions = await tool_suggester.suggest(asked, brief())
        assert [p.tainted for p in marked(suggestions, asked).tool_calls] == [True]
        assert suggestions.calls
    assert len(model.asked) == 2


async def test_of_many_tools_the_nearest_are_shown(brief: Briefed) -> None:
    def numbered(number: int) -> Callable[..., Any]:
        def look(x: int) -> int:
            return x

        look.__name__, look.__doc__ = f"look_{number}", f"Look at shelf number {number}."
        return look

    model = Model()
    await all_menus(ModelSuggester(model, box(*map(numbered, range(40)))), brief())
    shown = [each["name"] for each in model.asked[0][1]]
    assert len(shown) == OFFERED
    assert shown[0] == "half_life_left"


def test_a_name_that_no_model_can_call_is_refused() -> None:
    def size(x: int) -> int:
        """How large it is."""
        return x

    for name in ("größe", "s" * 65):
        assert name in Toolbox([tool(name=name)(size)])
        with pytest.raises(ConfigError, match="letters, digits"):
            Toolbox([tool(name=name)(size)], model=True)
