"""Nouns as plain, versioned JSON and back: nothing is lost, and nothing wrong is let in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow, errors
from vital_engine.errors import ModelUnavailable, RetrievalError, ServiceError, WrongType
from vital_engine.flow import Degraded, Done, Failed, Skipped
from vital_engine.nouns import (
    Answer,
    Cost,
    Draft,
    Effect,
    Evidence,
    Question,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSuggestions,
    Usage,
)
from vital_engine.nouns.codec import VERSION, Unkept, outcome_from, outcome_json, read, write
from vital_engine.testing import run_virtual, scripted
from vital_engine.testing.scripted import EVIDENCE, MEMORY, SUGGESTIONS

NOUNS = [
    Question(text="x", tenant="t", user="u", conversation="c"),
    EVIDENCE,
    Evidence.missing(),
    SUGGESTIONS,
    ToolSuggestions(
        (ToolCall("1", "t", {"a": [1, {"b": None}]}, cost_usd=Decimal("0.10"), effect=Effect.EFFECT, tainted=True),)
    ),
    MEMORY,
    ToolResults((ToolResult(SUGGESTIONS.tool_calls[0], "done", "42", {"figure": 42}),)),
    Draft("text", "m", "p", "stop", Usage(1, 2, 0, 0, True)),
    Cost.missing(),
]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: type(noun).__name__)
def test_a_noun_comes_back_as_it_was(noun: Any) -> None:
    written = json.loads(json.dumps(write(noun)))
    assert read(type(noun), written) == noun
    assert (written["vital"], written["noun"]) == (VERSION, type(noun).__name__)
    assert read(type(noun), noun) is noun


@given(st.text(), st.text(), st.decimals(allow_nan=False, allow_infinity=False))
def test_any_text_and_any_amount_come_back(text: str, name: str, amount: Decimal) -> None:
    suggestions = ToolSuggestions((ToolCall("1", name, {"a": text}, cost_usd=amount),))
    assert read(ToolSuggestions, json.loads(json.dumps(write(suggestions)))) == suggestions


@pytest.mark.parametrize("script", [{}, {"retrieve": RetrievalError("down")}, {"reply": RuntimeError("secret")}])
def test_an_answer_comes_back_with_what_each_step_made(script: Any) -> None:
    question = Question(text="x", tenant="t", user="u", run_id="r")
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(**script)).execute(question))
    written = json.loads(json.dumps(write(answer)))
    back = read(type(answer), written)
    assert back.receipt() == answer.receipt()
    assert back.outcomes["retrieve"] == answer.outcomes["retrieve"] or script
    assert (back.code, back.status, back.cost) == (answer.code, answer.status, answer.cost)


@pytest.mark.parametrize("script", [{}, {"retrieve": RetrievalError("down")}, {"reply": RuntimeError("secret")}])
def test_a_receipt_that_was_read_says_the_same_again(script: Any) -> None:
    question = Question(text="x", tenant="t", user="u", run_id="r")
    services = scripted(
        **{
            "retrieve": (0.1, replace(EVIDENCE, cached=True)),
            "suggest": (0.1, replace(SUGGESTIONS, cached=True)),
            **script,
        }
    )
    receipt = run_virtual(Mode2AutomaticWorkflow(services).execute(question)).receipt()
    assert receipt["cached"] == [step for step in ("retrieve", "suggest") if step not in script]
    written = json.loads(json.dumps(receipt))
    assert Answer.from_receipt(written).receipt() == receipt


def test_a_paused_answer_comes_back_with_its_approvals() -> None:
    question = Question(text="x", tenant="t", user="u", run_id="r")
    answer = run_virtual(Mode1ManualWorkflow(scripted()).execute(question))
    assert answer.status == "paused"
    assert read(type(answer), json.loads(json.dumps(write(answer)))).approvals == answer.approvals


@pytest.mark.parametrize(
    "outcome",
    [
        Done("made", 0.1, 0.2, 0.3),
        Skipped("known", "made", True, 0.1, 0.2, 0.3),
        Skipped("'brief' made nothing"),
        Degraded("fallback", RetrievalError("down", service="search", retryable=True), "error", 0.1, 0.2, 0.3),
        Failed(TimeoutError("late"), "timeout", 0.1, 0.2, 0.3),
        Failed(asyncio.CancelledError(), "cancelled"),
    ],
)
def test_an_outcome_comes_back_without_what_was_made(outcome: Any) -> None:
    back = outcome_from(json.loads(json.dumps(outcome_json(outcome))))
    assert type(back) is type(outcome)
    assert (back.seconds, back.began, back.ended) == (outcome.seconds, outcome.began, outcome.ended)
    assert back.value == (None if outcome.value is None else Unkept("str"))
    assert outcome_json(back) == outcome_json(outcome)
    for said in ("reason", "because", "known"):
        assert getattr(back, said, None) == getattr(outcome, said, None)
    if hasattr(outcome, "error"):
        assert type(back.error) is type(outcome.error)


def test_an_outcome_gets_back_what_was_made_where_that_is_at_hand() -> None:
    written = outcome_json(Done(EVIDENCE, 0.1))
    assert outcome_from(written, {"Evidence": EVIDENCE}).value is EVIDENCE
    assert outcome_from(outcome_json(Done(replace(EVIDENCE, cached=True)))).value == Unkept("Evidence", cached=True)


def test_the_text_of_a_foreign_error_is_not_written_down() -> None:
    written = json.dumps(outcome_json(Failed(ValueError("the patient's name"), "error")))
    assert "patient" not in written
    back = outcome_from(json.loads(written))
    assert (repr(back.error), back.code) == ("ForeignError('ValueError')", "ValueError")


@pytest.mark.parametrize("name", sorted(errors.__all__))
def test_every_error_of_ours_comes_back_as_itself(name: str) -> None:
    error = getattr(errors, name)("why")
    if isinstance(error, ServiceError):
        error.service, error.retryable = "search", True
    back = outcome_from(json.loads(json.dumps(outcome_json(Failed(error, "error"))))).error
    assert (type(back), str(back), vars(back)) == (type(error), "why", vars(error))


def test_a_question_may_come_as_a_client_sends_it() -> None:
    sent = {"text": "x", "tenant": "t", "user": "u", "limits": {"passages": 3, "cost_usd": "0.50"}}
    question = read(Question, sent)
    assert (question.limits.passages, question.limits.cost_usd) == (3, Decimal("0.50"))


@pytest.mark.parametrize("sent", ["text", 7, [], {"text": "x"}, {"text": "x", "tenant": 1, "user": "u"}])
def test_what_is_no_question_is_refused_without_quoting_it(sent: Any) -> None:
    with pytest.raises(WrongType) as refused:
        read(Question, sent)
    assert "input_value" not in str(refused.value)


def _with(change: Mapping[str, Any]) -> dict[str, Any]:
    return {**write(EVIDENCE), **change}


@pytest.mark.parametrize(
    "written",
    [
        _with({"vital": VERSION + 1}),
        _with({"noun": "ToolSuggestions"}),
        _with({"value": {"passages": [{"text": "no id"}]}}),
        {"vital": VERSION},
        "Evidence",
    ],
)
def test_what_is_no_such_noun_is_refused(written: Any) -> None:
    with pytest.raises(WrongType, match="Evidence"):
        read(Evidence, written)


@pytest.mark.parametrize(
    "written", [{}, {"kind": "done"}, "done", {"kind": "odd", "seconds": 0, "began": 0, "ended": 0}]
)
def test_what_is_no_outcome_is_refused(written: Any) -> None:
    with pytest.raises(WrongType):
        outcome_from(written)


def test_a_model_that_cannot_be_reached_is_still_that_after_a_checkpoint() -> None:
    error = outcome_from(outcome_json(Failed(ModelUnavailable("down"), "error"))).error
    assert isinstance(error, ModelUnavailable)


# -- what older engines wrote; whole stores, checkpoints and receipts of one are in tests/integration/written_before
OLD_MENU = {"proposals": [{"id": "1", "tool": "t", "arguments": {"menu": 1}}], "failed": False, "cached": False}


@pytest.mark.parametrize(
    "written",
    [{"vital": 1, "noun": "Menu", "value": OLD_MENU}, {"version": 1, "value": OLD_MENU}],
    ids=["a checkpoint's envelope", "the store's"],
)
def test_form_1_is_read_and_free_form_data_in_it_is_left_alone(written: Any) -> None:
    assert read(ToolSuggestions, written) == ToolSuggestions((ToolCall("1", "t", {"menu": 1}),))


def test_a_store_of_a_newer_engine_is_refused() -> None:
    with pytest.raises(WrongType, match="reads up to"):
        read(ToolSuggestions, {"version": VERSION + 1, "value": OLD_MENU})


def test_what_never_ran_has_made_nothing_whatever_it_would_have_made() -> None:
    row = {"kind": "skipped", "made": "Evidence", "because": "'brief' made nothing", "known": False}
    outcome = outcome_from({**row, "seconds": 0, "began": 0, "ended": 0}, {"Evidence": EVIDENCE})
    assert outcome.value is None and not outcome.made
