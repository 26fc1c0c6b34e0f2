"""Paused turns and their approvals: each settled once, each call started once, by rows that are locked while they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vital_engine.errors import Conflict, InvalidQuestion, NotFound, Refused
from vital_engine.nouns import Approval, ApprovalDecision, Claim, Paused, PausedTurn, Scope, ToolResult, transitions
from vital_engine.nouns.answer import receipt_today

from .plain import noun_from, noun_text, storable
from .pool import Connection, Store

__all__ = ["StoredApprovals"]

# The turn may not have been written down at its beginning: then it is now.
PAUSE = """
with conversation as (
    insert into conversations (tenant, user_id, id, title)
    select %(tenant)s, %(user)s, %(conversation)s::text, left(%(question)s, 80) where %(conversation)s::text is not null
    on conflict do nothing)
insert into turns as t (tenant, run_id, user_id, conversation, mode, expert, question, status)
values (%(tenant)s, %(run_id)s, %(user)s, %(conversation)s, %(mode)s, %(expert)s, %(question)s, 'paused')
on conflict (tenant, run_id) do update set status = 'paused', expert = excluded.expert
where t.ended_at is null and t.user_id = excluded.user_id and t.question = excluded.question
returning ordinal
"""

KEEP_STATE = """
insert into paused_turns (tenant, run_id, user_id, state) values (%(tenant)s, %(run_id)s, %(user)s, %(state)s)
on conflict do nothing returning run_id
"""

PROPOSE = """
insert into approvals (tenant, run_id, id, position, tool, effect, status, arguments_hash, definition, key, expires_at,
    approval)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# A paused turn keeps its place in its conversation's line for as long as it can be decided.
HOLD_PLACE = """
update conversation_tickets set held_until = greatest(held_until, now() + make_interval(secs => %(seconds)s))
where user_id = %(user)s and conversation = %(conversation)s and run_id = %(run_id)s
"""

CHANGE = """
update approvals set status = %s, arguments_hash = %s, decided_by = %s, settled_at = %s, attempts = %s, approval = %s
where run_id = %s and id = %s
"""

LOOK = """
select p.state, t.receipt, clock_timestamp() from paused_turns p join turns t using (tenant, run_id)
where p.run_id = %(run_id)s and p.user_id = %(user)s
"""

APPROVALS = "select approval from approvals where run_id = %s order by position"

CLAIM = """
update paused_turns p set fence = fence + 1, held_until = clock_timestamp() + make_interval(secs => %(seconds)s)
from turns t where p.run_id = %(run_id)s and p.user_id = %(user)s
  and t.tenant = p.tenant and t.run_id = p.run_id and t.ended_at is null
  and (p.held_until is null or p.held_until <= clock_timestamp())
returning p.fence
"""

HOLD = """
update paused_turns set held_until = clock_timestamp() + make_interval(secs => %(seconds)s)
where run_id = %(run_id)s and user_id = %(user)s and fence = %(fence)s
"""

FENCED = "select fence from paused_turns where run_id = %s and user_id = %s for update"

PENDING = """
select p.run_id from paused_turns p join turns t using (tenant, run_id)
where p.user_id = %s and t.ended_at is null order by p.paused_at limit %s
"""


