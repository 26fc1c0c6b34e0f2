"""Conversations: earlier turns within a window, a summary of the turns before it, and facts about the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from vital_engine.errors import NotFound, RetrievalError
from vital_engine.nouns import Memory, PastTurn, Question, Scope
from vital_engine.text.sentences import SentenceStream
from vital_engine.text.tokens import estimate_by_bytes

from .plain import storable
from .pool import Connection, Store
from .turn_vectors import TurnVectors

__all__ = ["CUT", "TOKENS", "TURNS", "ConversationLine", "Conversations", "Summaries", "extended", "fitting"]

TURNS, TOKENS = 10, 2000
"""The largest window of a conversation, by default."""

CUT = " […]"
"""Ends an answer that was too long for the window on its own."""


def fitting(first: Sequence[PastTurn], budget: int) -> tuple[PastTurn, ...]:
    """As many of *first*, from the first on, as fit *budget* tokens, in reverse order: of the newest first, oldest first.

    Whole turns; only the first one, if it alone is too long, has its answer cut, which shows.
    """
    kept: list[PastTurn] = []
    for turn in first:
        size = estimate_by_bytes(turn.question) + estimate_by_bytes(turn.answer)
        if size > budget:
            if not kept and (room := 4 * (budget - estimate_by_bytes(turn.question) - estimate_by_bytes(CUT))) > 0:
                answer = turn.answer.encode(errors="replace")[:room].decode(errors="ignore")
                kept.append(PastTurn(turn.question, answer + CUT, turn.run_id))
            break
        kept.append(turn)
        budget -= size
    return tuple(reversed(kept))


OLDER = 5
"""Turns from before the window that are recalled by their meaning, at most."""

RECALL = """
select question, text, run_id, ordinal from turns
where user_id = %(user)s and conversation = %(conversation)s
  and status = 'complete' and run_id <> %(run_id)s
order by ordinal desc limit %(turns)s
"""

LIST = """
select id, title, summary, created_at, updated_at from conversations
where user_id = %(user)s and (%(before)s::timestamptz is null or updated_at < %(before)s)
order by updated_at desc limit %(limit)s
"""

SUMMARISE = """
update conversations c set summary = %(summary)s, summary_through = t.ordinal from turns t
where c.user_id = %(user)s and c.id = %(id)s
  and t.user_id = c.user_id and t.conversation = c.id and t.run_id = %(through)s
  and coalesce(c.summary_through, 0) <= t.ordinal
