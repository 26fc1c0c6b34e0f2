"""Whatever is slow and whatever fails: a manual turn whose calls are all approved is the automatic one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
from vital_engine.flow import run_virtual
from vital_engine.modes import PROFILES
from vital_engine.nouns import Question
from vital_engine.testing import scripted

QUESTION = Question(text="x", tenant="t", user="u", conversation="c", run_id="r")
STEPS = ("retrieve", "suggest", "recall", "invoke", "cite", "assess", "tally")
seconds = st.integers(0, 1500).map(lambda ms: ms / 1000)
broken = st.one_of(
    st.just("hang"),
    st.builds(ValueError),
    st.tuples(seconds, st.builds(RuntimeError)),
    st.tuples(seconds, st.just(42)),
)
scripts = st.fixed_dictionaries(
    {"reply": seconds}, optional={step: st.one_of(seconds, seconds, broken) for step in STEPS}
)


def answered(make: Any, script: dict[str, Any], **settings: Any) -> Any:
    workflow = make(scripted(**script, tokens=24, sentences=3), watchers=(), **settings)

    async def run() -> Any:
        answer = await workflow.execute(QUESTION)
        said = {a.id: "approve" for a in answer.approvals}
        return await workflow.resume("r", said) if answer.status == "paused" else answer

    return run_virtual(run())


def told(answer: Any) -> dict[str, Any]:
    names = (
        "text",
        "status",
        "citations",
        "support",
        "cost",
        "quality",
        "degraded",
        "warnings",
        "timing",
        "tool_results",
    )
    facts = {name: getattr(answer, name) for name in names}
    return facts | {"outcomes": {name: type(outcome) for name, outcome in answer.outcomes.items()}}


@pytest.mark.parametrize("profile", ["tiers", "sequential"])
@settings(max_examples=40)
@given(script=scripts)
def test_the_modes_differ_in_who_says_yes_alone(profile: str, script: dict[str, Any]) -> None:
    automatic = told(answered(Mode2AutomaticWorkflow, script, profile=profile))
    for make in (Mode1ManualWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow):
        assert told(answered(make, script, profile=profile)) == automatic


@settings(max_examples=30)
@given(script=scripts)
def test_a_pause_never_makes_dataflow_slower_than_tiers(script: dict[str, Any]) -> None:
    totals = {p: answered(Mode1ManualWorkflow, script, profile=p).timing.total for p in PROFILES}
    assert totals["dataflow"] <= totals["tiers"] + 1e-6
