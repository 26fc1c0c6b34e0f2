"""Steps alone: a model that blocks, a turn that nobody keeps, a prompt that holds what it should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from vital_engine.flow import run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import (
    Brief,
    Evidence,
    Expert,
    Limits,
    Memory,
    Passage,
    PastTurn,
    Piece,
    Prompt,
    Question,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSuggestions,
    Usage,
)
from vital_engine.testing import scripted
from vital_engine.turn import compose, drafted, register, save

QUESTION = Question("Why?", tenant="t", user="u", run_id="r")
BRIEF = Brief(Expert("e", "E", "answers", "Be exact."))


class Blocking:
    """A model as a plain generator: each of its pieces may block, and is drawn in a thread."""

    def stream(self, prompt: Prompt) -> Iterator[Piece]:
        yield Piece("It is ", model="plain", provider="vital")
        yield Piece("so [1].", model="plain", provider="vital")
        yield Piece(usage=Usage(10, 4), model="plain", provider="vital", finish="length")


def test_a_model_may_be_a_plain_generator() -> None:
    blocking: Any = Blocking()  # the port is asynchronous
    services = replace(scripted(), llm=blocking)
    answer = run_virtual(Mode2AutomaticWorkflow(services, watchers=()).execute(QUESTION))
    assert (answer.text, answer.draft.model, answer.draft.finish) == ("It is so [1].", "plain", "length")
    assert "length limit" in " ".join(answer.warnings)
    assert answer.cost.usd == Decimal(0)


def test_a_model_that_says_nothing_has_failed() -> None:
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(reply=(0.1, "")), watchers=()).execute(QUESTION))
    assert (answer.status, answer.code) == ("failed", "model.stream_broken")


async def test_a_turn_may_be_kept_by_nobody() -> None:
    assert (await register(None, 2, QUESTION)).run_id == "r"
    services = replace(scripted(), turns=None)
    answer = await Mode2AutomaticWorkflow(services, watchers=()).execute(QUESTION)
    assert (await save(None, answer)).run_id == "r"
    assert answer.degraded == {}


def test_the_prompt_holds_each_part_once_and_in_its_place() -> None:
    call = ToolCall("c", "calculator", {"x": 1})
    prompt = compose(
        replace(QUESTION, limits=Limits(output_tokens=77)),
        BRIEF,
        evidence=Evidence((Passage("p", "Blood pressure fell.", "d", "A trial", 0, 20, 3),)),
        suggestions=ToolSuggestions(),
        memory=Memory((PastTurn("Who?", "She."),), "They spoke of trials.", ("has asthma",)),
        tool_results=ToolResults((ToolResult(call, "done", "42"), ToolResult(call, "timeout"))),
    )
    parts = {s.kind: s.text for s in prompt.segments}
    assert parts["instructions"].startswith("Be exact.")
    for said in ("They spoke of trials.", "has asthma", "User: Who?", "Assistant: She."):
        assert said in parts["conversation"]
    assert "- calculator: 42" in parts["tools"]
    assert "no result (timeout)" in parts["tools"]
    assert parts["evidence"].endswith("[1] A trial, page 3\nBlood pressure fell.")
    assert parts["notes"] == ""
    assert prompt.max_output_tokens == 77
    system, user = prompt.messages()
    assert system["role"] == "system"
    assert user["content"].endswith("Question: Why?")


@pytest.mark.parametrize("error", [None, ValueError("x")])
def test_what_was_said_is_what_the_pieces_say(error: Exception | None) -> None:
    pieces = [
        Piece(usage=Usage(input=9, estimated=True)),
        Piece("a ", model="m", provider="p"),
        Piece("b", model="m", provider="p"),
    ]
    draft = drafted(pieces, error)
    assert (draft.text, draft.model, draft.provider) == ("a b", "m", "p")
    assert draft.finish == ("stop" if error is None else "error")
    assert draft.usage is not None
    assert draft.usage.output > 0
