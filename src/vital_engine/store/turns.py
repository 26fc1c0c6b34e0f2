"""Turns: stored when they begin, before the client gets a response, and exactly once when they end; and lists of them.

A list reads neither the state of a paused turn nor receipts, so its cost does not grow with them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row, tuple_row

from vital_engine.errors import InvalidQuestion, NotFound, Refused, StoreError
from vital_engine.nouns import (
    Approval,
    Call,
    Citation,
    Citations,
    Cost,
    LedgerRow,
    Question,
    Scope,
    TurnRecord,
    Usage,
    transitions,
)
from vital_engine.nouns.answer import receipt_today

from .plain import json_text, noun_from, storable
from .pool import Connection, Store

__all__ = ["ApprovalLine", "Listing", "SaidTurn", "StoredTurn", "Talk", "TurnLine", "Turns"]

FINAL = frozenset({"complete", "partial", "failed", "cancelled"})
"""How a turn that is kept can have ended."""

BEGIN = """
with conversation as (
    insert into conversations (tenant, user_id, id, title)
    select %(tenant)s, %(user)s, %(conversation)s::text, left(%(question)s, 80) where %(conversation)s::text is not null
    on conflict do nothing)
insert into turns (tenant, run_id, user_id, conversation, mode, question, status)
values (%(tenant)s, %(run_id)s, %(user)s, %(conversation)s, %(mode)s, %(question)s, 'running')
on conflict (tenant, run_id) do nothing
returning ordinal
"""

# The first process that saves a run wins its row; a later one finds it ended and gets no row back.
KEEP = """
with conversation as (
    insert into conversations (tenant, user_id, id, title)
    select %(tenant)s, %(user)s, %(conversation)s::text, left(%(question)s, 80) where %(conversation)s::text is not null
    on conflict (tenant, user_id, id) do update set updated_at = now())
insert into turns as t (tenant, run_id, user_id, conversation, mode, expert, question, status, text, receipt,
    citations_failed, cost_failed, fingerprint, begun_at, ended_at, seconds)
values (%(tenant)s, %(run_id)s, %(user)s, %(conversation)s, %(mode)s, %(expert)s, %(question)s, %(status)s, %(text)s,
    %(receipt)s, %(citations_failed)s, %(cost_failed)s, %(fingerprint)s,
    clock_timestamp() - make_interval(secs => %(seconds)s), clock_timestamp(), %(seconds)s)
on conflict (tenant, run_id) do update set mode = excluded.mode, expert = excluded.expert, status = excluded.status,
    text = excluded.text, receipt = excluded.receipt, citations_failed = excluded.citations_failed,
    cost_failed = excluded.cost_failed, fingerprint = excluded.fingerprint, ended_at = excluded.ended_at,
    seconds = excluded.seconds
where t.ended_at is null and t.user_id = excluded.user_id and t.question = excluded.question
    and t.conversation is not distinct from excluded.conversation
returning ordinal
"""

BOOK = """
insert into ledger (tenant, call_id, run_id, user_id, position, purpose, model, provider, input, output, cached,
    reasoning, estimated, usd, price, status)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

CITE = """
insert into citations (tenant, run_id, position, marker, verdict, sentence, passage, document, title, page,
    start_char, end_char, quote, source, score, notes)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

LINE = "run_id, ordinal, user_id as user, conversation, mode, expert, question, status, begun_at, ended_at, seconds"

SHOW = f"select {LINE}, text, receipt, citations_failed, cost_failed from turns where run_id = %s and user_id = %s"  # noqa: S608

LIST = f"""
select {LINE} from turns
where user_id = %(user)s and (%(conversation)s::text is null or conversation = %(conversation)s)
  and ordinal < coalesce(%(before)s, 9223372036854775807)