class StoredApprovals:
    """Implements the port :class:`~vital_engine.ports.Approvals`. Each method is one transaction; the transitions are
    those of
    :mod:`vital_engine.nouns.transitions`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def pause(self, paused: Paused, *, seconds: float) -> PausedTurn:
        """See the port. Turn, state, approvals and the place in the conversation: one commit.

        :raises Refused: the run id is another question's, or its turn has ended.
        """
        question = paused.question
        if not question.run_id:
            raise InvalidQuestion("a turn needs a run id")
        scope = Scope(question.tenant, question.user)
        talk = question.conversation
        given: dict[str, str | float | None] = {
            "tenant": question.tenant,
            "user": storable(question.user),
            "run_id": storable(question.run_id),
            "conversation": None if talk is None else storable(talk),
            "mode": paused.mode,
            "expert": storable(paused.brief.expert.id),
            "question": storable(question.text),
            "state": noun_text(paused),
            "seconds": seconds,
        }
        async with self._store.transaction(question.tenant) as conn:
            if await (await conn.execute(PAUSE, given)).fetchone() is None:
                raise Refused(f"the run {question.run_id} is another question's, or has ended")
            if await (await conn.execute(KEEP_STATE, given)).fetchone() is not None:
                now = await _now(conn)
                for position, each in enumerate(transitions.proposed(paused, now=now, seconds=seconds)):
                    await conn.execute(PROPOSE, _proposed(question.tenant, position, each))
            await conn.execute(HOLD_PLACE, given)
            return await _look(conn, question.run_id, scope)

    async def look(self, run_id: str, scope: Scope) -> PausedTurn:
        """See the port."""
        async with self._store.transaction(scope.tenant) as conn:
            return await _look(conn, run_id, scope)

    async def pending(self, scope: Scope, *, limit: int = 50) -> Sequence[PausedTurn]:
        """See the port."""
        async with self._store.transaction(scope.tenant) as conn:
            rows = await (await conn.execute(PENDING, [storable(scope.user), limit])).fetchall()
            return [await _look(conn, row[0], scope) for row in rows]

    async def find(self, approval: str, scope: Scope) -> PausedTurn:
        """The paused turn of a call.

        :param approval: id of the call; if several turns have it, the latest counts.
        :param scope: tenant and user.
        :raises NotFound: no turn of the user has such a call.
        """
        query = (
            "select a.run_id from approvals a join paused_turns p using (tenant, run_id)"
            " where a.id = %s and p.user_id = %s order by p.paused_at desc limit 1"
        )
        async with self._store.transaction(scope.tenant) as conn:
            row = await (await conn.execute(query, [storable(approval), storable(scope.user)])).fetchone()
            if row is None:
                raise NotFound(f"no proposed call {approval}")
            return await _look(conn, row[0], scope)

    async def decide(
        self, run_id: str, decisions: Mapping[str, ApprovalDecision], scope: Scope, *, by: str
    ) -> PausedTurn:
        """See the port. The turn's row is locked first: of two who decide at once, one comes second."""
        async with self._store.transaction(scope.tenant) as conn:
            await _locked(conn, run_id, scope)
            turn = await _look(conn, run_id, scope, lapsed=False)
            settled = transitions.decide_all(turn.approvals, decisions, by=by, now=await _now(conn))
            for before, after in zip(turn.approvals, settled, strict=True):
                if after != before:
                    await conn.execute(CHANGE, _changed(after))
            return await _look(conn, run_id, scope)

    async def claim(self, run_id: str, scope: Scope, *, seconds: float) -> Claim | None:
        """See the port: by compare-and-set on the row's lease."""
        given = {"run_id": storable(run_id), "user": storable(scope.user), "seconds": seconds}
        async with self._store.transaction(scope.tenant) as conn:
            row = await (await conn.execute(CLAIM, given)).fetchone()
            if row is None:
                await _look(conn, run_id, scope)  # NotFound, where there is nothing to claim
                return None
        return Claim(run_id, scope, row[0])

    async def hold(self, claim: Claim, *, seconds: float) -> bool:
        """See the port."""
        user = storable(claim.scope.user)
        given = {"run_id": storable(claim.run_id), "user": user, "seconds": seconds, "fence": claim.fence}
        async with self._store.transaction(claim.scope.tenant) as conn:
            return (await conn.execute(HOLD, given)).rowcount == 1

    async def start(self, claim: Claim, approval: str) -> tuple[Approval, bool]:
        """See the port. Committed when this returns, and so before the call."""
        async with self._store.transaction(claim.scope.tenant) as conn:
            before = await _one(conn, claim, approval)
            after, now = transitions.start(before)
            if after != before:
                await conn.execute(CHANGE, _changed(after))
            return after, now

    async def finish(self, claim: Claim, approval: str, tool_result: ToolResult) -> Approval:
        """See the port."""
        async with self._store.transaction(claim.scope.tenant) as conn:
            before = await _one(conn, claim, approval)
            after = transitions.finish(before, tool_result)
            if after != before:
                await conn.execute(CHANGE, _changed(after))
            return after


async def _now(conn: Connection) -> datetime:
    row = await (await conn.execute("select clock_timestamp()")).fetchone()
    assert row is not None  # a select without a table has one row
    now: datetime = row[0]
    return now


async def _locked(conn: Connection, run_id: str, scope: Scope) -> int:
    """The fence of the latest claim; the row is ours until the transaction ends."""
    row = await (await conn.execute(FENCED, [storable(run_id), storable(scope.user)])).fetchone()
    if row is None:
        raise NotFound(f"no paused run {run_id}")
    fence: int = row[0]
    return fence


async def _look(conn: Connection, run_id: str, scope: Scope, *, lapsed: bool = True) -> PausedTurn:
    found = await (await conn.execute(LOOK, {"run_id": storable(run_id), "user": storable(scope.user)})).fetchone()
    if found is None:
        raise NotFound(f"no paused run {run_id}")
    state, receipt, now = found
    rows = await (await conn.execute(APPROVALS, [storable(run_id)])).fetchall()
    approvals = [noun_from(Approval, row[0]) for row in rows]
    as_of_now = [transitions.lapse(a, now) for a in approvals] if lapsed else approvals
    return PausedTurn(noun_from(Paused, state), tuple(as_of_now), None if receipt is None else receipt_today(receipt))


async def _one(conn: Connection, claim: Claim, approval: str) -> Approval:
    """The approval, for the holder of the claim.

    :raises Conflict: another process holds the claim.
    """
    if await _locked(conn, claim.run_id, claim.scope) != claim.fence:
        raise Conflict(f"another goes on with the run {claim.run_id}")
    query = "select approval from approvals where run_id = %s and id = %s"
    row = await (await conn.execute(query, [storable(claim.run_id), storable(approval)])).fetchone()
    if row is None:
        raise NotFound(f"no proposed call {approval}")
    return noun_from(Approval, row[0])


def _proposed(tenant: str, position: int, a: Approval) -> tuple[Any, ...]:
    call = a.tool_call
    names = (storable(a.run_id), storable(a.id), position, storable(call.tool), call.effect.value, a.status)
    return (tenant, *names, a.arguments_hash, call.definition, storable(a.key), a.expires_at, noun_text(a))


def _changed(a: Approval) -> tuple[Any, ...]:
    what = (a.status, a.arguments_hash, storable(a.by), a.decided_at, a.attempts, noun_text(a))
    return (*what, storable(a.run_id), storable(a.id))