"""

LEARN = """
insert into facts (tenant, user_id, text, source_run)
select t.tenant, t.user_id, %(text)s, t.run_id from turns t where t.user_id = %(user)s and t.run_id = %(source)s
on conflict (tenant, user_id, text) do update set text = excluded.text
returning ordinal
"""


@dataclass(frozen=True, slots=True)
class ConversationLine:
    """A conversation as a list shows it; its ``title`` is the start of its first question until it is renamed."""

    id: str
    title: str
    summary: str
    created_at: datetime
    updated_at: datetime


class Conversations:
    """Implements the port :class:`~vital_engine.ports.MemoryStore`.

    :param turns: the largest number of earlier turns to recall.
    :param tokens: the tokens that they may have together, by :func:`~vital_engine.text.tokens.estimate_by_bytes`.
    :param facts: the largest number of facts about the user; the latest ones count.
    :param vectors: finds older turns by their meaning; None: all of the tokens are the window's.
    :param older: the share of the tokens that older turns may use, 0 to 1.
    """

    def __init__(
        self,
        store: Store,
        *,
        turns: int = TURNS,
        tokens: int = TOKENS,
        facts: int = 20,
        vectors: TurnVectors | None = None,
        older: float = 0.25,
    ) -> None:
        self._store = store
        self._turns = turns
        self._facts = facts
        self._vectors = vectors
        self._older = int(tokens * older) if vectors is not None else 0
        self._tokens = tokens - self._older

    @property
    def turns(self) -> int:
        """How many earlier turns are recalled at most."""
        return self._turns

    def window(self, newest_first: Sequence[PastTurn]) -> tuple[PastTurn, ...]:
        """The turns that a recall shows, oldest first.

        :param newest_first: the latest turns of a conversation.
        """
        return fitting(newest_first[: self._turns], self._tokens)

    async def recall(self, question: Question) -> Memory:
        """The latest completed turns of the question's conversation, oldest first; its summary; facts of its user.

        The window drops the oldest turns first, and whole; only a latest turn that alone is too long has its answer
        cut, which shows. Reads as many rows as the window has, with vectors one more, however long the conversation. A
        question without a conversation has an empty memory.

        With vectors, the older turns that are most like the question come before the window, oldest first. Where the
        conversation is no longer than its window, nothing is looked for, and the question is not embedded.
        """
        if question.conversation is None:
            return Memory()
        given = {
            "user": storable(question.user),
            "conversation": storable(question.conversation),
            "run_id": storable(question.run_id),
            "turns": self._turns if self._vectors is None else self._turns + 1,  # one more tells that there are more
            "facts": self._facts,
        }
        async with self._store.transaction(question.tenant) as conn, conn.pipeline():
            past = await conn.execute(RECALL, given)
            talk = await conn.execute(
                "select summary from conversations where user_id = %(user)s and id = %(conversation)s", given
            )
            known = await conn.execute(
                "select text from facts where user_id = %(user)s order by ordinal desc limit %(facts)s", given
            )
            latest = [(PastTurn(*said), ordinal) for *said, ordinal in await past.fetchall()]
            summary = await talk.fetchone()
            facts = [row[0] for row in await known.fetchall()]
        shown = self.window([turn for turn, _ in latest])
        older: tuple[PastTurn, ...] | None = None
        if self._vectors is not None and len(shown) < len(latest):
            before = latest[len(shown) - 1][1] if shown else latest[0][1] + 1
            older = await self._like(question, self._vectors, before)
        return Memory(
            turns=(*(older or ()), *shown),
            summary=summary[0] if summary else "",
            facts=tuple(reversed(facts)),
        )

    async def _like(self, question: Question, vectors: TurnVectors, before: int) -> tuple[PastTurn, ...]:
        """The older turns that are most like *question*, oldest first; none if the embedder fails, as the window and the
        summary are there all the same."""
        try:
            near = await vectors.nearest(question, before=before, limit=OLDER)
        except RetrievalError:
            return ()
        when = {found.turn.run_id: found.ordinal for found in near}
        return tuple(sorted(fitting([found.turn for found in near], self._older), key=lambda turn: when[turn.run_id]))

    async def list(
        self, scope: Scope, *, limit: int = 50, before: datetime | None = None
    ) -> tuple[ConversationLine, ...]:
        """The conversations of *scope*'s user, the most recently used first.

        :param scope: tenant and user.
        :param limit: the largest number to return.
        :param before: an ``updated_at``; only conversations used before it, for the next page.
        """
        given = {"user": scope.user, "limit": limit, "before": before}
        rows = class_row(ConversationLine)
        async with self._store.transaction(scope.tenant) as conn, conn.cursor(row_factory=rows) as cursor:
            return tuple(await (await cursor.execute(LIST, given)).fetchall())

    async def rename(self, conversation: str, title: str, scope: Scope) -> None:
        """Give a conversation another title.

        :param conversation: its id.
        :param title: the new title.
        :param scope: tenant and user.
        :raises NotFound: the user has no such conversation.
        """
        async with self._store.transaction(scope.tenant) as conn:
            query = "update conversations set title = %s where user_id = %s and id = %s"
            await _changed(
                conn, query, [storable(title), scope.user, storable(conversation)], f"no conversation {conversation}"
            )

    async def delete(self, conversation: str, scope: Scope) -> None:
        """Erase a conversation, its turns and the facts learned in it; the ledger keeps their cost.

        :param conversation: its id.
        :param scope: tenant and user.
        """
        async with self._store.transaction(scope.tenant) as conn:
            query = "delete from conversations where user_id = %s and id = %s"
            await _changed(conn, query, [scope.user, storable(conversation)], f"no conversation {conversation}")
            # No turn waits behind one that is gone; the next of this name runs immediately.
            line = "delete from conversation_tickets where user_id = %s and conversation = %s"
            await conn.execute(line, [scope.user, storable(conversation)])

    async def summarise(self, conversation: str, summary: str, scope: Scope, *, through: str) -> None:
        """Keeps *summary*, which covers the turns up to the run *through*. An older one never replaces a newer one.

        :raises NotFound: no such run in that conversation of *scope*'s user, or a summary goes further already.
        """
        ids = {"user": scope.user, "id": storable(conversation), "through": storable(through)}
        given = {"summary": storable(summary), **ids}
        async with self._store.transaction(scope.tenant) as conn:
            await _changed(conn, SUMMARISE, given, f"no run {through} to summarise in conversation {conversation}")

    async def learn(self, fact: str, scope: Scope, *, source: str) -> int:
        """Keeps a fact about *scope*'s user, learned in the run *source*; its number. Known already: the old number."""
        given = {"text": storable(fact), "user": scope.user, "source": storable(source)}
        async with self._store.transaction(scope.tenant) as conn:
            row = await (await conn.execute(LEARN, given)).fetchone()
        if row is None:
            raise NotFound(f"no run {source}")
        number: int = row[0]
        return number

    async def forget(self, fact: int, scope: Scope) -> None:
        """Erase a fact.

        :param fact: its number.
        :param scope: tenant and user.
        :raises NotFound: the user has no such fact.
        """
        async with self._store.transaction(scope.tenant) as conn:
            query = "delete from facts where user_id = %s and ordinal = %s"
            await _changed(conn, query, [scope.user, fact], f"no fact {fact}")


