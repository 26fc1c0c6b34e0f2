"""What was said before, within the window; and what is known of the person."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import psycopg
import pytest

from vital_engine.errors import NotFound
from vital_engine.nouns import Memory, PastTurn, Question, Scope, TurnRecord
from vital_engine.ports import MemoryStore
from vital_engine.store import Conversations, Store, Turns
from vital_engine.store import conversations as module
from vital_engine.store.conversations import CUT
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import OWNER
from vital_engine.text.tokens import estimate_by_bytes

ANNA = Scope("clinic", "anna")
NOW = Question("And now?", tenant="clinic", user="anna", conversation="c1", run_id="now")


async def say(store: Store, run_id: str, answer: str = "An answer.", status: str = "complete", **changes: Any) -> None:
    question = dataclasses.replace(NOW, text=f"Question of {run_id}?", run_id=run_id, **changes)
    turn = TurnRecord(run_id, question, mode=4, status=status, text=answer, expert="e", receipt={}, seconds=1.0)
    await Turns(store).save(turn)


def past(*run_ids: str) -> tuple[PastTurn, ...]:
    return tuple(PastTurn(f"Question of {r}?", "An answer.", r) for r in run_ids)


@pytest.fixture
def talks(store: Store) -> Conversations:
    return Conversations(store)


async def test_it_fulfils_its_port(talks: Conversations) -> None:
    assert isinstance(talks, MemoryStore)


async def test_without_a_conversation_memory_is_empty_and_has_not_failed(talks: Conversations, store: Store) -> None:
    await say(store, "r1")
    assert await talks.recall(dataclasses.replace(NOW, conversation=None)) == Memory()
    assert await talks.recall(dataclasses.replace(NOW, conversation="new")) == Memory()


async def test_earlier_turns_come_oldest_first(talks: Conversations, store: Store) -> None:
    for n in range(3):
        await say(store, f"r{n}")
    assert (await talks.recall(NOW)).turns == past("r0", "r1", "r2")


async def test_only_completed_turns_of_this_conversation_and_person_are_recalled(
    talks: Conversations, store: Store
) -> None:
    await say(store, "mine")
    await say(store, "failed", status="failed")
    await say(store, "partial", status="partial")
    await say(store, "elsewhere", conversation="c2")
    await say(store, "alone", conversation=None)
    await say(store, "berts", user="bert")
    await say(store, "theirs", tenant="rival")
    await Turns(store).begin(dataclasses.replace(NOW, run_id="running"), mode=4)
    assert (await talks.recall(NOW)).turns == past("mine")


async def test_a_turn_does_not_recall_itself(talks: Conversations, store: Store) -> None:
    await say(store, "now")
    assert (await talks.recall(NOW)).turns == ()


async def test_the_window_is_bounded_by_turns(talks: Conversations, store: Store) -> None:
    for n in range(12):
        await say(store, f"r{n:02}")
    assert (await talks.recall(NOW)).turns == past(*(f"r{n:02}" for n in range(2, 12)))
    assert (await Conversations(store, turns=1).recall(NOW)).turns == past("r11")


async def test_the_window_is_bounded_by_tokens_at_its_edge(store: Store) -> None:
    """A turn here is 4 + 3 tokens: 'Question of r0?' and 'An answer.'"""
    for n in range(3):
        await say(store, f"r{n}")
    for tokens, expected in ((21, ("r0", "r1", "r2")), (20, ("r1", "r2")), (14, ("r1", "r2")), (13, ("r2",))):
        assert (await Conversations(store, tokens=tokens).recall(NOW)).turns == past(*expected), tokens


async def test_the_oldest_is_dropped_first_also_when_it_is_the_short_one(store: Store) -> None:
    await say(store, "r0")
    await say(store, "r1", answer="long " * 400)
    await say(store, "r2")
    assert (await Conversations(store, tokens=100).recall(NOW)).turns == past("r2")


async def test_a_latest_turn_that_is_too_long_alone_is_cut_and_shows_it(store: Store) -> None:
    await say(store, "r0")
    await say(store, "r1", answer="Ä" * 9000)
    (only,) = (await Conversations(store, tokens=50).recall(NOW)).turns
    assert only.question == "Question of r1?"
    assert only.answer.endswith(CUT) and only.answer.startswith("ÄÄÄ")
    assert 45 <= estimate_by_bytes(only.question) + estimate_by_bytes(only.answer) <= 50
    assert (await Conversations(store, tokens=2).recall(NOW)).turns == ()


async def test_a_long_conversation_is_recalled_by_its_window_alone(
    database_server: EmbeddedServer, database: str, store: Store
) -> None:
    """As the server counts: not more rows read than the window has, among 3,000 turns, most of them failed."""
    async with store.transaction("clinic") as conn:
        await conn.execute("insert into conversations (tenant, user_id, id, title) values ('clinic', 'anna', 'c1', '')")
        await conn.execute(
            "insert into turns (tenant, run_id, user_id, conversation, mode, question, status, ended_at, fingerprint)"
            " select 'clinic', 'r' || n, 'anna', 'c1', 4, 'q', case when n % 3 = 0 then 'complete' else 'failed' end,"
            " now(), '' from generate_series(1, 3000) n"
        )
    with psycopg.connect(database_server.url(role=OWNER, database=database), autocommit=True) as owner:
        owner.execute("analyze")
    given = {"user": "anna", "conversation": "c1", "run_id": "now", "turns": 10}
    async with store.transaction("clinic") as conn:
        row = await (await conn.execute("explain (analyze, format json) " + module.RECALL, given)).fetchone()
    text = json.dumps(row[0])
    assert "turns_to_recall" in text and "Seq Scan" not in text and "Sort" not in text
    node = row[0][0]["Plan"]
    while "Plans" in node:
        node = node["Plans"][0]
    assert node["Actual Rows"] == 10 and node.get("Rows Removed by Filter", 0) == 0


async def test_summary_and_facts_are_recalled(talks: Conversations, store: Store) -> None:
    await say(store, "r1")
    await say(store, "r2")
    await talks.summarise("c1", "About the heart.", ANNA, through="r1")
    first = await talks.learn("Is allergic to penicillin.", ANNA, source="r1")
    await talks.learn("Prefers metric units.", ANNA, source="r2")
    assert await talks.learn("Is allergic to penicillin.", ANNA, source="r2") == first
    memory = await talks.recall(NOW)
    assert memory.summary == "About the heart."
    assert memory.facts == ("Is allergic to penicillin.", "Prefers metric units.")
    await talks.forget(first, ANNA)
    assert (await talks.recall(NOW)).facts == ("Prefers metric units.",)
    assert (await talks.recall(dataclasses.replace(NOW, user="bert"))) == Memory()


async def test_an_older_summary_does_not_replace_a_newer_one(talks: Conversations, store: Store) -> None:
    await say(store, "r1")
    await say(store, "r2")
    await talks.summarise("c1", "Both.", ANNA, through="r2")
    with pytest.raises(NotFound):
        await talks.summarise("c1", "One.", ANNA, through="r1")
    assert (await talks.recall(NOW)).summary == "Both."


async def test_facts_and_summaries_need_a_source_of_ones_own(talks: Conversations, store: Store) -> None:
    await say(store, "berts", user="bert")
    with pytest.raises(NotFound):
        await talks.learn("A rumour.", ANNA, source="berts")
    with pytest.raises(NotFound):
        await talks.summarise("c1", "A rumour.", ANNA, through="berts")
    with pytest.raises(NotFound):
        await talks.forget(1, ANNA)


async def test_conversations_are_listed_by_their_latest_use_and_belong_to_one_person(
    talks: Conversations, store: Store
) -> None:
    for run_id, talk in (("r1", "c1"), ("r2", "c2"), ("r3", "c1")):
        await say(store, run_id, conversation=talk)
    await say(store, "r4", user="bert")
    listed = await talks.list(ANNA)
    assert [(c.id, c.title) for c in listed] == [("c1", "Question of r1?"), ("c2", "Question of r2?")]
    assert [c.id for c in await talks.list(ANNA, before=listed[0].updated_at)] == ["c2"]
    await talks.rename("c1", "The heart", ANNA)
    assert (await talks.list(ANNA, limit=1))[0].title == "The heart"
    assert (await talks.list(Scope("clinic", "bert")))[0].title == "Question of r4?"
    for scope in (Scope("rival", "anna"), Scope("clinic", "carla")):
        with pytest.raises(NotFound):
            await talks.rename("c1", "Taken", scope)
        with pytest.raises(NotFound):
            await talks.delete("c1", scope)


async def test_a_deleted_conversation_takes_its_turns_and_facts_and_leaves_the_ledger(
    talks: Conversations, store: Store
) -> None:
    await say(store, "r1")
    await say(store, "r2", conversation="c2")
    await talks.learn("Learned there.", ANNA, source="r1")
    async with store.transaction("clinic") as conn:
        await conn.execute(
            "insert into ledger (tenant, call_id, run_id, user_id, position, purpose, model, provider, usd, price, status)"
            " values ('clinic', 'call', 'r1', 'anna', 0, 'reply', 'm', 'p', 0.5, '', 'done')"
        )
    await talks.delete("c1", ANNA)
    assert await talks.recall(NOW) == Memory()
    assert [line.run_id for line in await Turns(store).list(ANNA)] == ["r2"]
    async with store.transaction("clinic") as conn:
        assert await (await conn.execute("select call_id, run_id from ledger")).fetchall() == [("call", None)]
