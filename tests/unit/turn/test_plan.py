"""The table of steps: what it says is what the flows do, and every list of steps is made of it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any, get_type_hints

import pytest

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow, turn
from vital_engine.errors import FlowError, ModelUnavailable
from vital_engine.flow import REASONS, Done, Failed, run_virtual
from vital_engine.langgraph.state import GraphState
from vital_engine.modes import segments
from vital_engine.modes.segments import TurnState
from vital_engine.monitoring import registry
from vital_engine.nouns import Brief, Evidence, Question
from vital_engine.testing import scripted
from vital_engine.turn.plan import (
    BY_NAME,
    EARLY,
    KEYS,
    RETRIEVE,
    STEPS,
    SUGGEST,
    TIER1,
    TIER2,
    TIERS,
    PlannedStep,
    for_user,
    table,
)

QUESTION = Question("Why?", tenant="t", user="u", run_id="r")
MODULES = [importlib.import_module(f"{turn.__name__}.{m.name}") for m in pkgutil.iter_modules(turn.__path__)]
FUNCTIONS: dict[str, Any] = {
    name: found
    for module in (*MODULES, segments)
    for name, found in vars(module).items()
    if inspect.isfunction(found) and found.__module__ == module.__name__ and name in BY_NAME
}
READS_AHEAD = {"instructions": 0.1, "conversation": 0.1, "tools": 0.1}


@pytest.mark.parametrize("planned", STEPS, ids=lambda planned: planned.name)
def test_a_step_is_the_function_of_its_name_and_makes_what_the_table_says(planned: PlannedStep[Any]) -> None:
    assert get_type_hints(FUNCTIONS[planned.name])["return"] is planned.makes


@pytest.mark.parametrize("make", [Mode1ManualWorkflow, Mode2AutomaticWorkflow])
def test_the_flows_of_a_turn_are_made_of_the_table(make: Any) -> None:
    """All of it but ``ask``, which comes before the first, and ``save``, which comes after the last."""
    workflow = make(scripted(reply=1.0, prefill=READS_AHEAD), watchers=())
    parts, settings = workflow.runner.segments, workflow.settings
    whole = make is Mode2AutomaticWorkflow
    flows = [parts.whole(settings)] if whole else [parts.opening(settings), parts.closing(settings)]
    steps = {step.name: step for flow in flows for step in flow.steps}
    left_out = {"ask", "save"} if whole else {"ask", "save", "consent", *EARLY}
    assert set(steps) == set(BY_NAME) - left_out
    for name, step in steps.items():
        planned = BY_NAME[name]
        assert (step.makes, step.policy.tier) == (planned.makes, planned.tier)
        assert (step.fallback_value == planned.fallback()) if planned.fallback else step.recovery or name == "brief"


def test_every_step_runs_under_its_own_name() -> None:
    answer = run_virtual(
        Mode2AutomaticWorkflow(scripted(reply=1.0, prefill=READS_AHEAD), watchers=()).execute(QUESTION)
    )
    assert set(answer.outcomes) == set(BY_NAME) - {"ask"}
    assert all(type(outcome.value) is BY_NAME[name].makes for name, outcome in answer.outcomes.items())


def test_work_of_another_step_is_refused() -> None:
    async def retrieve(question: Question) -> Brief:
        raise AssertionError("not called")

    with pytest.raises(FlowError, match="retrieve"):
        RETRIEVE.of(retrieve)  # type: ignore[arg-type]
    with pytest.raises(FlowError, match="retrieve"):
        SUGGEST.of(retrieve)  # type: ignore[arg-type]


def test_what_a_step_made_is_found_by_it() -> None:
    found = Evidence(index_version="7")
    outcomes: dict[str, Any] = {"retrieve": Done(found), "suggest": Failed(ModelUnavailable("x"), "error")}
    assert RETRIEVE.outcome(outcomes) == Done(found)
    assert RETRIEVE.made(outcomes, Evidence.missing()) is found
    assert RETRIEVE.outcome({}) is None
    assert RETRIEVE.made({}, Evidence.missing()) == Evidence.missing()
    otherwise = SUGGEST.fallback() if SUGGEST.fallback else None
    assert otherwise is not None and SUGGEST.made(outcomes, otherwise) is otherwise


# -- lists that are made of the table
def test_names_products_and_keys_are_each_of_one_step() -> None:
    assert list(BY_NAME) == [planned.name for planned in STEPS]
    for each in ([s.name for s in STEPS], [s.makes for s in STEPS], [s.key for s in STEPS if s.key]):
        assert len(each) == len(set(each))


def test_the_tiers_are_the_steps_that_run_beside_others() -> None:
    assert dict(TIERS) == {TIER1: ("retrieve", "suggest", "recall"), TIER2: ("cite", "assess", "tally")}
    assert {"read_instructions", "read_conversation", "read_tools"} == EARLY


def test_the_state_of_a_graph_has_a_key_for_each_product() -> None:
    beside = {"timing", "outcomes", "answer"}
    assert {*KEYS.values(), *beside} == set(TurnState.__annotations__)
    assert set(KEYS.values()) <= set(GraphState.__annotations__)
    hints = get_type_hints(TurnState)
    assert {key: hints[key] for key in KEYS.values()} == {
        key: made if made.__name__ not in ("Brief", "Draft") else made | None for made, key in KEYS.items()
    }


def test_the_metrics_know_each_step_and_no_other() -> None:
    def seen(name: str) -> float:
        return registry.get_sample_value("parallel_task_duration_ms_count", {"task_name": name, "mode": "2"}) or 0.0

    before = {planned.name: seen(planned.name) for planned in STEPS}
    answer = run_virtual(Mode2AutomaticWorkflow(scripted(reply=1.0, prefill=READS_AHEAD)).execute(QUESTION))
    assert {name for name in before if seen(name) > before[name]} == set(answer.outcomes)


@pytest.mark.parametrize("reason", REASONS)
def test_each_step_that_can_fail_has_words_for_the_user(reason: str) -> None:
    for planned in STEPS:
        said = for_user(planned.name, reason)
        assert "{" not in said and said.endswith(".")
        if planned.name != "ask" and planned.name not in EARLY:
            assert planned.for_user and said != for_user("a step of yours", reason)
    assert for_user("a step of yours", reason).startswith("The step 'a step of yours'")


def test_what_writes_or_calls_is_never_sent_twice() -> None:
    assert {s.name for s in STEPS if not s.hedgeable} == {"register", "invoke", "save"}


def test_the_table_has_a_row_for_each_step() -> None:
    rows = table().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == list(BY_NAME)
    assert len({row.count("|") for row in table().splitlines()}) == 1
