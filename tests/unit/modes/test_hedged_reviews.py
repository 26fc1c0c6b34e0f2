"""Reviews by services that stall, of which each has a second one: sentence by sentence, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from seed_profile import DATAFLOW_TOTAL, SEED
from vital_engine.flow import Hedge, Hedged, run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.modes.events import Cited
from vital_engine.monitoring import default_watchers, registry
from vital_engine.nouns import Question
from vital_engine.nouns.answer import Answer
from vital_engine.ports import Replicas
from vital_engine.testing import ScriptedServices, scripted

QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
PORTS = {"cite": ("checker", "check"), "assess": ("judge", "support"), "tally": ("accountant", "price")}
LATE = 0.03
"""Seconds after which a call about one sentence is late. None that does not stall is: they take 18.75 ms at most."""


class Stalling:
    """Does what *port* does; of the call number *at* (from 0) nothing is ever heard."""

    def __init__(self, port: Any, method: str, at: int) -> None:
        self.calls = 0

        async def stalls_once(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls - 1 == at:
                await asyncio.sleep(3600)
            return await getattr(port, method)(*args, **kwargs)

        setattr(self, method, stalls_once)


def paired(first: ScriptedServices, second: ScriptedServices) -> ScriptedServices:
    return replace(first, replicas=Replicas(checker=second.checker, judge=second.judge, accountant=second.accountant))


def stalling(step: str, at: int, second: ScriptedServices) -> ScriptedServices:
    port, method = PORTS[step]
    first = scripted(**SEED)
    stalls: dict[str, Any] = {port: Stalling(getattr(first, port), method, at)}
    return paired(replace(first, **stalls), second)


def hedges(workflow: Mode2AutomaticWorkflow) -> dict[str, Hedge]:
    return workflow.runner.segments.hedges.of


def ready(services: ScriptedServices, **settings: Any) -> Mode2AutomaticWorkflow:
    workflow = Mode2AutomaticWorkflow(services, **settings)
    for hedge in hedges(workflow).values():
        hedge.after, hedge._tokens = LATE, 10.0
    return workflow


def plain() -> Answer:
    return run_virtual(Mode2AutomaticWorkflow(scripted(**SEED)).execute(QUESTION))


@pytest.mark.parametrize("at", [0, 3, 7])
@pytest.mark.parametrize("step", ["cite", "assess", "tally"])
def test_a_review_that_stalls_is_hedged_at_its_sentence_and_nothing_else_is(step: str, at: int) -> None:
    second = scripted(**SEED)
    answer = run_virtual(ready(stalling(step, at, second)).execute(QUESTION))
    same = plain()
    assert answer.degraded == {} and answer.status == "complete"
    said = min(0.5 + 1.5 * (at + 1) / 8 + 1.5 / 120, 2.0)  # a sentence has ended when the next one begins
    assert answer.hedges == {step: {"sent": pytest.approx(said + LATE), "won": True}}
    assert [call.port for call in second.calls] == [step]
    assert (answer.citations, answer.support) == (same.citations, same.support)
    assert [(row.call.purpose, row.usd) for row in answer.cost.rows] == [
        (row.call.purpose, row.usd) for row in same.cost.rows
    ]
    # Seen at its sentence, and not by the limit after the last token: only at the last one does it take time at all.
    late = LATE + SEED[step] / 8 if at == 7 else 0.0
    assert answer.timing.total == pytest.approx(2.0 + max(late, 0.15 / 8))


def test_what_is_found_is_streamed_as_it_is_without_a_second_service() -> None:
    async def found(workflow: Mode2AutomaticWorkflow) -> list[Any]:
        return [e.citation async for e in workflow.stream(QUESTION) if isinstance(e, Cited)]

    alone = run_virtual(found(Mode2AutomaticWorkflow(scripted(**SEED))))
    assert alone and run_virtual(found(ready(stalling("cite", 2, scripted(**SEED))))) == alone


def test_the_seed_profile_takes_as_long_with_second_services_as_without() -> None:
    second = scripted(**SEED)
    answer = run_virtual(ready(paired(scripted(**SEED), second)).execute(QUESTION))
    assert answer.timing.total == DATAFLOW_TOTAL == plain().timing.total
    assert answer.hedges == {} and second.calls == []


@pytest.mark.parametrize("settings", [{"profile": "tiers"}, {"profile": "sequential"}, {"hedging": False}])
def test_the_other_profiles_and_who_does_not_want_it_never_send_twice(settings: dict[str, Any]) -> None:
    second = scripted(**SEED)
    answer = run_virtual(ready(stalling("assess", 3, second), **settings).execute(QUESTION))
    assert answer.degraded == {"assess": "timeout"} and answer.hedges == {} and second.calls == []


def test_only_a_review_that_has_a_second_service_is_hedged() -> None:
    services = replace(scripted(**SEED), replicas=Replicas(judge=scripted().judge))
    workflow = Mode2AutomaticWorkflow(services)
    hedged = [step.name for step in workflow.runner.segments.steps(workflow.settings) if step.hedge is not None]
    assert hedged == ["assess"]
    assert list(hedges(workflow)) == ["assess"]


@pytest.mark.parametrize("step", ["cite", "assess", "tally"])
def test_a_second_service_that_breaks_its_promise_does_not_win(step: str) -> None:
    first = scripted(**SEED | {step: 0.8})  # 0.1 s for each sentence: all of them are late
    nonsense: dict[str, Any] = {step: (0.0, "nonsense")}
    answer = run_virtual(ready(paired(first, scripted(**nonsense))).execute(QUESTION))
    assert answer.degraded == {} and answer.hedges[step]["won"] is False


def test_one_that_fails_before_it_is_late_fails_as_it_does_alone() -> None:
    second = scripted(**SEED)
    first = scripted(**SEED | {"assess": RuntimeError("down")})
    answer = run_virtual(ready(paired(first, second)).execute(QUESTION))
    assert answer.degraded == {"assess": "error"} and second.calls == []


def test_of_each_call_it_is_told_and_counted_what_became_of_its_copy() -> None:
    def count() -> float:
        return registry.get_sample_value("vital_hedges_total", {"step": "cite", "outcome": "sent_won"}) or 0.0

    before, events = count(), list[Hedged]()
    watch = lambda *_: lambda event: events.append(event) if isinstance(event, Hedged) else None  # noqa: E731
    workflow = ready(stalling("cite", 0, scripted(**SEED)), watchers=(*default_watchers(), watch))
    run_virtual(workflow.execute(QUESTION))
    assert [(e.flow, e.step, e.became) for e in events] == [("turn", "cite", "sent_won")] and count() == before + 1


def test_what_is_learned_is_learned_by_sentence_and_kept_from_turn_to_turn() -> None:
    workflow = Mode2AutomaticWorkflow(paired(scripted(**SEED), scripted(**SEED)))
    for seconds in (4000, 3000):
        run_virtual(workflow.execute(QUESTION, parallel_timeout_ms=seconds))
    counted = {step: hedge._alone.count for step, hedge in hedges(workflow).items()}
    assert counted == {"cite": 16, "assess": 16, "tally": 16}  # eight sentences


def test_a_memory_of_sentences_reaches_as_far_back_as_one_of_turns() -> None:
    second = scripted()
    services = replace(scripted(), replicas=Replicas(retriever=second.retriever, judge=second.judge))
    of = hedges(Mode2AutomaticWorkflow(services))
    assert of["assess"]._alone.half_life == 8 * of["retrieve"]._alone.half_life
