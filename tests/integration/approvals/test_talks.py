"""Conversations on the real store: in order across processes, linear in size, with a summary of what is no longer shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

from vital_engine import Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow
from vital_engine.nouns import Effect, PastTurn, Question, Scope
from vital_engine.store import Store, StoredConversationLock, Turns
from vital_engine.store.conversations import extended
from vital_engine.store.leases import LOCK_LINE

MINE = Scope("t1", "u1")


async def test_messages_of_two_processes_are_answered_in_order(services: Any, question: Question, store: Store) -> None:
    ours, theirs = services(reply=0.4), services(reply=0.4)
    workflows = [Mode4ChatAutomaticWorkflow(ours), Mode4ChatAutomaticWorkflow(theirs)]
    talk = [replace(question, text=f"message {i}", run_id=f"r{i}", conversation="c1") for i in range(4)]
    turns = []
    for i, message in enumerate(talk):
        turns.append(workflows[i % 2].start(message))
        while not await _registered(store, message.run_id):  # it stands in the line: the next is sent
            await asyncio.sleep(0.005)
    answers = await asyncio.gather(*(turn.answer() for turn in turns))
    assert {a.status for a in answers} == {"complete"}
    spoken = sorted(
        (c.start, c.end, c.arguments["prompt"]) for s in (ours, theirs) for c in s.calls if c.port == "reply"
    )
    assert [prompt.question.text for *_, prompt in spoken] == [q.text for q in talk]
    assert all(before[1] <= after[0] for before, after in pairwise(spoken))
    for earlier, later in zip(talk, [prompt for *_, prompt in spoken[1:]], strict=False):
        assert f"User: {earlier.text}" in later
    lines = await Turns(store).list(MINE, conversation="c1")
    assert [line.question for line in reversed(lines)] == [q.text for q in talk]


async def test_a_message_during_a_pause_waits_also_in_another_process(services: Any, question: Question) -> None:
    first, other = services(Effect.EFFECT), services()
    talk = replace(question, conversation="c1")
    await Mode3ChatManualWorkflow(first, lease_seconds=1.0).execute(talk)
    message = Mode4ChatAutomaticWorkflow(other).start(replace(talk, text="approve", run_id="r2"))
    await asyncio.sleep(1.2)  # longer than a lease: a pause keeps its place without a heartbeat
    assert not message.task.done()
    assert [c for s in (first, other) for c in s.calls if c.port == "invoke"] == []
    third = services(Effect.EFFECT)  # after a restart
    answer = await Mode3ChatManualWorkflow(third).resume("r1", {"r1-1": "approve"}, scope=MINE)
    assert (answer.status, (await message.answer()).status) == ("complete", "complete")
    assert f"User: {talk.text}" in other.prompts[0]


async def test_a_place_in_the_line_is_kept_renewed_lost_and_left(store: Store, question: Question) -> None:
    conversation_lock = StoredConversationLock(store)
    one, two = (replace(question, run_id=r, conversation="c1") for r in ("r1", "r2"))
    first, second = await conversation_lock.ask(one, seconds=60), await conversation_lock.ask(two, seconds=120)
    assert second.number > first.number
    assert await conversation_lock.ask(two, seconds=120) == second
    assert await conversation_lock.wait(first, within=0)
    assert not await conversation_lock.wait(second, within=0.05)
    assert await conversation_lock.hold(first, seconds=60)
    async with store.transaction("t1") as conn:  # the first has died: its lease has run out
        await conn.execute("update conversation_tickets set held_until = clock_timestamp() where run_id = 'r1'")
    assert await conversation_lock.wait(second, within=0)
    assert not await conversation_lock.hold(first, seconds=5)
    assert (await conversation_lock.ask(one, seconds=5)).number > second.number
    await conversation_lock.leave(first)  # an old ticket takes nobody's place away
    again = await conversation_lock.ask(one, seconds=5)
    assert not await conversation_lock.wait(again, within=0)
    await conversation_lock.leave(second)
    assert await conversation_lock.wait(again, within=0)


async def test_a_line_is_joined_by_one_at_a_time(store: Store, question: Question) -> None:
    conversation_lock, talk = StoredConversationLock(store), replace(question, conversation="c1")
    async with store.transaction("t1") as conn:
        await conn.execute(LOCK_LINE, {"tenant": "t1", "user": "u1", "conversation": "c1"})  # one that joins just now
        joining = asyncio.create_task(conversation_lock.ask(talk, seconds=5))
        elsewhere = await conversation_lock.ask(replace(talk, conversation="c2"), seconds=5)
        await asyncio.sleep(0.1)
        assert not joining.done()
    assert (await joining).number > elsewhere.number


async def test_the_line_is_in_the_order_of_joining_whatever_was_written_down_first(
    services: Any, question: Question, store: Store
) -> None:
    one, two = (replace(question, text=r, run_id=r, conversation="c1") for r in ("r1", "r2"))
    for late in (two, one):
        await Turns(store).begin(late, mode=4)
    made, turns = services(reply=0.3), []
    workflow = Mode4ChatAutomaticWorkflow(made)
    for place, message in enumerate((one, two), start=1):
        turns.append(workflow.start(message))
        while await _in_line(store) < place:
            await asyncio.sleep(0.005)
    answers = await asyncio.wait_for(asyncio.gather(*(turn.answer() for turn in turns)), 20)
    assert {answer.status for answer in answers} == {"complete"}
    assert [prompt.question.text for prompt in made.prompts] == ["r1", "r2"]
    assert "User: r1" in made.prompts[1]


async def test_two_hundred_turns_cost_the_same_each_and_the_last_prompt_has_summary_and_window(
    services: Any, question: Question, store: Store
) -> None:
    made = services()
    workflow = Mode4ChatAutomaticWorkflow(made, watchers=())
    sizes = {}
    for i in range(1, 201):
        text = f"Question {i:03d}: does it lower HbA1c?"
        await workflow.execute(replace(question, text=text, run_id=f"r{i:03d}", conversation="c1"))
        if i in {50, 100, 150, 200}:
            sizes[i] = await _bytes(store)
    slopes = [(sizes[b] - sizes[a]) / 50 for a, b in ((50, 100), (100, 150), (150, 200))]
    assert max(slopes) <= 1.02 * min(slopes), slopes
    last, early = made.prompts[-1], made.prompts[99]
    assert len(last.memory.turns) == len(early.memory.turns) == 4
    assert [t.question for t in last.memory.turns] == [f"Question {i}: does it lower HbA1c?" for i in range(196, 200)]
    assert "- Asked: Question 195: does it lower HbA1c? Answered: The trial enrolled 412 adults" in last
    assert "still earlier turns are not in this summary.)" in last
    assert abs(len(str(last)) - len(str(early))) <= 2


async def _registered(store: Store, run_id: str) -> bool:
    async with store.transaction("t1") as conn:
        found = await conn.execute("select from turns where run_id = %s", [run_id])
        return await found.fetchone() is not None


async def _in_line(store: Store) -> int:
    async with store.transaction("t1") as conn:
        row = await (await conn.execute("select count(*) from conversation_tickets")).fetchone()
    assert row is not None
    return int(row[0])


async def _bytes(store: Store) -> int:
    """What the conversation's rows weigh, in every table that a turn writes to."""
    total = 0
    async with store.transaction("t1") as conn:
        for table in ("conversations", "turns", "ledger", "citations", "facts", "paused_turns", "approvals"):
            query = f"select coalesce(sum(pg_column_size(t.*)), 0) from {table} t".encode()
            row = await (await conn.execute(query)).fetchone()
            assert row is not None
            total += int(row[0])
    assert await _in_line(store) == 0
    return total


def test_a_summary_is_word_for_word_and_says_what_it_has_lost() -> None:
    turns = [PastTurn(f"What is {i}?", f"It is {i} [1]. And more.", f"r{i}") for i in range(30)]
    short = extended("", turns[:2], tokens=100)
    assert short == "- Asked: What is 0? Answered: It is 0 [1].\n- Asked: What is 1? Answered: It is 1 [1]."
    step_by_step = ""
    for turn in turns:
        step_by_step = extended(step_by_step, [turn], tokens=100)
    assert step_by_step == extended("", turns, tokens=100)
    assert step_by_step.startswith("(21 still earlier turns are not in this summary.)\n- Asked: What is 21?")
    assert step_by_step.endswith("What is 29? Answered: It is 29 [1].")
    long = extended("", [PastTurn("a\nb " * 200, "c " * 500, "r")], tokens=10)
    assert long.startswith("- Asked: a b a b")
    assert "\n" not in long
    assert long.count("…") == 2
