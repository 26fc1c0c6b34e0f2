"""Turns of a conversation by meaning: a vector of each, made after the turn, and the nearest ones to a question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from vital_engine.errors import ServiceError
from vital_engine.nouns import PastTurn, Question, TurnRecord
from vital_engine.ports import Embedder, TurnStore

from .knowledge import literal
from .plain import storable
from .pool import Store

__all__ = ["NearTurn", "TurnVectors"]

log = logging.getLogger(__name__)

LIKENESS: Final = 0.45
"""The least cosine of a question and an earlier turn that is worth recalling. Of all-MiniLM-L6-v2, among the best five: 97 %
of the turns of a medical conversation that are on the question's subject, and 39 % of those that answer one of LoCoMo's
(44 % with none at all); for a question on another subject 2.1 turns and .06 (bench/conversation_memory.py)."""

BACKLOG: Final = 16
"""Turns that are embedded after one turn at most: those of before there was an embedder, or of another model."""

CHARACTERS: Final = 4_000
"""What is read of a turn: more than the 256 word pieces that the model reads."""

MISSING = """
select t.ordinal, left(t.question, %(characters)s), left(t.text, %(characters)s) from turns t
where t.user_id = %(user)s and t.conversation = %(conversation)s and t.status = 'complete'
  and not exists (select from turn_vectors v
                  where v.tenant = t.tenant and v.run_id = t.run_id and v.model = %(model)s)
order by t.ordinal desc limit %(limit)s
"""

# By the ordinal, which no other turn ever has: a run id may be used again once its turn is erased. The lock waits for
# an erasure that is under way, and then finds the turn gone.
EMBED = """
insert into turn_vectors (tenant, run_id, user_id, conversation, ordinal, model, embedding)
select t.tenant, t.run_id, t.user_id, t.conversation, t.ordinal, %(model)s, new.embedding::halfvec
from unnest(%(ordinals)s::bigint[], %(vectors)s::text[]) as new (ordinal, embedding)
join turns t on t.user_id = %(user)s and t.conversation = %(conversation)s and t.ordinal = new.ordinal
for key share of t
on conflict (tenant, run_id) do update set model = excluded.model, embedding = excluded.embedding
"""

NEAREST = """
select run_id, ordinal, embedding <=> %(vector)s::halfvec as distance from turn_vectors
where user_id = %(user)s and conversation = %(conversation)s and ordinal < %(before)s and model = %(model)s
  and run_id <> %(run_id)s
order by distance, ordinal limit %(limit)s
"""

# Not a join: while there are no statistics yet, that is planned to read every turn of the tenant.
READ = "select run_id, question, text from turns where run_id = any(%s) and status = 'complete'"


@dataclass(frozen=True, slots=True)
class NearTurn:
    """An earlier turn. ``ordinal`` grows with each turn that begins."""

    ordinal: int
    turn: PastTurn


class TurnVectors:
    """The vectors of turns, each of its question and answer together.

    :param embedder: whose vectors.
    :param questions: the same model for questions, if it has a cache of its own for them.
    """

    def __init__(self, store: Store, embedder: Embedder, *, questions: Embedder | None = None) -> None:
        self._store, self._embedder = store, embedder
        self._questions = embedder if questions is None else questions

    async def embed(self, question: Question) -> int:
        """Embed completed turns of a conversation that have no vector of this model, the latest first.

        :param question: a question of the conversation.
        :returns: how many turns were embedded, at most 16; turns that are erased meanwhile get no vector.
        """
        if question.conversation is None:
            return 0
        given = {**self._talk(question), "characters": CHARACTERS, "limit": BACKLOG}
        async with self._store.transaction(question.tenant) as conn:
            missing = await (await conn.execute(MISSING, given)).fetchall()
        if not missing:
            return 0
        texts = [f"{asked}\n{answer}" for _, asked, answer in missing]
        rows = await asyncio.get_running_loop().run_in_executor(None, self._embedder.embed, texts)
        vectors = [literal(rows[i]) for i in range(len(texts))]
        made = {**given, "ordinals": [ordinal for ordinal, *_ in missing], "vectors": vectors}
        async with self._store.transaction(question.tenant) as conn:
            return (await conn.execute(EMBED, made)).rowcount

    async def nearest(self, question: Question, *, before: int, limit: int) -> list[NearTurn]:
        """The turns of *question*'s conversation that are most like it, the likest first, at most *limit*.

        Compares with every turn that has a vector, and takes none that is less like it than :data:`LIKENESS`.

        :param before: only turns whose ordinal is below this.
        :raises ServiceError: the embedder or the database failed.
        """
        embed = self._questions.embed
        rows = await asyncio.get_running_loop().run_in_executor(None, embed, [question.text])
        given = {
            **self._talk(question),
            "run_id": storable(question.run_id),
            "vector": literal(rows[0]),
            "before": before,
            "limit": limit,
        }
        async with self._store.transaction(question.tenant) as conn:
            ranked = await (await conn.execute(NEAREST, given)).fetchall()
            near = {run_id: ordinal for run_id, ordinal, distance in ranked if distance <= 1 - LIKENESS}
            found = await (await conn.execute(READ, [list(near)])).fetchall() if near else []
        said = {run_id: PastTurn(asked, answer, run_id) for run_id, asked, answer in found}
        return [NearTurn(ordinal, said[run_id]) for run_id, ordinal in near.items() if run_id in said]

    def embedding(self, turns: TurnStore, start: Callable[[Coroutine[Any, Any, int]], object]) -> TurnStore:
        """*turns*, which from now on also has each turn that it kept embedded, by a task that *start* begins."""
        return _Embedding(self, turns, start)

    def _talk(self, question: Question) -> dict[str, object]:
        conversation = storable(question.conversation or "")
        return {"user": storable(question.user), "conversation": conversation, "model": self._embedder.model}


@dataclass(frozen=True, slots=True)
class _Embedding:
    vectors: TurnVectors
    turns: TurnStore
    start: Callable[[Coroutine[Any, Any, int]], object]

    async def begin(self, question: Question, *, mode: int) -> None:
        await self.turns.begin(question, mode=mode)

    async def save(self, turn: TurnRecord) -> None:
        await self.turns.save(turn)
        if turn.status == "complete" and turn.question.conversation is not None:  # no other is recalled
            self.start(self._embed(turn.question))

    async def _embed(self, question: Question) -> int:
        """No turn waits for it: what fails is tried again after the conversation's next turn."""
        try:
            return await self.vectors.embed(question)
        except ServiceError as error:
            log.warning("turns were not embedded, and cannot be found by their meaning yet: %s", error)
            return 0
