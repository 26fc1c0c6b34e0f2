"""A turn whose late calls are answered by somebody else, in virtual time, on the scripted services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from seed_profile import DATAFLOW_TOTAL, SEED
from vital_engine.flow import Hedge, Hedged, StreamOpened, run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.monitoring import registry
from vital_engine.nouns import Evidence, Passage, Piece, Prompt, Question, Usage
from vital_engine.nouns.answer import Answer
from vital_engine.ports import Replicas
from vital_engine.testing import ScriptedServices, scripted

QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
LATE = {"retrieve": 0.6, "suggest": 0.4, "recall": 0.3, "reply": 0.1}
"""After how many seconds each is late; the model says its first word after 12.5 ms."""


def paired(first: ScriptedServices, second: ScriptedServices) -> ScriptedServices:
    return replace(first, replicas=Replicas(second.retriever, second.tool_suggester, second.memory, second.llm))


def hedges(workflow: Mode2AutomaticWorkflow) -> dict[str, Hedge]:
    return workflow.runner.segments.hedges.of


def ready(services: ScriptedServices, **settings: Any) -> Mode2AutomaticWorkflow:
    """A workflow that knows when its steps are late, and may send copies."""
    workflow = Mode2AutomaticWorkflow(services, **settings)
    for step, seconds in LATE.items():
        hedges(workflow)[step].after, hedges(workflow)[step]._tokens = seconds, 10.0
    return workflow


@pytest.mark.parametrize("step", ["retrieve", "suggest", "recall"])
def test_of_a_step_that_stalls_the_second_service_answers(step: str) -> None:
    second = scripted(**SEED)
    answer = run_virtual(ready(paired(scripted(**SEED | {step: "hang"}), second)).execute(QUESTION))
    assert answer.status == "complete" and answer.degraded == {}
    assert answer.receipt()["hedges"] == {step: {"sent": LATE[step], "won": True}}
    assert [call.port for call in second.calls] == [step]
    late = max(0.5, LATE[step] + SEED[step])
    assert answer.timing.total == pytest.approx(late + 1.5 + 0.15 / 8)


def test_a_model_that_stalls_before_its_first_word_is_left_for_the_second_one() -> None:
    first = scripted(**SEED | {"reply": "hang"})
    answer = run_virtual(ready(paired(first, scripted(**SEED))).execute(QUESTION))
    assert answer.status == "complete" and answer.receipt()["hedges"] == {"reply": {"sent": 0.6, "won": True}}
    assert answer.timing.first_token == pytest.approx(0.6 + 1.5 / 120)
    assert answer.text == run_virtual(ready(scripted_pair()).execute(QUESTION)).text
    assert next(call for call in first.calls if call.port == "reply").end is not None  # it was cancelled


def scripted_pair() -> ScriptedServices:
    return paired(scripted(**SEED), scripted(**SEED))


def test_what_is_not_late_is_never_sent_twice() -> None:
    second = scripted(**SEED)
    answer = run_virtual(ready(paired(scripted(**SEED), second)).execute(QUESTION))
    assert answer.timing.total == DATAFLOW_TOTAL and answer.receipt()["hedges"] == {} and second.calls == []


@pytest.mark.parametrize("settings", [{"profile": "tiers"}, {"profile": "sequential"}, {"hedging": False}])
def test_the_other_profiles_and_who_does_not_want_it_never_send_twice(settings: dict[str, Any]) -> None:
    second = scripted(**SEED)
    workflow = ready(paired(scripted(**SEED | {"retrieve": 2.0}), second), **settings)
    answer = run_virtual(workflow.execute(QUESTION))
    assert answer.receipt()["hedges"] == {} and second.calls == []
    assert all(hedge.calls == 0 for hedge in hedges(workflow).values())


def test_what_writes_is_done_once() -> None:
    second = scripted(**SEED)
    first = scripted(**SEED | dict.fromkeys(("retrieve", "suggest", "recall", "reply"), "hang"))
    answer = run_virtual(ready(paired(first, second)).execute(QUESTION))
    assert answer.status == "complete" and set(answer.hedges) == set(LATE)
    ports = [call.port for call in (*first.calls, *second.calls)]
    assert [ports.count(step) for step in ("register", "invoke", "save")] == [1, 1, 1] and len(first.kept) == 1


def test_what_is_learned_is_kept_from_turn_to_turn_whatever_their_settings() -> None:
    workflow = Mode2AutomaticWorkflow(scripted_pair())
    for seconds in (4000, 3000, 2000):
        run_virtual(workflow.execute(QUESTION, parallel_timeout_ms=seconds))
    assert {step: hedge._alone.count for step, hedge in hedges(workflow).items()} == dict.fromkeys(LATE, 3)


def test_only_what_has_a_replica_is_hedged() -> None:
    services = replace(scripted(**SEED), replicas=Replicas(retriever=scripted().retriever))
    workflow = Mode2AutomaticWorkflow(services)
    copied = [step.name for step in workflow.runner.segments.steps(workflow.settings) if step.hedge is not None]
    assert copied == ["retrieve"]


def test_a_second_service_that_breaks_its_promise_does_not_win() -> None:
    first = scripted(**SEED | {"retrieve": 1.0})
    answer = run_virtual(ready(paired(first, scripted(retrieve=(0.1, RuntimeError("down"))))).execute(QUESTION))
    assert answer.degraded == {} and answer.receipt()["hedges"]["retrieve"]["won"] is False


def test_it_is_counted() -> None:
    def count() -> float:
        return registry.get_sample_value("vital_hedges_total", {"step": "recall", "outcome": "sent_won"}) or 0.0

    before = count()
    run_virtual(ready(paired(scripted(recall="hang"), scripted())).execute(QUESTION))
    assert count() == before + 1


class Model:
    """Says three words after *first* seconds, and then what it used."""

    def __init__(self, name: str, first: float) -> None:
        self.name, self.first = name, first
        self.model, self.provider = name, "scripted"

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        await asyncio.sleep(self.first)
        for word in ("one ", "two ", "three."):
            yield Piece(f"{self.name} {word}", model=self.name, provider="scripted")
            await asyncio.sleep(0.1)
        yield Piece(usage=Usage(len(str(prompt).split()), 3), model=self.name, finish="stop")


def test_a_call_of_a_model_that_was_cut_off_is_said_on_the_stream() -> None:
    events: list[Hedged] = []
    streams: list[Any] = []

    def watch(event: Any) -> None:
        if isinstance(event, Hedged):
            events.append(event)
        if isinstance(event, StreamOpened) and event.step == "reply":
            streams.append(event.stream)

    services = replace(scripted(), llm=Model("slow", 9.0), replicas=Replicas(llm=Model("quick", 0.2)))
    workflow = Mode2AutomaticWorkflow(services, watchers=(lambda *_: watch,))
    hedges(workflow)["reply"].after, hedges(workflow)["reply"]._tokens = 0.1, 10.0
    answer = run_virtual(workflow.execute(QUESTION))
    said = list(streams[0].items)
    lost = [piece.discarded for piece in said if piece.discarded is not None]
    assert answer.text == "quick one quick two quick three." and [e.became for e in events] == ["sent_won"]
    assert len(lost) == 1 and (lost[0].why, lost[0].model, lost[0].provider) == ("copy", "slow", "scripted")
    assert [(row.call.purpose, row.call.model) for row in answer.cost.rows] == [("reply", "quick"), ("copy", "slow")]
    assert (
        lost[0].usage is not None and lost[0].usage.estimated and lost[0].usage.input > 0 and lost[0].usage.output == 0
    )


def test_evidence_of_the_second_service_is_what_the_turn_goes_on_with() -> None:
    class Elsewhere:
        async def search(self, query: str, *, k: int, scope: Any) -> Evidence:
            return Evidence((Passage("elsewhere", "Found elsewhere."),))

    services = replace(scripted(retrieve="hang"), replicas=Replicas(retriever=Elsewhere()))
    workflow = Mode2AutomaticWorkflow(services)
    hedges(workflow)["retrieve"].after, hedges(workflow)["retrieve"]._tokens = 0.1, 10.0
    answer = run_virtual(workflow.execute(QUESTION))
    assert [passage.id for passage in answer.evidence.passages] == ["elsewhere"]
    assert "Found elsewhere." in services.prompts[-1]


def test_beside_a_model_that_is_busy_no_call_is_sent_twice() -> None:
    second = scripted(**SEED)
    services = paired(scripted(**SEED | {"reply": (3.0, "Late but said [1].")}), second)
    workflow = ready(services)
    workflow.runner.segments.load.capacity = 1

    async def beside_another() -> Answer:
        with workflow.runner.segments.load.call():
            await asyncio.sleep(60)
            return await workflow.execute(QUESTION)

    answer = run_virtual(beside_another())
    assert answer.hedges == {} and second.calls == [] and hedges(workflow)["reply"].calls == 1
