"""Turns of one conversation, in virtual time: one at a time, in order, none lost, and chat text is never an approval."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from vital_engine import Mode2AutomaticWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow
from vital_engine.errors import ConversationBusy, InvalidQuestion, StoreError
from vital_engine.flow import run_virtual
from vital_engine.modes import Broken, Decisions, StepEvent
from vital_engine.nouns import Question
from vital_engine.testing import MemoryConversationLock, scripted

FIRST = Question("first", "t1", "u1", conversation="c1", run_id="r1")
SECOND = replace(FIRST, text="second", run_id="r2")
THIRD = replace(FIRST, text="approve", run_id="r3")
YES: Decisions = {"call-1": "approve"}


def spans(services: Any) -> list[tuple[str, float, float]]:
    """When the model spoke for which question."""
    calls = [c for c in services.calls if c.port == "reply"]
    return [(c.arguments["prompt"].question.text, c.start, c.end) for c in calls]


def test_a_question_without_a_conversation_begins_one() -> None:
    services = scripted()
    new = replace(FIRST, conversation=None, run_id="")
    one, two = (run_virtual(Mode4ChatAutomaticWorkflow(services).execute(new)) for _ in range(2))
    assert one.question.conversation
    assert one.question.conversation != two.question.conversation
    assert run_virtual(Mode4ChatAutomaticWorkflow(services).execute(FIRST)).question.conversation == "c1"
    assert run_virtual(Mode2AutomaticWorkflow(services).execute(new)).question.conversation is None
    with pytest.raises(InvalidQuestion):
        run_virtual(Mode4ChatAutomaticWorkflow(services).execute(replace(FIRST, text="")))


def test_two_messages_at_once_are_answered_one_after_another_in_order() -> None:
    services = scripted(reply=1.5, retrieve=0.5)
    workflow, other = Mode4ChatAutomaticWorkflow(services), Mode4ChatAutomaticWorkflow(services)

    async def three() -> list[Any]:
        return list(await asyncio.gather(workflow.execute(FIRST), other.execute(SECOND), workflow.execute(THIRD)))

    answers = run_virtual(three())
    assert [a.status for a in answers] == ["complete"] * 3
    assert spans(services) == [("first", 0.5, 2.0), ("second", 2.5, 4.0), ("approve", 4.5, 6.0)]
    assert [k.question.text for k in services.kept] == ["first", "second", "approve"]


def test_conversations_and_people_do_not_wait_for_each_other() -> None:
    services = scripted(reply=1.5)
    others = [replace(FIRST, run_id="r4", conversation="c2"), replace(FIRST, run_id="r5", user="u2")]
    workflow = Mode4ChatAutomaticWorkflow(services)

    async def at_once() -> float:
        await asyncio.gather(*(workflow.execute(q) for q in (FIRST, *others)))
        return asyncio.get_running_loop().time()

    assert run_virtual(at_once()) == 1.5


def test_a_busy_conversation_may_refuse_and_begins_nothing() -> None:
    services = scripted(reply=1.5)
    workflow = Mode4ChatAutomaticWorkflow(services, on_contention="refuse")

    async def at_once() -> tuple[Any, ...]:
        both = await asyncio.gather(workflow.execute(FIRST), workflow.execute(SECOND), return_exceptions=True)
        return (*both, await workflow.execute(SECOND))

    first, second, again = run_virtual(at_once())
    assert (first.status, again.status) == ("complete", "complete")
    assert isinstance(second, ConversationBusy)
    assert len(spans(services)) == 2


def test_a_message_that_waited_too_long_is_told_so() -> None:
    workflow = Mode4ChatAutomaticWorkflow(scripted(reply=5.0), contention_seconds=2)

    async def at_once() -> tuple[Any, Any, float]:
        first, second = workflow.start(FIRST), workflow.start(SECOND)
        with pytest.raises(ConversationBusy):
            await second.answer()
        told = asyncio.get_running_loop().time()
        events = [event async for event in second.events.reader()]
        return (await first.answer()).status, events, told

    status, events, told = run_virtual(at_once())
    assert (status, told) == ("complete", 2.0)
    assert isinstance(events[-1], Broken)
    assert events[-1].code == "turn.conversation_busy"


def test_a_message_that_waits_is_written_down_first() -> None:
    services = scripted(reply=1.5)
    workflow = Mode4ChatAutomaticWorkflow(services)

    async def at_once() -> list[Any]:
        workflow.start(FIRST)
        second = workflow.start(SECOND)
        await asyncio.sleep(0.1)
        return list(second.events.items)

    events = run_virtual(at_once())
    assert [(e.step, e.outcome) for e in events if isinstance(e, StepEvent)] == [("register", ""), ("register", "done")]


def test_a_message_during_a_pending_approval_waits_and_is_no_approval() -> None:
    services = scripted(reply=1.5)
    workflow = Mode3ChatManualWorkflow(services)

    async def talk() -> tuple[Any, ...]:
        paused = await workflow.execute(FIRST)
        message = workflow.start(THIRD)  # its text is "approve"
        await asyncio.sleep(60)
        assert not message.task.done()
        assert [c for c in services.calls if c.port == "invoke"] == []
        first = await workflow.resume("r1", {"call-1": "reject"})
        third = await message.answer()
        return paused, first, third, await workflow.resume("r3", YES)

    paused, first, third, last = run_virtual(talk())
    assert (paused.status, first.status, third.status, last.status) == ("paused", "complete", "paused", "complete")
    assert [text for text, *_ in spans(services)] == ["first", "approve"]
    assert first.tool_results.results == ()


def test_a_pause_holds_its_conversation_only_as_long_as_it_can_be_decided() -> None:
    services = scripted()
    workflow = Mode3ChatManualWorkflow(services, approval_seconds=60)

    async def talk() -> tuple[str, float, str]:
        await workflow.execute(FIRST)
        status = (await workflow.execute(SECOND)).status
        at = asyncio.get_running_loop().time()
        await workflow.resume("r2", YES)
        return status, at, (await workflow.resume("r1")).status

    assert run_virtual(talk()) == ("paused", 60.0, "complete")


@pytest.mark.parametrize("make", [Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow])
def test_a_turn_that_is_stopped_or_breaks_leaves_the_floor(make: Any) -> None:
    workflow = make(scripted(reply=1.5, suggest=RuntimeError()))

    async def talk() -> float:
        first = workflow.start(FIRST)
        await asyncio.sleep(1.0)
        first.cancel()
        await workflow.execute(SECOND)
        return asyncio.get_running_loop().time()

    assert run_virtual(talk()) == 2.5


def test_a_turn_that_died_holds_nobody_up_for_longer_than_its_lease() -> None:
    services = scripted(reply=1.5)
    conversation_lock: Any = services.conversation_lock

    async def talk() -> float:
        await conversation_lock.ask(FIRST, seconds=15)  # and here its process is killed
        await Mode4ChatAutomaticWorkflow(services).execute(SECOND)
        return asyncio.get_running_loop().time()

    assert run_virtual(talk()) == 16.5


def test_a_living_turn_keeps_the_floor_beyond_its_lease() -> None:
    services = scripted(reply=60.0)
    workflow = Mode4ChatAutomaticWorkflow(services)

    async def talk() -> None:
        await asyncio.gather(workflow.execute(FIRST), workflow.execute(SECOND))

    run_virtual(talk())
    assert spans(services) == [("first", 0.0, 60.0), ("second", 60.0, 120.0)]


def test_who_lost_the_floor_stops() -> None:
    class Lost(MemoryConversationLock):
        async def hold(self, lease: Any, *, seconds: float, anew: bool = False) -> bool:
            return anew and await super().hold(lease, seconds=seconds, anew=anew)

    services = replace(scripted(reply=60.0), conversation_lock=Lost())

    async def talk() -> float:
        from vital_engine.errors import Conflict

        with pytest.raises(Conflict):
            await Mode4ChatAutomaticWorkflow(services).execute(FIRST)
        return asyncio.get_running_loop().time()

    assert run_virtual(talk()) == 5.0  # at its next heartbeat


def test_a_renewal_that_fails_once_costs_nothing_and_a_whole_lease_without_one_the_floor() -> None:
    class Shaky(MemoryConversationLock):
        fails = 1

        async def hold(self, lease: Any, *, seconds: float, anew: bool = False) -> bool:
            if not anew and self.fails:
                Shaky.fails -= 1
                raise StoreError("down", service="store")
            return await super().hold(lease, seconds=seconds, anew=anew)

    services = replace(scripted(reply=30.0), conversation_lock=Shaky())
    assert run_virtual(Mode4ChatAutomaticWorkflow(services).execute(FIRST)).status == "complete"


def test_the_summary_is_brought_up_to_date_and_its_loss_costs_no_answer() -> None:
    class Notes:
        seen: ClassVar[list[str]] = []

        async def summarize(self, question: Question) -> None:
            self.seen.append(question.run_id)
            if question.run_id == "r2":
                raise StoreError("down", service="store")

    services = replace(scripted(), summarizer=Notes())
    workflow = Mode4ChatAutomaticWorkflow(services)
    first, second = run_virtual(workflow.execute(FIRST)), run_virtual(workflow.execute(SECOND))
    assert Notes.seen == ["r1", "r2"]
    assert (first.status, second.status) == ("complete", "complete")
    assert "summary" not in " ".join(first.warnings)
    assert "summary" in " ".join(second.warnings)


def test_without_a_floor_turns_are_answered_all_the_same() -> None:
    services = replace(scripted(), conversation_lock=None)
    assert run_virtual(Mode4ChatAutomaticWorkflow(services).execute(FIRST)).status == "complete"
