"""The graph and the engine's own path give the same answer, whatever its services do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seed_profile import SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
from vital_engine.errors import ModelUnavailable, RetrievalError, StreamBroken
from vital_engine.nouns import Evidence, Limits, Question, ToolSuggestions
from vital_engine.nouns.answer import Answer
from vital_engine.testing import run_virtual, scripted

MODES = [Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow]
seconds = st.sampled_from([0.0, 0.05, 0.3, 1.0])
failures: st.SearchStrategy[Any] = st.one_of(
    st.builds(RuntimeError, st.just("secret")),
    st.builds(RetrievalError, st.just("down")),
    st.builds(asyncio.CancelledError),
    st.tuples(seconds, st.builds(OSError, st.just("gone"))),
    st.tuples(seconds, st.just(42)),
    st.sampled_from(["hang", "deaf"]),
)
steps = st.one_of(seconds, seconds, failures)
words = st.one_of(
    st.just("It fell by 1.2 points [1]. Nothing else did [9]. See [2, 3]."),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
)
replies: st.SearchStrategy[Any] = st.one_of(
    seconds,
    st.tuples(seconds, words),
    st.tuples(seconds, words, st.builds(StreamBroken, st.just("cut"))),
    st.builds(ModelUnavailable, st.just("down")),
    st.builds(RuntimeError, st.just("secret")),
    st.sampled_from(["hang", "deaf"]),
)
scripts = st.fixed_dictionaries(
    {"retrieve": steps, "suggest": steps, "recall": steps, "reply": replies, "cite": steps, "assess": steps},
    optional={
        "tally": steps,
        "invoke": steps,
        "save": st.builds(OSError, st.just("disk")),
        "register": st.builds(OSError, st.just("disk")),
        "brief": st.one_of(st.builds(RuntimeError, st.just("nobody")), st.just("hang")),
    },
)
limits = st.sampled_from([Limits(), Limits(), Limits(seconds=0.6), Limits(seconds=1.2, passages=2)])
choices = st.sampled_from([{}, {"profile": "sequential"}, {"enable_rag": False}, {"enable_tools": False}])


def essence(answer: Answer) -> dict[str, Any]:
    """All that a person is told, and all that is measured of a turn but the saving."""
    return {
        "text": answer.text,
        "status": answer.status,
        "code": answer.code,
        "expert": answer.expert,
        "evidence": answer.evidence,
        "consent": [(d.tool_call, d.approved, d.by) for d in answer.consent.decisions],
        "tool_results": answer.tool_results,
        "draft": answer.draft,
        "citations": answer.citations,
        "support": answer.support,
        "cost": [(row.call.status, row.call.usage, row.usd) for row in answer.cost.rows],
        "quality": answer.quality,
        "degraded": dict(answer.degraded),
        "warnings": answer.warnings,
        "outcomes": {name: type(outcome).__name__ for name, outcome in answer.outcomes.items()},
        "timing": answer.timing,
    }


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(MODES), script=scripts, limit=limits, chosen=choices)
def test_the_graph_gives_the_engines_answer(drive: Any, mode: Any, script: Any, limit: Limits, chosen: Any) -> None:
    if chosen.get("profile") == "sequential":
        # At the turn's deadline a step that waits for its seat is late, and one that waits for a draft is unmet. Which
        # of the two a review is depends, on the engine's own path too, on whether there are barriers.
        limit = replace(limit, seconds=None)
    question = Question(text="What is known?", tenant="t1", user="u1", limits=limit, run_id="run", conversation="talk")
    set_to = {"profile": "tiers", "parallel_timeout_ms": 800, "post_generation_timeout_ms": 800, **chosen}
    set_to |= {"reply_timeout_ms": 2000}

    async def own() -> Answer:
        workflow = mode(scripted(tokens=8, sentences=2, **script), **set_to)
        answer = await workflow.execute(question)
        if answer.status == "paused":
            answer = await workflow.resume("run", {a.id: "approve" for a in answer.approvals})
        return answer

    async def through_the_graph() -> Answer:
        state = await drive(mode(scripted(tokens=8, sentences=2, **script), **set_to), question)
        return state["answer"]

    expected, got = essence(run_virtual(own())), essence(run_virtual(through_the_graph()))
    assert got == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("profile", "total"), [("sequential", SEQUENTIAL_TOTAL), ("tiers", TIERS_TOTAL), ("dataflow", TIERS_TOTAL)]
)
def test_the_seeds_arithmetic_holds_through_the_graph(
    drive: Any, question: Question, seed: Any, mode: Any, profile: str, total: float
) -> None:
    services = scripted(**seed)
    answer = run_virtual(drive(mode(services, profile=profile), question))["answer"]
    assert answer.timing.total == total
    assert answer.profile == ("sequential" if profile == "sequential" else "tiers")
    assert answer.status == "complete"
    assert [tool_result.status for tool_result in answer.tool_results.results] == ["done"]
    assert len(services.prompts) == len(services.kept) == 1


@pytest.mark.parametrize("suggestions", [ToolSuggestions(), ToolSuggestions.missing()])
def test_where_nothing_is_proposed_nobody_is_asked(
    drive: Any, question: Question, suggestions: ToolSuggestions
) -> None:
    services = scripted(suggest=(0.1, suggestions))
    answer = run_virtual(drive(Mode1ManualWorkflow(services), question, decision="nobody may say this"))["answer"]
    assert answer.status == "complete"
    assert answer.approvals == ()


def test_nothing_found_and_nobody_could_look_differ_through_the_graph(drive: Any, question: Question) -> None:
    answers = [
        run_virtual(drive(Mode2AutomaticWorkflow(scripted(retrieve=script)), question))["answer"]
        for script in ((0.1, Evidence()), OSError("down"))
    ]
    assert [a.evidence.failed for a in answers] == [False, True]
    assert answers[0].warnings != answers[1].warnings
