"""One turn of a conversation at a time: a lease for each turn, so that a turn that died blocks the others only until it
expires."""

from __future__ import annotations

import asyncio
from typing import Final

from vital_engine.nouns import Lease, Question, Scope

from .plain import storable
from .pool import Store

__all__ = ["StoredConversationLock"]

FIRST_LOOK: Final = 0.02
LAST_LOOK: Final = 0.5
"""Seconds between two looks of one that waits: from the first, growing, to this."""

# Numbers are given out before they are committed: without this, a higher one could be seen, and speak, before a lower.
LOCK_LINE = """
select pg_advisory_xact_lock(hashtextextended(jsonb_build_array(%(tenant)s::text, %(user)s::text,
    %(conversation)s::text)::text, 0))
"""

# A run that comes again has its old place, unless that has run out: then it stands at the end.
ASK = """
with gone as (
    delete from conversation_tickets where user_id = %(user)s and conversation = %(conversation)s
        and held_until <= clock_timestamp()
    returning run_id),
mine as (
    update conversation_tickets set held_until =
        greatest(held_until, clock_timestamp() + make_interval(secs => %(seconds)s))
    where user_id = %(user)s and conversation = %(conversation)s and run_id = %(run_id)s
        and held_until > clock_timestamp()
    returning ticket)
select ticket from mine
"""

JOIN = """
insert into conversation_tickets as t (tenant, user_id, conversation, run_id, held_until)
values (%(tenant)s, %(user)s, %(conversation)s, %(run_id)s, clock_timestamp() + make_interval(secs => %(seconds)s))
on conflict (tenant, user_id, conversation, run_id) do update
    set held_until = greatest(t.held_until, excluded.held_until)
returning ticket
"""

FIRST = """
select not exists (
    select from conversation_tickets where user_id = %(user)s and conversation = %(conversation)s
        and ticket < %(ticket)s and held_until > clock_timestamp())
"""

HOLD = """
update conversation_tickets set held_until = greatest(held_until, clock_timestamp() + make_interval(secs => %(seconds)s))
where user_id = %(user)s and conversation = %(conversation)s and run_id = %(run_id)s and ticket = %(ticket)s
    and held_until > clock_timestamp()
"""

LEAVE = """
delete from conversation_tickets
where user_id = %(user)s and conversation = %(conversation)s and run_id = %(run_id)s and ticket = %(ticket)s
"""


class StoredConversationLock:
    """Implements the port :class:`~vital_engine.ports.ConversationLock` for all processes that share the database, in
    the order of their first commit.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ask(self, question: Question, *, seconds: float) -> Lease:
        """See the port. The line of one conversation is joined by one at a time, so that numbers are its order."""
        given: dict[str, str | float] = {
            "tenant": question.tenant,
            "user": storable(question.user),
            "conversation": storable(question.conversation or ""),
            "run_id": storable(question.run_id),
            "seconds": seconds,
        }
        async with self._store.transaction(question.tenant) as conn:
            await conn.execute(LOCK_LINE, given)
            row = await (await conn.execute(ASK, given)).fetchone()
            row = row or await (await conn.execute(JOIN, given)).fetchone()
        assert row is not None  # an upsert returns its row
        scope = Scope(question.tenant, question.user)
        return Lease(scope, question.conversation or "", question.run_id, row[0])

    async def wait(self, lease: Lease, *, within: float) -> bool:
        """See the port. Looks at growing intervals, up to twice a second; no connection is held in between."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + within, FIRST_LOOK
        while True:
            async with self._store.transaction(lease.scope.tenant) as conn:
                row = await (await conn.execute(FIRST, _given(lease))).fetchone()
            if row is not None and row[0]:
                return True
            left = until - loop.time()
            if left <= 0:
                return False
            await asyncio.sleep(min(pause, left))
            pause = min(LAST_LOOK, 1.5 * pause)

    async def hold(self, lease: Lease, *, seconds: float) -> bool:
        """See the port."""
        async with self._store.transaction(lease.scope.tenant) as conn:
            return (await conn.execute(HOLD, _given(lease, seconds))).rowcount == 1

    async def leave(self, lease: Lease) -> None:
        """See the port."""
        async with self._store.transaction(lease.scope.tenant) as conn:
            await conn.execute(LEAVE, _given(lease))


def _given(lease: Lease, seconds: float = 0.0) -> dict[str, object]:
    return {
        "user": storable(lease.scope.user),
        "conversation": storable(lease.conversation),
        "run_id": storable(lease.run_id),
        "ticket": lease.number,
        "seconds": seconds,
    }
