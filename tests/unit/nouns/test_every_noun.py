"""Every noun as JSON and back, whatever stands in it."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow, nouns
from vital_engine.flow import Done, Skipped, run_virtual
from vital_engine.nouns import Answer, Approval, Paused, Question, Scope
from vital_engine.nouns.codec import Unkept, read, to_json, write
from vital_engine.testing import scripted

NOUNS: list[Any] = [
    noun for name in nouns.__all__ if is_dataclass(noun := getattr(nouns, name)) and name != "TurnEnded"
]
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
    if is_typeddict(kind):
        return st.fixed_dictionaries({name: any_of(each) for name, each in hints.items()})
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


def test_what_is_free_form_is_not_renamed() -> None:
    """Arguments and values of an earlier version's document that have the names of its fields."""
    free_form = {"proposal": {"ruling": 1}, "proposals": [{"finding": 2}], "menu": "a", "settled_at": "noon"}
    call = {"id": "1", "tool": "t", "arguments": free_form}
    result = {"proposal": call, "status": "done", "value": free_form}
    ended = {
        "ruling": {"action": "edit", "arguments": free_form},
        "finding": result,
        "settled_at": "2026-01-02T00:00:00Z",
    }
    asked = {"run_id": "r", "arguments_hash": "h", "key": "k", "expires_at": "2026-01-03T00:00:00Z"}
    written = {"proposal": call, "proposed_at": "2026-01-01T00:00:00Z", **asked, **ended}
    approval = read(Approval, {"version": 1, "value": written})
    assert approval.decision is not None and approval.tool_result is not None
    assert approval.tool_call.arguments == approval.decision.arguments == approval.tool_result.value == free_form
    assert approval.decided_at == datetime(2026, 1, 2, tzinfo=UTC)
    settings = {"question": {"text": "x", "tenant": "t", "user": "u"}, "settings": free_form, "mode": 1, "memory": {}}
    brief = {"expert": {"id": "e", "name": "E", "description": "", "instructions": ""}}
    paused = {**settings, "brief": brief, "evidence": {}, "menu": {"proposals": [call]}, "steps": []}
    assert read(Paused, {"version": 1, "value": paused}).settings == free_form


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