order by ordinal desc limit %(limit)s
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class TurnLine:
    """A turn as a list shows it. ``ordinal`` grows with each turn that begins; times are aware, in UTC.

    ``status``: running, paused, complete, partial, failed or cancelled. ``seconds`` is None until it has ended.
    """

    run_id: str
    ordinal: int
    user: str
    conversation: str | None
    mode: int
    expert: str
    question: str
    status: str
    begun_at: datetime
    ended_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn with all that was kept of it. ``receipt`` is None until it has ended."""

    line: TurnLine
    text: str
    receipt: Mapping[str, Any] | None
    citations: Citations
    cost: Cost


class Turns:
    """Implements the port :class:`~vital_engine.ports.TurnStore`; each method is one commit."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, question: Question, *, mode: int) -> None:
        """Store that *question* is being answered. A second call for the same question changes nothing.

        :param question: with its run id.
        :param mode: 1 to 4.
        :raises InvalidQuestion: it has no run id.
        :raises Refused: the run id belongs to another question.
        """
        given = _asked(question, mode)
        async with self._store.transaction(question.tenant) as conn:
            if await _one(conn, BEGIN, given) is not None:
                return
            found = await _one(
                conn, "select user_id, conversation, mode, question from turns where run_id = %s", [given["run_id"]]
            )
        if found != tuple(given[name] for name in ("user", "conversation", "mode", "question")):
            raise Refused(f"the run {question.run_id} is another question's")

    async def save(self, turn: TurnRecord) -> None:
        """Keep *turn*, its citations and its ledger in one transaction, whether or not it was begun.

        Exactly once: the same turn again changes nothing. Characters that PostgreSQL cannot hold become U+FFFD.

        :raises StoreError: it was kept before with other content, it has not ended, or the database failed; where
            that is ``retryable``, keeping it again is safe.
        """
        if turn.status not in FINAL:
            raise StoreError(f"a turn that is {turn.status!r} has not ended and cannot be kept", service="store")
        given = _asked(turn.question, turn.mode) | {
            "run_id": _identity(turn.run_id),
            "expert": storable(turn.expert),
            "status": turn.status,
            "text": storable(turn.text),
            "receipt": json_text(turn.receipt),
            "citations_failed": turn.citations.failed,
            "cost_failed": turn.cost.failed,
            "fingerprint": _fingerprint(turn),
            "seconds": turn.seconds,
        }
        async with self._store.transaction(turn.question.tenant) as conn:
            if await _one(conn, KEEP, given) is not None:
                async with conn.cursor() as cursor:
                    await cursor.executemany(BOOK, [_booked(turn, n, row) for n, row in enumerate(turn.cost.rows)])
                    await cursor.executemany(CITE, [_cited(turn, n, c) for n, c in enumerate(turn.citations.items)])
                return
            found = await _one(conn, "select fingerprint from turns where run_id = %s", [given["run_id"]])
        if found is None or found[0] != given["fingerprint"]:
            raise StoreError(f"the run {turn.run_id} is kept already, with other content", service="store")

    async def show(self, run_id: str, scope: Scope) -> StoredTurn:
        """A turn of *scope*'s user.

        :param run_id: the turn.
        :param scope: tenant and user.
        :raises NotFound: there is none, or it belongs to another user.
        """
        async with self._store.transaction(scope.tenant) as conn:
            turn = await _one(conn, SHOW, [storable(run_id), scope.user])
            if turn is None:
                raise NotFound(f"no run {run_id}")
            citations = await conn.execute(
                "select marker, verdict, sentence, passage, document, title, page, start_char, end_char, quote, source,"
                " score, notes from citations where run_id = %s order by position",
                [turn[0]],
            )
            cited = tuple(_citation(row) for row in await citations.fetchall())
            ledger = await conn.execute(
                "select call_id, purpose, model, provider, input, output, cached, reasoning, estimated, status, usd,"
                " price from ledger where run_id = %s order by position",
                [turn[0]],
            )
            paid = tuple(_ledger_row(row) for row in await ledger.fetchall())
        *line, text, receipt, citations_failed, cost_failed = turn
        receipt = None if receipt is None else receipt_today(receipt)
        return StoredTurn(
            TurnLine(*line), text, receipt, Citations(cited, failed=citations_failed), Cost(paid, failed=cost_failed)
        )

    async def list(
        self, scope: Scope, *, limit: int = 50, before: int | None = None, conversation: str | None = None
    ) -> tuple[TurnLine, ...]:
        """The latest turns of *scope*'s user, newest first, at most *limit*.

        :param before: only turns whose ordinal is below this: the last line's ordinal leads to the next page.
        :param conversation: only its turns.
        """
        talk = None if conversation is None else storable(conversation)
        given = {"user": scope.user, "limit": limit, "before": before, "conversation": talk}
        async with (
            self._store.transaction(scope.tenant) as conn,
            conn.cursor(row_factory=class_row(TurnLine)) as cursor,
        ):
            return tuple(await (await cursor.execute(LIST, given)).fetchall())