async def _changed(
    conn: Connection, query: LiteralString, given: Sequence[Any] | Mapping[str, Any], missing: str
) -> None:
    if (await conn.execute(query, given)).rowcount == 0:
        raise NotFound(missing)


QUESTION_CHARACTERS: Final = 160
ANSWER_CHARACTERS: Final = 240
DROPPED: Final = re.compile(r"^\((\d+) still earlier turns? (?:is|are) not in this summary\.\)\n")

# Both read by the index on turns to recall; neither reads more rows than the window has.
LATEST = """
select question, text as answer, run_id from turns
where user_id = %(user)s and conversation = %(conversation)s and status = 'complete'
order by ordinal desc limit %(limit)s
"""

NOT_COVERED = """
select t.question, t.text as answer, t.run_id from turns t
where t.user_id = %(user)s and t.conversation = %(conversation)s and t.status = 'complete'
  and t.ordinal > (select coalesce(c.summary_through, 0) from conversations c
                   where c.user_id = %(user)s and c.id = %(conversation)s)
order by t.ordinal limit %(limit)s
"""

SUMMARY = "select summary from conversations where user_id = %(user)s and id = %(conversation)s"


class Summaries:
    """Implements the port :class:`~vital_engine.ports.Summarizer` for the window of *conversations*.

    :param conversations: whose window.
    :param tokens: size of the summary, by :func:`~vital_engine.text.tokens.estimate_by_bytes`; the oldest lines go
        first, and the summary says how many went.
    """

    def __init__(self, store: Store, conversations: Conversations, *, tokens: int = 600) -> None:
        self._store = store
        self._conversations = conversations
        self._tokens = tokens

    async def summarize(self, question: Question) -> None:
        """Takes the turns that the next recall will not show into the summary. One read; one write, if there are any."""
        conversation = question.conversation
        if conversation is None:
            return
        user, talk = storable(question.user), storable(conversation)
        given = {"user": user, "conversation": talk, "limit": self._conversations.turns + 1}
        rows = class_row(PastTurn)
        async with self._store.transaction(question.tenant) as conn, conn.cursor(row_factory=rows) as cursor:
            latest = await (await cursor.execute(LATEST, given)).fetchall()
            waiting = await (await cursor.execute(NOT_COVERED, given)).fetchall()
            row = await (await conn.execute(SUMMARY, given)).fetchone()
        shown = {turn.run_id for turn in self._conversations.window(latest)}
        gone = [turn for turn in waiting if turn.run_id not in shown]
        if not gone or row is None:
            return
        summary = extended(row[0], gone, tokens=self._tokens)
        scope = Scope(question.tenant, question.user)
        await self._conversations.summarise(conversation, summary, scope, through=gone[-1].run_id)


def extended(summary: str, turns: Sequence[PastTurn], *, tokens: int) -> str:
    """*summary* with a line for each of *turns*: the start of the question, and the answer's first sentence.

    Word for word; what is cut ends in an ellipsis. Beyond *tokens* the oldest lines go, and their number is said.
    """
    before = DROPPED.match(summary)
    dropped = int(before[1]) if before else 0
    lines = [line for line in summary[before.end() if before else 0 :].split("\n") if line]
    lines += [_line(turn) for turn in turns]
    while len(lines) > 1 and sum(estimate_by_bytes(line) for line in lines) > tokens:
        del lines[0]
        dropped += 1
    if not dropped:
        return "\n".join(lines)
    are = "turn is" if dropped == 1 else "turns are"
    return f"({dropped} still earlier {are} not in this summary.)\n" + "\n".join(lines)


def _line(turn: PastTurn) -> str:
    cut = SentenceStream()
    first = next(iter([*cut.feed(turn.answer), *cut.close()]), None)
    answer = first.text if first is not None else turn.answer
    return f"- Asked: {_short(turn.question, QUESTION_CHARACTERS)} Answered: {_short(answer, ANSWER_CHARACTERS)}"


def _short(text: str, characters: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= characters else flat[: characters - 1].rstrip() + "…"
