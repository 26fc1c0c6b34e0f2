"""What a checkpointer keeps of a turn is plain, and enough to go on from: elsewhere, later, or after a crash."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow
from vital_engine.errors import StepFailed
from vital_engine.nouns import Evidence, Question
from vital_engine.testing import run_virtual, scripted

CONFIG: Any = {"configurable": {"thread_id": "one"}}
PLAIN = (dict, list, str, int, float, bool, type(None))


class Strict(JsonPlusSerializer):
    """Revives no class at all, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self.seen: list[Any] = []

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.seen.append(obj)
        return super().dumps_typed(obj)


def foreign(value: Any) -> list[type]:
    """The types in *value* that JSON cannot hold."""
    match value:
        case dict():
            return [t for pair in value.items() for v in pair for t in foreign(v)]
        case list() | tuple():
            return [t for v in value for t in foreign(v)]
        case _:
            return [] if isinstance(value, PLAIN) else [type(value)]


def test_all_that_is_kept_is_plain_json_but_the_question_as_it_was_given(question: Question) -> None:
    serde = Strict()
    graph = Mode1ManualWorkflow(scripted()).build_graph().compile(checkpointer=InMemorySaver(serde=serde))

    async def turn() -> Any:
        state = await graph.ainvoke({"question": question}, CONFIG)
        (pause,) = state["__interrupt__"]
        decision = {pause.value["calls"][0]["id"]: "approve"}
        return await graph.ainvoke(Command(resume=decision), CONFIG)

    assert run_virtual(turn())["answer"].status == "complete"
    kinds = {t.__name__ for value in serde.seen for t in foreign(value)}
    assert kinds == {"Question", "Interrupt"}  # the caller's own, before the first node; LangGraph's own


@pytest.mark.parametrize("serde", [JsonPlusSerializer(), Strict()], ids=["as it comes", "strict"])
def test_the_state_is_the_same_nouns_after_a_checkpoint_and_nothing_is_warned_of(
    question: Question, serde: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sent = {"text": question.text, "tenant": question.tenant, "user": question.user}
    graph = Mode2AutomaticWorkflow(scripted()).build_graph().compile(checkpointer=InMemorySaver(serde=serde))

    async def turn() -> tuple[Any, Any]:
        with caplog.at_level(logging.WARNING):
            ended = await graph.ainvoke({"question": sent}, CONFIG)
            kept = (await graph.aget_state(CONFIG)).values
        return ended, kept

    ended, kept = run_virtual(turn())
    assert {k: v for k, v in kept.items() if k not in ("answer", "outcomes")} == {
        k: v for k, v in ended.items() if k not in ("answer", "outcomes")
    }
    assert kept["answer"].receipt() == ended["answer"].receipt()
    assert isinstance(kept["evidence"], Evidence) and isinstance(kept["evidence"].passages, tuple)
    assert caplog.records == []


class Dies(Exception):
    """The process is gone."""


class Stops(InMemorySaver):
    """Keeps what a node wrote, and dies once, before it keeps the state in which that counts."""

    def __init__(self, key: str) -> None:
        super().__init__(serde=Strict())
        self.key, self.armed = key, True

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if self.armed and self.key in versions:
            self.armed = False
            raise Dies
        return await super().aput(config, checkpoint, metadata, versions)


@pytest.mark.parametrize("key", ["brief", "evidence", "consent", "findings", "draft", "citations"])
def test_a_node_whose_writes_were_kept_is_not_run_again_after_a_crash(question: Question, key: str) -> None:
    saver = Stops(key)
    services = scripted(retrieve=0.5, reply=1.5)

    async def turn() -> Any:
        graph = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=saver)
        with pytest.raises(Dies):
            await graph.ainvoke({"question": question}, CONFIG, durability="sync")
        elsewhere = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=saver)
        return await elsewhere.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    called = [call.port for call in services.calls]
    assert [called.count(step) for step in ("brief", "retrieve", "invoke", "reply", "save")] == [1] * 5
    assert (answer.status, answer.timing.total) == ("complete", 2.0)
    assert answer.evidence.passages and answer.citations.verified


def test_a_turn_goes_on_in_another_process_with_the_same_answer(question: Question) -> None:
    question = replace(question, run_id="run")
    expected = run_virtual(Mode2AutomaticWorkflow(scripted(retrieve=0.5), profile="tiers").execute(question))
    saver = InMemorySaver(serde=Strict())

    async def turn() -> Any:
        first = Mode2AutomaticWorkflow(scripted(retrieve=0.5)).build_graph()
        begun = first.compile(checkpointer=saver, interrupt_before=["reply"])
        assert "draft" not in await begun.ainvoke({"question": question}, CONFIG)
        second = Mode2AutomaticWorkflow(scripted(retrieve="hang")).build_graph().compile(checkpointer=saver)
        return await second.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    mine, its = copy.deepcopy(answer.receipt()), expected.receipt()
    for receipt in (mine, its):
        receipt["steps"].pop("save")
    assert mine == its


def test_a_failure_that_was_kept_is_met_again_by_what_comes_after_it(question: Question) -> None:
    saver = InMemorySaver(serde=Strict())

    async def turn() -> Any:
        first = Mode2AutomaticWorkflow(scripted(brief=OSError("secret"))).build_graph()
        await first.compile(checkpointer=saver, interrupt_after=["brief"]).ainvoke({"question": question}, CONFIG)
        second = Mode2AutomaticWorkflow(scripted()).build_graph().compile(checkpointer=saver)
        return await second.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert (answer.status, answer.degraded["brief"], answer.degraded["retrieve"]) == ("failed", "error", "skipped")
    assert isinstance(answer.error, StepFailed) and "secret" not in str(answer.receipt())


def test_a_person_may_change_the_state_with_nouns_or_with_json(question: Question) -> None:
    services = scripted()
    graph = Mode2AutomaticWorkflow(services).build_graph()

    async def turn() -> Any:
        saver = InMemorySaver()
        begun = graph.compile(checkpointer=saver, interrupt_after=["parallel_retrieval"])
        await begun.ainvoke({"question": question}, CONFIG)
        await begun.aupdate_state(CONFIG, {"menu": {"proposals": []}, "evidence": Evidence()})
        return await begun.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert answer.findings.results == () and answer.evidence == Evidence()
    assert not any(call.port == "invoke" for call in services.calls)