async def _one(conn: Connection, query: Any, given: Any) -> tuple[Any, ...] | None:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        return await (await cursor.execute(query, given)).fetchone()


def _identity(run_id: str) -> str:
    if not run_id:
        raise InvalidQuestion("a turn needs a run id")
    return storable(run_id)


def _asked(question: Question, mode: int) -> dict[str, str | int | None]:
    conversation = question.conversation
    return {
        "tenant": question.tenant,
        "run_id": _identity(question.run_id),
        "user": storable(question.user),
        "conversation": None if conversation is None else storable(conversation),
        "mode": mode,
        "question": storable(question.text),
    }


def _fingerprint(turn: TurnRecord) -> bytes:
    """SHA-256 over all of *turn* in canonical JSON; money as text, so that 0.10 and 0.1 are two things."""
    plain = dataclasses.asdict(dataclasses.replace(turn, receipt={}, cost=Cost(), question=turn.question))
    plain["receipt"] = turn.receipt
    plain["cost"] = [[*dataclasses.astuple(row.call), str(row.usd), row.price] for row in turn.cost.rows]
    plain["question"] = _asked(turn.question, turn.mode)
    return hashlib.sha256(json_text(plain).encode()).digest()


def _booked(turn: TurnRecord, position: int, row: LedgerRow) -> tuple[Any, ...]:
    call, used = row.call, row.call.usage
    tokens = (used.input, used.output, used.cached, used.reasoning, used.estimated) if used else (None,) * 5
    who = (turn.question.tenant, call.id, storable(turn.run_id), storable(turn.question.user), position)
    return (*who, call.purpose, call.model, call.provider, *tokens, row.usd, row.price, call.status)


def _ledger_row(row: tuple[Any, ...]) -> LedgerRow:
    call_id, purpose, model, provider, *tokens, status, usd, price = row
    usage = None if tokens[0] is None else Usage(*tokens)
    return LedgerRow(Call(call_id, purpose, model, provider, usage, status), usd, price)


def _cited(turn: TurnRecord, position: int, c: Citation) -> tuple[Any, ...]:
    where = (turn.question.tenant, storable(turn.run_id), position, c.marker, c.verdict, c.sentence)
    names = (storable(text) for text in (c.passage, c.document, c.title))
    notes = [storable(note) for note in c.notes]
    return (*where, *names, c.page, c.start, c.end, storable(c.quote), storable(c.source), c.score, notes)


def _citation(row: tuple[Any, ...]) -> Citation:
    *plain, notes = row
    names = (field.name for field in dataclasses.fields(Citation))
    return Citation(**dict(zip(names, (*plain, tuple(notes)), strict=True)))


# An approval that was not decided in time has expired, although no row says so yet.
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
        """A call; if several turns have its id, that of the latest.

        :param approval: id of the call.
        :param scope: tenant and user.
        :raises NotFound: no turn of the user has such a call.
        """
        found = await self._approvals(scope, None, None, approval, None, 1)
        if not found:
            raise NotFound(f"no proposed call {approval}")
        return found[0]

    async def conversation(
        self, conversation: str, scope: Scope, *, before: int | None = None, limit: int = 50
    ) -> tuple[Talk, tuple[SaidTurn, ...]]:
        """A conversation and its latest turns, oldest first.

        :param conversation: its id.
        :param scope: tenant and user.
        :param before: only turns whose ordinal is below this: the first turn's ordinal leads to the page before it.
        :param limit: the largest number of turns.
        :raises NotFound: there is no such conversation.
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
        given: dict[str, object] = {
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
    approval = transitions.lapse(noun_from(Approval, state), now)
    return ApprovalLine(approval, status, mode, question, conversation, (ordinal, position))
