"""Nouns as JSON and back: each as it was, what an earlier version wrote as it is called today, a newer one refused."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow, errors, nouns
from vital_engine.errors import ForeignError, StepFailed, WrongType, code_of
from vital_engine.flow import Degraded, Done, Failed, Skipped, run_virtual
from vital_engine.nouns import Answer, Approval, Consent, Evidence, Paused, Question, Scope, ToolResults, ToolSuggestions
from vital_engine.nouns.codec import (
    VERSION,
    Unkept,
    error_from,
    error_json,
    outcome_from,
    outcome_json,
    read,
    to_json,
    write,
)
from vital_engine.testing import scripted

NOUNS: list[Any] = [noun for name in nouns.__all__ if is_dataclass(noun := getattr(nouns, name)) and name != "TurnEnded"]
FORM_1: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "form_1" / "documents.json").read_text(encoding="utf-8")
)
"""As the engine wrote them before its words were the field's: of one turn in mode 1, and of one whose model failed."""
QUESTION = Question("Does it lower HbA1c?", tenant="t1", user="u1", run_id="r1")

names = st.text(max_size=8)
numbers = st.floats(-1e9, 1e9)
free = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names, st.lists, max_leaves=4)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: names,
    int: st.integers(-(2**53), 2**53),
    float: numbers,
    bool: st.booleans(),
    Any: free,
    Decimal: st.decimals(-1000, 1000, places=7),
    datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    type(None): st.none(),
    BaseException: st.none(),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of the type *kind*, as a field of a noun has it. Outcomes are left out: they are made of the noun's own."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin is Annotated:
        return any_of(inside[0])
    if origin in (Union, types.UnionType):
        return st.one_of(*map(any_of, inside))
    if origin is Literal:
        return st.sampled_from(inside)
    if origin is tuple:
        return st.lists(any_of(inside[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(names, any_of(inside[1]), max_size=2)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    hints = get_type_hints(kind)
    given_fields = {f.name: any_of(hints[f.name]) for f in fields(kind) if f.name != "outcomes"}
    return st.builds(kind, **given_fields, **({"outcomes": st.just({})} if "outcomes" in hints else {}))


def again(noun: Any) -> Any:
    return read(type(noun), json.loads(json.dumps(write(noun), allow_nan=False)))


@pytest.mark.parametrize("kind", NOUNS, ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(data=st.data())
def test_every_noun_is_read_as_it_was_written(kind: Any, data: Any) -> None:
    noun = data.draw(any_of(kind))
    assert again(noun) == noun


@pytest.mark.parametrize("kind", [Paused, Answer])
@settings(max_examples=30)
@given(data=st.data())
def test_outcomes_come_back_with_what_the_noun_itself_holds(kind: Any, data: Any) -> None:
    noun = data.draw(any_of(kind))
    own = [value for f in fields(noun) if is_dataclass(value := getattr(noun, f.name)) and value is not None]
    times = st.tuples(numbers, numbers, numbers)
    outcome = st.one_of(
        st.builds(lambda value, t: Done(value, *t), st.sampled_from([*own, Unkept("Saved")]), times),
        st.builds(lambda because, t: Skipped(because, None, False, *t), names, times),
        st.builds(lambda value, t: Skipped("known", value, True, *t), st.sampled_from(own), times),
    )
    noun = replace(noun, outcomes=data.draw(st.dictionaries(names, outcome, max_size=3)))
    assert again(noun) == noun


def test_a_product_that_stands_nowhere_leaves_its_class() -> None:
    paused = run_virtual(_paused())
    kept = again(paused)
    assert {name: type(o) for name, o in kept.outcomes.items()} == {n: type(o) for n, o in paused.outcomes.items()}
    assert kept.outcomes["retrieve"] == paused.outcomes["retrieve"]
    assert kept.outcomes["register"].value == Unkept("Registered")
    assert write(kept) == write(paused) == write(again(kept))


async def _paused() -> Paused:
    services = scripted(retrieve=0.5, recall=ValueError("of the patient Miller"))
    await Mode1ManualWorkflow(services, watchers=()).execute(QUESTION)
    assert services.approvals is not None
    return (await services.approvals.look("r1", Scope("t1", "u1"))).paused


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_of_ours_comes_back_by_its_code(name: str) -> None:
    kind = getattr(errors, name)
    for outcome in (Failed(kind("why"), "error"), Degraded(None, kind("why"), "error", 1.0, 2.0, 3.0)):
        kept: Any = outcome_from(json.loads(json.dumps(outcome_json(outcome))))
        assert type(kept.error) is kind
        assert str(kept.error) == "why"
        assert outcome_json(kept) == outcome_json(outcome)


def test_of_a_foreign_error_its_class_is_kept_and_nothing_that_it_says() -> None:
    written = error_json(ValueError("the patient Miller"))
    assert written == {"code": "ValueError"}
    kept = error_from(written)
    assert isinstance(kept, ForeignError)
    assert code_of(kept) == "ValueError"
    assert error_json(kept) == written
    assert isinstance(error_from("TimeoutError"), TimeoutError)
    assert isinstance(error_from(""), StepFailed)


# -- what an earlier version wrote
def test_what_the_first_form_calls_otherwise_is_read() -> None:
    paused = read(Paused, FORM_1["paused"])
    assert [call.id for call in paused.suggestions.tool_calls] == ["call-1", "call-2"]
    assert paused.outcomes["retrieve"] == Done(paused.evidence, 0.5, 0.0, 0.5)
    assert paused.outcomes["suggest"].value == paused.suggestions
    recalled = paused.outcomes["recall"]
    assert (recalled.kind, recalled.reason, recalled.value) == ("degraded", "error", paused.memory)
    edited, rejected = (read(Approval, each) for each in FORM_1["settled"])
    assert edited.decision is not None and edited.tool_result is not None and rejected.decision is not None
    assert (edited.decision.action, edited.status, edited.tool_result.text) == (
        "edit", "done", "the scripted tool says 42"
    )  # fmt: skip
    assert (rejected.decision.action, rejected.decided_at) == ("reject", edited.decided_at)
    assert read(ToolSuggestions, FORM_1["envelope_menu"]) == paused.suggestions
    results = read(ToolResults, FORM_1["envelope_findings"])
    assert results.results == (edited.tool_result,)
    answer = read(Answer, FORM_1["envelope_answer"])
    assert (answer.tool_results, answer.consent) == (results, read(Consent, FORM_1["envelope_consent"]))
    assert answer.outcomes["invoke"].value == results
    assert (answer.approvals, answer.status) == ((edited, rejected), "complete")


def test_what_is_free_form_is_not_renamed() -> None:
    """Arguments and values that happen to have the names of fields of the first form."""
    asked = {"to": "board", "proposal": {"finding": 1}, "menu": ["a"], "settled_at": "noon"}
    edited = read(Approval, FORM_1["settled"][0])
    assert edited.tool_call.arguments == asked
    assert edited.decision is not None and edited.decision.arguments == {**asked, "finding": 2}
    assert read(Paused, FORM_1["paused"]).suggestions.tool_calls[0].arguments == asked
    value = {"proposal": {"ruling": "x"}, "steps": [{"name": "retrieve"}], "proposals": []}
    form_1 = json.loads(json.dumps(FORM_1["envelope_findings"]))
    form_1["value"]["results"][0]["value"] = value
    assert read(ToolResults, form_1).results[0].value == value


@pytest.mark.parametrize(
    "envelope",
    [
        {"vital": VERSION + 1, "noun": "Evidence", "value": {}},
        {"version": VERSION + 1, "value": {}},
        {"vital": 0, "noun": "Evidence", "value": {}},
        {"vital": "2", "noun": "Evidence", "value": {}},
        {"vital": VERSION, "noun": "Memory", "value": {}},
        {"vital": VERSION, "noun": "Evidence"},
        {"vital": VERSION, "noun": "Evidence", "value": {"passages": [{"id": 1}]}},
        {"vital": VERSION, "noun": "Evidence", "value": []},
        [],
        None,
    ],
)
def test_a_newer_form_another_noun_and_what_is_none_are_refused(envelope: Any) -> None:
    with pytest.raises(WrongType):
        read(Evidence, envelope)


def test_what_is_refused_names_fields_and_never_what_stands_in_them() -> None:
    given_question = {"text": "Mrs Miller", "tenant": "t", "user": {"name": "Miller"}}
    with pytest.raises(WrongType) as refused:
        read(Question, given_question)
    assert "user" in str(refused.value)
    assert "Miller" not in str(refused.value)


def test_pydantic_knows_an_answer() -> None:
    """For those who hold an answer in a model of their own."""
    adapter = TypeAdapter(Answer)
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(recall=ValueError("x")), watchers=()).execute(QUESTION))
    plain = adapter.dump_python(answer, mode="json")
    assert plain["outcomes"] == to_json(answer.outcomes)
    kept = adapter.validate_python(json.loads(json.dumps(plain)))
    assert (kept.text, kept.citations, kept.cost, kept.timing) == (
        answer.text, answer.citations, answer.cost, answer.timing
    )  # fmt: skip
    assert kept.receipt()["steps"] == answer.receipt()["steps"]
    assert "outcomes" in adapter.json_schema()["properties"]
