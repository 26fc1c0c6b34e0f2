"""The running summary of what a conversation's window has dropped: extracted, never invented, and bounded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from psycopg.rows import class_row

from vital_engine.nouns import PastTurn, Question, Scope
from vital_engine.sentences import SentenceStream

from .conversations import Conversations
from .plain import storable
from .pool import Store
from .window import estimated_tokens

__all__ = ["Summaries", "extended"]

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
    """Fulfils the port Condenser for the window of *conversations*.

    :param tokens: what the summary may have, by ``estimated_tokens``; the oldest lines go first, and it says so.
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
    while len(lines) > 1 and sum(estimated_tokens(line) for line in lines) > tokens:
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
