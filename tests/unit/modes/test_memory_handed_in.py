"""A caller who keeps the conversation hands it in with the question: it is what the model reads, and nothing is recalled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode4ChatAutomaticWorkflow
from vital_engine.errors import InvalidQuestion
from vital_engine.flow import Skipped, run_virtual
from vital_engine.modes.segments import TurnState
from vital_engine.nouns import Memory, PastTurn, Question
from vital_engine.testing import scripted

EARLIER = Memory((PastTurn("Does it help?", "It does."), PastTurn("", "Shall I go on?"), PastTurn("Wait.", "")))
QUESTION = Question("And in children?", "t1", "u1", conversation="c1", memory=EARLIER)


@pytest.mark.parametrize("profile", ["dataflow", "tiers", "sequential"])
@pytest.mark.parametrize("mode", [Mode2AutomaticWorkflow, Mode4ChatAutomaticWorkflow])
def test_what_is_handed_in_is_read_and_nothing_is_recalled(mode: Any, profile: Any) -> None:
    services = scripted(recall=30.0)
    answer = run_virtual(mode(services, profile=profile).execute(QUESTION))
    (prompt,) = services.prompts
    assert answer.status == "complete" and not answer.degraded
    assert prompt.memory == EARLIER
    assert "User: Does it help?\nAssistant: It does.\nAssistant: Shall I go on?\nUser: Wait.\n" in prompt
    assert [call for call in services.calls if call.port == "recall"] == []
    recalled = answer.outcomes["recall"]
    assert isinstance(recalled, Skipped) and recalled.known
    assert answer.receipt()["skipped"]["recall"]


def test_it_counts_also_where_nothing_is_recalled_otherwise() -> None:
    services = scripted()
    run_virtual(Mode2AutomaticWorkflow(services, enable_memory=False).execute(QUESTION))
    assert services.prompts[0].memory == EARLIER


def test_a_turn_that_pauses_goes_on_with_it() -> None:
    services = scripted()
    workflow = Mode1ManualWorkflow(services)
    paused = run_virtual(workflow.execute(replace(QUESTION, conversation=None)))
    assert paused.status == "paused"
    decisions: dict[str, Any] = {a.id: "approve" for a in paused.approvals}
    assert run_virtual(workflow.resume(paused.run_id, decisions)).status == "complete"
    assert services.prompts[0].memory == EARLIER
    assert [call for call in services.calls if call.port == "recall"] == []


def test_node_by_node_it_is_the_same() -> None:
    services = scripted()
    workflow = Mode2AutomaticWorkflow(services)
    brief = run_virtual(services.router.route(QUESTION, mode=2))
    state: TurnState = {"question": replace(QUESTION, run_id="r1"), "brief": brief}
    assert run_virtual(workflow.parallel_retrieval_node(state))["memory"] == EARLIER
    assert [call for call in services.calls if call.port == "recall"] == []


def test_a_memory_that_is_none_is_refused() -> None:
    wrong: Any = ["Does it help?"]
    with pytest.raises(InvalidQuestion, match="memory must be a Memory, not list"):
        run_virtual(Mode2AutomaticWorkflow(scripted()).execute(replace(QUESTION, memory=wrong)))
