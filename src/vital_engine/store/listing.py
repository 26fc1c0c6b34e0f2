"""What lists show: calls that a person was asked about, and what was said in a conversation. Only reads.

A list reads neither what a paused turn had made nor receipts: its cost does not grow with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from vital_engine.errors import NotFound
from vital_engine.nouns import Approval, Scope, transitions

from .paused_state import read
from .plain import storable
from .pool import Store

__all__ = ["ApprovalLine", "Listing", "SaidTurn", "Talk"]

# An approval that nobody settled in time has expired, although nothing has written that down.
APPROVALS = """
select a.approval, t.ordinal, a.position, t.status, t.mode, t.question, t.conversation, clock_timestamp()
from approvals a join paused_turns p using (tenant, run_id) join turns t using (tenant, run_id)
where p.user_id = %(user)s
  and (%(id)s::text is null or a.id = %(id)s)
  and (%(run_id)s::text is null or a.run_id = %(run_id)s)
  and (%(statuses)s::text[] is null
       or case when a.status = 'proposed' and a.expires_at <= clock_timestamp() then 'expired' else a.status end
          = any(%(statuses)s::text[]))
  and (%(ordinal)s::bigint is null or (t.ordinal, -a.position) < (%(ordinal)s::bigint, -%(position)s::integer))
order by t.ordinal desc, a.position limit %(limit)s
"""

TALK = "select id, title, created_at, updated_at from conversations where user_id = %s and id = %s"

SAID = """
select run_id, ordinal, mode, expert, question, text, status, begun_at, ended_at, seconds from turns
where user_id = %(user)s and conversation = %(conversation)s
  and ordinal < coalesce(%(before)s, 9223372036854775807)
order by ordinal desc limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class ApprovalLine:
    """An approval as it stands now, and of its turn what a person must know to decide.

    ``turn_status`` is that of the turn: paused until it is answered. ``place`` (the turn's ordinal, the call's position
    in it) is where a page ends.
    """

    approval: Approval
    turn_status: str
    mode: int
    question: str
    conversation: str | None
    place: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation by itself. Times are aware."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SaidTurn:
    """A turn as it is read in its conversation: what was asked and what was answered. ``text`` is empty until it has
    ended; ``ordinal`` grows with each turn that begins; ``seconds`` None: it has not ended."""

    run_id: str
    ordinal: int
    mode: int
    expert: str
    question: str
    text: str
    status: str
    begun_at: datetime
    ended_at: datetime | None
    seconds: float | None


class Listing:
    """Reads for one tenant and user at a time; each method is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def approvals(
        self,
        scope: Scope,
        *,
        statuses: Sequence[str] = (),
        run_id: str | None = None,
        after: tuple[int, int] | None = None,
        limit: int = 50,
    ) -> tuple[ApprovalLine, ...]:
        """Calls that *scope*'s user was asked about: of the latest turn first, in a turn as they were proposed.

        :param statuses: only these, see :data:`vital_engine.nouns.ApprovalStatus`; none: all.
        :param run_id: only those of this turn.
        :param after: the ``place`` of the last line of the page before.
        """
        return await self._approvals(scope, list(statuses) or None, run_id, None, after, limit)

    async def approval(self, approval: str, scope: Scope) -> ApprovalLine:
        """The call of that id; where it stands in several turns, that of the latest. NotFound if in none."""
        found = await self._approvals(scope, None, None, approval, None, 1)
        if not found:
            raise NotFound(f"no proposed call {approval}")
        return found[0]

    async def conversation(
        self, conversation: str, scope: Scope, *, before: int | None = None, limit: int = 50
    ) -> tuple[Talk, tuple[SaidTurn, ...]]:
        """A conversation and its latest turns, at most *limit*, oldest first. NotFound if there is none.

        :param before: only turns whose ordinal is below this: the first turn's ordinal leads to the page before it.
        """
        user, talk = storable(scope.user), storable(conversation)
        given = {"user": user, "conversation": talk, "before": before, "limit": limit}
        async with self._store.transaction(scope.tenant) as conn:
            async with conn.cursor(row_factory=class_row(Talk)) as cursor:
                found = await (await cursor.execute(TALK, [user, talk])).fetchone()
            if found is None:
                raise NotFound(f"no conversation {conversation}")
            async with conn.cursor(row_factory=class_row(SaidTurn)) as cursor:
                said = await (await cursor.execute(SAID, given)).fetchall()
        return found, tuple(reversed(said))

    async def _approvals(
        self,
        scope: Scope,
        statuses: list[str] | None,
        run_id: str | None,
        approval: str | None,
        after: tuple[int, int] | None,
        limit: int,
    ) -> tuple[ApprovalLine, ...]:
        ordinal, position = after or (None, None)
        given: dict[str, Any] = {
            "user": storable(scope.user),
            "id": None if approval is None else storable(approval),
            "run_id": None if run_id is None else storable(run_id),
            "statuses": statuses,
            "ordinal": ordinal,
            "position": position,
            "limit": limit,
        }
        async with self._store.transaction(scope.tenant) as conn:
            rows = await (await conn.execute(APPROVALS, given)).fetchall()
        return tuple(_line(row) for row in rows)


def _line(row: tuple[Any, ...]) -> ApprovalLine:
    state, ordinal, position, status, mode, question, conversation, now = row
    approval = transitions.lapse(read(Approval, state), now)
    return ApprovalLine(approval, status, mode, question, conversation, (ordinal, position))
