"""Older turns by their meaning: those of this conversation that fit the question, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from vital_engine.errors import RetrievalError
from vital_engine.nouns import PastTurn, Question, Scope, TurnRecord
from vital_engine.ports import Embedder, TurnStore
from vital_engine.store import Conversations, Store, Summaries, Turns, TurnVectors
from vital_engine.store import turn_vectors as module
from vital_engine.store.conversations import CUT
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import OWNER
from vital_engine.testing import HashedEmbedder
from vital_engine.text.tokens import estimate_by_bytes

ANNA = Scope("clinic", "anna")
NOW = Question("Which dose of metformin?", tenant="clinic", user="anna", conversation="c1", run_id="now")
DOSE = ("The dose of metformin?", "Metformin: a dose of 500 mg.")
FILL = """
insert into conversations (tenant, user_id, id, title)
select 'clinic', 'anna', 'c' || n, '' from generate_series(0, 59) n;
insert into turns (tenant, run_id, user_id, conversation, mode, question, status, ended_at, fingerprint)
select 'clinic', 'r' || n, 'anna', 'c' || n % 60, 4, 'q', 'complete', now(), '' from generate_series(0, 2999) n;
insert into turn_vectors (tenant, run_id, user_id, conversation, ordinal, model, embedding)
select tenant, run_id, user_id, conversation, ordinal, 'm', '[1,0]' from turns
"""
RASH = ("Is a rash common?", "A rash is rare.")


class Counting(HashedEmbedder):
    """Keeps what it was asked for."""

    def __init__(self, dimensions: int = 384) -> None:
        super().__init__(dimensions)
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return super().embed(texts)


async def say(store: Store, run_id: str, said: tuple[str, str], status: str = "complete", **changes: Any) -> Question:
    question = replace(NOW, text=said[0], run_id=run_id, **changes)
    await Turns(store).save(TurnRecord(run_id, question, 4, status, said[1], "e", {}, seconds=1.0))
    return question


async def filled(store: Store, turns: int = 3, **changes: Any) -> None:
    """So many turns on nothing in particular."""
    for n in range(turns):
        await say(store, f"f{n:03}", (f"Filler {n}?", f"Nothing {n}."), **changes)


def talks(store: Store, embedder: Embedder | None = None, **more: Any) -> tuple[Conversations, TurnVectors]:
    vectors = TurnVectors(store, embedder or HashedEmbedder())
    return Conversations(store, **{"turns": 2, "vectors": vectors, **more}), vectors


async def test_older_turns_that_fit_the_question_come_first_and_in_their_order(store: Store) -> None:
    memory, vectors = talks(store)
    await say(store, "r1", DOSE)
    await say(store, "r2", RASH)
    await say(store, "r3", ("And what dose of metformin for a child?", "A lower dose of metformin."))
    await filled(store)
    assert await vectors.embed(NOW) == 6
    assert await vectors.embed(NOW) == 0
    recalled = await memory.recall(NOW)
    assert [turn.run_id for turn in recalled.turns] == ["r1", "r3", "f001", "f002"]
    assert recalled.turns[0] == PastTurn(*DOSE, "r1")
    unlike = await memory.recall(replace(NOW, text="What of bees?"))
    assert [turn.run_id for turn in unlike.turns] == ["f001", "f002"]
    like_the_window = await memory.recall(replace(NOW, text="Filler? Nothing?"))
    assert [turn.run_id for turn in like_the_window.turns] == ["f000", "f001", "f002"]


async def test_only_completed_turns_of_this_conversation_and_person_are_found(store: Store) -> None:
    memory, vectors = talks(store)
    await say(store, "failed", DOSE, status="failed")
    await say(store, "elsewhere", DOSE, conversation="c2")
    await say(store, "berts", DOSE, user="bert")
    await say(store, "theirs", DOSE, tenant="rival")
    await say(store, "mine", DOSE)
    await filled(store)
    others: list[dict[str, Any]] = [{}, {"conversation": "c2"}, {"user": "bert"}, {"tenant": "rival"}]
    for other in others:
        assert await vectors.embed(replace(NOW, **other)) > 0
    assert [turn.run_id for turn in (await memory.recall(NOW)).turns] == ["mine", "f001", "f002"]
    async with store.transaction("clinic") as conn:
        rows = await (await conn.execute("select run_id from turn_vectors where run_id not like 'f0%'")).fetchall()
    assert {run_id for (run_id,) in rows} == {"mine", "elsewhere", "berts"}


async def test_without_older_turns_nothing_is_looked_for_and_without_an_embedder_it_is_as_before(store: Store) -> None:
    embedder = Counting()
    memory, vectors = talks(store, embedder, turns=4)
    await say(store, "r1", DOSE)
    await filled(store, 3)
    recalled = await memory.recall(NOW)
    assert (len(recalled.turns), embedder.asked) == (4, [])
    for n in range(3, 6):
        await say(store, f"f{n:03}", (f"Filler {n}?", f"Nothing {n}."))
    await vectors.embed(NOW)
    assert "r1" in [turn.run_id for turn in (await memory.recall(NOW)).turns]
    assert embedder.asked[-1] == [NOW.text]
    plain = await Conversations(store, turns=4).recall(NOW)
    assert [turn.run_id for turn in plain.turns] == ["f002", "f003", "f004", "f005"]


async def test_window_and_older_turns_share_the_tokens(store: Store) -> None:
    memory, vectors = talks(store, turns=10, tokens=400)
    for n in range(9):
        await say(store, f"r{n}", (DOSE[0], f"{DOSE[1]} {'Metformin dose. ' * 9}"))
    await vectors.embed(NOW)
    recalled = await memory.recall(NOW)
    sizes = {t.run_id: estimate_by_bytes(t.question) + estimate_by_bytes(t.answer) for t in recalled.turns}
    older, window = recalled.turns[:2], recalled.turns[2:]
    assert [t.run_id for t in window] == ["r3", "r4", "r5", "r6", "r7", "r8"]
    assert {t.run_id for t in older} < {"r0", "r1", "r2"}
    assert 250 <= sum(sizes[t.run_id] for t in window) <= 300
    assert sum(sizes[t.run_id] for t in older) <= 100
    assert len((await Conversations(store, turns=10, tokens=400).recall(NOW)).turns) == 8


async def test_an_older_turn_that_is_too_long_has_its_answer_cut_and_shows_it(store: Store) -> None:
    memory, vectors = talks(store, tokens=400)
    await say(store, "r1", (DOSE[0], "Metformin dose. " * 60))
    await filled(store)
    await vectors.embed(NOW)
    first = (await memory.recall(NOW)).turns[0]
    assert first.run_id == "r1" and first.answer.endswith(CUT)
    assert estimate_by_bytes(first.question) + estimate_by_bytes(first.answer) <= 100


async def test_two_hundred_turns_are_recalled_within_the_same_bounds_and_the_summary_goes_on(store: Store) -> None:
    memory, vectors = talks(store, turns=4, tokens=400)
    summaries = Summaries(store, memory, tokens=200)
    sizes = []
    for n in range(200):
        question = await say(store, f"r{n:03}", (f"Dose of metformin {n:03}?", "A dose of metformin of 500 mg. " * 4))
        await vectors.embed(question)
        if n > 100:
            await summaries.summarize(question)
            recalled = await memory.recall(NOW)
            sizes.append(sum(estimate_by_bytes(t.question) + estimate_by_bytes(t.answer) for t in recalled.turns))
    assert len(set(sizes)) == 1 and sizes[0] <= 400, set(sizes)
    recalled = await memory.recall(NOW)
    assert [t.run_id for t in recalled.turns[-4:]] == ["r196", "r197", "r198", "r199"]
    assert len(recalled.turns) > 4
    assert "metformin 195?" in recalled.summary and "metformin 196?" not in recalled.summary


async def test_an_erased_conversation_takes_its_vectors(store: Store) -> None:
    memory, vectors = talks(store)
    await say(store, "r1", DOSE)
    await say(store, "r2", DOSE, conversation="c2")
    for talk in ("c1", "c2"):
        await vectors.embed(replace(NOW, conversation=talk))
    await memory.delete("c1", ANNA)
    async with store.transaction("clinic") as conn:
        assert await (await conn.execute("select run_id from turn_vectors")).fetchall() == [("r2",)]


async def test_what_is_erased_while_it_is_embedded_gets_no_vector_not_even_under_its_old_id(store: Store) -> None:
    memory, vectors = talks(store, embedder := Counting())
    loop = asyncio.get_running_loop()
    await say(store, "r1", DOSE)
    await say(store, "r2", DOSE)

    async def erase_and_ask_anew() -> None:
        await memory.delete("c1", ANNA)
        await say(store, "r1", RASH)

    def embed(texts: Sequence[str]) -> Any:
        asyncio.run_coroutine_threadsafe(erase_and_ask_anew(), loop).result(20)
        return HashedEmbedder.embed(embedder, texts)

    embedder.embed = embed  # type: ignore[method-assign]
    assert await vectors.embed(NOW) == 0
    async with store.transaction("clinic") as conn:
        assert await (await conn.execute("select run_id from turn_vectors")).fetchall() == []


async def test_vectors_of_another_model_are_not_compared_and_are_replaced(store: Store) -> None:
    await say(store, "r1", DOSE)
    await filled(store)
    await talks(store, HashedEmbedder(64))[1].embed(NOW)
    memory, vectors = talks(store)
    assert [t.run_id for t in (await memory.recall(NOW)).turns] == ["f001", "f002"]
    assert await vectors.embed(NOW) == 4
    assert [t.run_id for t in (await memory.recall(NOW)).turns] == ["r1", "f001", "f002"]


async def test_turns_of_before_are_embedded_by_and_by(store: Store) -> None:
    _, vectors = talks(store)
    await filled(store, 40)
    assert [await vectors.embed(NOW) for _ in range(4)] == [16, 16, 8, 0]


async def test_an_embedder_that_fails_costs_the_older_turns_alone(store: Store) -> None:
    class Broken(HashedEmbedder):
        def embed(self, texts: Sequence[str]) -> Any:
            raise RetrievalError("gone", service="retrieval")

    memory, _ = talks(store, Broken())
    await filled(store)
    recalled = await memory.recall(NOW)
    assert [t.run_id for t in recalled.turns] == ["f001", "f002"] and not recalled.failed


@pytest.mark.parametrize(
    ("status", "talk", "embedded"), [("complete", "c1", 1), ("partial", "c1", 0), ("complete", None, 0)]
)
async def test_a_turn_is_embedded_after_it_is_kept_and_not_while(
    store: Store, status: str, talk: str | None, embedded: int
) -> None:
    begun: list[Coroutine[Any, Any, int]] = []
    _, vectors = talks(store)
    keeper = vectors.embedding(Turns(store), begun.append)
    assert isinstance(keeper, TurnStore)
    question = replace(NOW, conversation=talk)
    await keeper.save(TurnRecord("now", question, 4, status, "500 mg.", "e", {}, seconds=1.0))
    assert len(begun) == embedded
    assert [await work for work in begun] == [1] * embedded


async def test_a_search_reads_one_conversation(database_server: EmbeddedServer, database: str, store: Store) -> None:
    """As the server counts: the turns of one conversation among 60, by the index."""
    async with store.transaction("clinic") as conn:
        for query in FILL.split(";"):
            await conn.execute(query.encode())
    with psycopg.connect(database_server.url(role=OWNER, database=database), autocommit=True) as owner:
        owner.execute("analyze")
    given = {"user": "anna", "conversation": "c1", "run_id": "now", "model": "m", "vector": "[1,0]"}
    async with store.transaction("clinic") as conn:
        query = "explain (analyze, format json) " + module.NEAREST
        row = await (await conn.execute(query.encode(), {**given, "before": 10**9, "limit": 5})).fetchone()
    assert row is not None
    scanned = [node for node in _nodes(row[0][0]["Plan"]) if node.get("Relation Name") == "turn_vectors"]
    assert [node["Actual Rows"] for node in scanned] == [50], json.dumps(row[0])
    assert all(node["Node Type"] != "Seq Scan" for node in scanned)


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(found for part in plan.get("Plans", ()) for found in _nodes(part))]
