"""Pauses and conversations in memory: the ports Approvals and ConversationLock for as long as the process lives.

The same transitions as the store's (:mod:`vital_engine.nouns.transitions`), on the loop's clock: in virtual time an
approval can expire in a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from vital_engine.errors import Conflict, NotFound
from vital_engine.nouns import (
    Approval,
    ApprovalDecision,
    Claim,
    Lease,
    Paused,
    PausedTurn,
    Question,
    Scope,
    ToolResult,
    TurnRecord,
    transitions,
)

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the loop's clock has its zero: virtual time has no date of its own."""


def _now() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(slots=True)
class _Entry:
    turn: PausedTurn
    fence: int = 0
    held_until: float = 0.0


@dataclass(slots=True)
class MemoryApprovals:
    """Implements the port :class:`~vital_engine.ports.Approvals` in memory.

    :param kept: where saved turns are found, so that an answered turn is known as one.
    :param conversation_lock: a paused turn keeps its place in the conversation's queue for as long as it can be
        decided.
    """

    kept: list[TurnRecord] = field(default_factory=list)
    conversation_lock: MemoryConversationLock | None = None
    _entries: dict[tuple[str, str, str], _Entry] = field(default_factory=dict)

    async def pause(self, paused: Paused, *, seconds: float) -> PausedTurn:
        """See the port."""
        question = paused.question
        key = (question.tenant, question.user, question.run_id)
        if key not in self._entries:
            approvals = transitions.proposed(paused, now=_now(), seconds=seconds)
            self._entries[key] = _Entry(PausedTurn(paused, approvals))
        if self.conversation_lock is not None:
            self.conversation_lock.extend(question, seconds)
        return self._entries[key].turn

    async def look(self, run_id: str, scope: Scope) -> PausedTurn:
        """See the port."""
        return self._look(run_id, scope)

    async def pending(self, scope: Scope, *, limit: int = 50) -> Sequence[PausedTurn]:
        """See the port."""
        mine = [run_id for tenant, user, run_id in self._entries if (tenant, user) == (scope.tenant, scope.user)]
        return [turn for run_id in mine if (turn := self._look(run_id, scope)).receipt is None][:limit]

    async def decide(
        self, run_id: str, decisions: Mapping[str, ApprovalDecision], scope: Scope, *, by: str
    ) -> PausedTurn:
        """See the port."""
        turn, entry = self._look(run_id, scope), self._entry(run_id, scope)
        settled = transitions.decide_all(turn.approvals, decisions, by=by, now=_now())
        entry.turn = replace(entry.turn, approvals=settled)
        return self._look(run_id, scope)

    async def claim(self, run_id: str, scope: Scope, *, seconds: float) -> Claim | None:
        """See the port."""
        entry, now = self._entry(run_id, scope), asyncio.get_running_loop().time()
        if entry.held_until > now or self._receipt(run_id) is not None:
            return None
        entry.fence, entry.held_until = entry.fence + 1, now + seconds
        return Claim(run_id, scope, entry.fence)

    async def hold(self, claim: Claim, *, seconds: float) -> bool:
        """See the port."""
        entry = self._entry(claim.run_id, claim.scope)
        if entry.fence != claim.fence:
            return False
        entry.held_until = asyncio.get_running_loop().time() + seconds
        return True

    async def start(self, claim: Claim, approval: str) -> tuple[Approval, bool]:
        """See the port."""
        changed, now = transitions.start(self._one(claim, approval))
        self._put(claim, changed)
        return changed, now

    async def finish(self, claim: Claim, approval: str, tool_result: ToolResult) -> Approval:
        """See the port."""
        changed = transitions.finish(self._one(claim, approval), tool_result)
        self._put(claim, changed)
        return changed

    def _entry(self, run_id: str, scope: Scope) -> _Entry:
        try:
            return self._entries[scope.tenant, scope.user, run_id]
        except KeyError:
            raise NotFound(f"no paused run {run_id}") from None

    def _look(self, run_id: str, scope: Scope) -> PausedTurn:
        entry, now = self._entry(run_id, scope), _now()
        approvals = tuple(transitions.lapse(a, now) for a in entry.turn.approvals)
        return replace(entry.turn, approvals=approvals, receipt=self._receipt(run_id))

    def _receipt(self, run_id: str) -> Mapping[str, object] | None:
        return next((kept.receipt for kept in self.kept if kept.run_id == run_id), None)

    def _one(self, claim: Claim, approval: str) -> Approval:
        entry = self._entry(claim.run_id, claim.scope)
        if entry.fence != claim.fence:
            raise Conflict(f"another goes on with the run {claim.run_id}")
        return next(a for a in entry.turn.approvals if a.id == approval)

    def _put(self, claim: Claim, changed: Approval) -> None:
        entry = self._entry(claim.run_id, claim.scope)
        approvals = tuple(changed if a.id == changed.id else a for a in entry.turn.approvals)
        entry.turn = replace(entry.turn, approvals=approvals)


@dataclass(slots=True)
class MemoryConversationLock:
    """Implements the port :class:`~vital_engine.ports.ConversationLock` in memory."""

    _number: int = 0
    _lines: dict[tuple[str, str, str], dict[str, Lease]] = field(default_factory=dict)
    _until: dict[Lease, float] = field(default_factory=dict)
    _waiting: set[asyncio.Future[None]] = field(default_factory=set)

    async def ask(self, question: Question, *, seconds: float) -> Lease:
        """See the port."""
        line = self._lines.setdefault((question.tenant, question.user, question.conversation or ""), {})
        lease = line.get(question.run_id)
        if lease is None or not self._live(lease):
            self._number += 1
            scope = Scope(question.tenant, question.user)
            lease = Lease(scope, question.conversation or "", question.run_id, self._number)
            line[question.run_id] = lease
        await self.hold(lease, seconds=seconds, anew=True)
        return lease

    async def wait(self, lease: Lease, *, within: float) -> bool:
        """See the port."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while True:
            line = self._line(lease)
            ahead = [self._until[t] for t in line.values() if t.number < lease.number and self._live(t)]
            if not ahead:
                return True
            if loop.time() >= until:
                return False
            await self._next_move(min(until, *ahead))

    async def hold(self, lease: Lease, *, seconds: float, anew: bool = False) -> bool:
        """See the port. *anew*: count the seconds from now even if the place already lasts longer."""
        if not anew and not (lease in self._line(lease).values() and self._live(lease)):
            return False
        until = asyncio.get_running_loop().time() + seconds
        self._until[lease] = max(until, self._until.get(lease, 0.0))
        return True

    async def leave(self, lease: Lease) -> None:
        """See the port."""
        line = self._line(lease)
        if line.get(lease.run_id) == lease:
            del line[lease.run_id]
            del self._until[lease]
        for waiter in self._waiting:
            _wake(waiter)

    def extend(self, question: Question, seconds: float) -> None:
        """As :meth:`hold`, for the place of *question*'s run, if it has one."""
        line = self._lines.get((question.tenant, question.user, question.conversation or ""), {})
        if (lease := line.get(question.run_id)) is not None:
            self._until[lease] = asyncio.get_running_loop().time() + seconds

    def _line(self, lease: Lease) -> dict[str, Lease]:
        return self._lines.get((lease.scope.tenant, lease.scope.user, lease.conversation), {})

    def _live(self, lease: Lease) -> bool:
        return self._until.get(lease, 0.0) > asyncio.get_running_loop().time()

    async def _next_move(self, until: float) -> None:
        """Wait until a turn leaves a queue, or until the loop's clock stands at *until*."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(until, _wake, waiter)
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
