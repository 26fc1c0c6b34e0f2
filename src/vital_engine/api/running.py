"""The turns that run here, and those that ended a moment ago: what streams read from, and what can be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from vital_engine.errors import NotFound, OverCapacity, VitalError
from vital_engine.flow import Stream
from vital_engine.modes import Broken, ParallelBaseWorkflow, Token, Turn
from vital_engine.monitoring.logs import logger
from vital_engine.nouns import Answer, Question, Scope

from .limits import ServerLimits

OnDisconnect = Literal["cancel", "continue"]
CANCELLED, DRAINING = "turn.cancelled", "server_draining"
LAST_SECONDS = 2.0
"""For a cancelled turn to say its last word."""

_log = logger("vital_engine.api")


@dataclass(slots=True)
class RunningTurn:
    """A turn and its readers. ``cut``: the code of why this service ended it; empty if it did not.

    With ``on_disconnect`` "cancel" the turn is stopped when the last of its readers goes before the end.
    """

    turn: Turn
    question: Question
    mode: int
    on_disconnect: OnDisconnect
    begun_at: datetime
    readers: int = 0
    cut: str = ""
    ended_at: float | None = None
    """On the loop's clock."""

    @property
    def run_id(self) -> str:
        """Id of the turn."""
        return self.turn.run_id

    @property
    def log(self) -> Stream[Answer]:
        """The turn's log."""
        return self.turn.events

    @property
    def answer(self) -> Answer | None:
        """The answer; None while the turn runs."""
        return self.log.value

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(event.text for event in self.log.items if isinstance(event, Token))

    def cancel(self, code: str = CANCELLED) -> None:
        """Stop the model and the tools; what was said is kept as partial. After the end it changes nothing."""
        if not self.log.ended:
            self.cut = self.cut or code
            self.turn.cancel()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader while the block runs."""
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1
            if not self.readers and self.on_disconnect == "cancel":
                self.cancel()


@dataclass(slots=True)
class RunningTurns:
    """A bounded number of turns at once; ended ones stay a while, for readers that come back."""

    limits: ServerLimits
    draining: bool = False
    _running: dict[str, RunningTurn] = field(default_factory=dict)
    _ended: OrderedDict[str, RunningTurn] = field(default_factory=OrderedDict)

    def begin(
        self,
        workflow: ParallelBaseWorkflow,
        question: Question,
        *,
        on_disconnect: OnDisconnect,
        overrides: Mapping[str, Any],
    ) -> RunningTurn:
        """Start a turn.

        :raises OverCapacity: too many run already, or the server is being stopped.
        :raises InvalidQuestion: as the workflow does.
        :raises ConfigError: as the workflow does.
        """
        self.check_room()
        turn = workflow.start(question, **overrides)
        return self.take(turn, question, mode=workflow.mode.number, on_disconnect=on_disconnect)

    def check_room(self) -> None:
        """OverCapacity, if no turn may begin or go on here now."""
        if self.draining or len(self._running) >= self.limits.turns:
            raise OverCapacity("the server is being stopped" if self.draining else f"{len(self._running)} turns run")

    def take(self, turn: Turn, question: Question, *, mode: int, on_disconnect: OnDisconnect) -> RunningTurn:
        """Keep a turn that runs already. One of the same id that has ended (it was paused) gives way to it."""
        entry = RunningTurn(turn, question, mode, on_disconnect, datetime.now(UTC))
        self._ended.pop(turn.run_id, None)
        self._running[turn.run_id] = entry
        turn.task.add_done_callback(lambda task: self._done(entry, task))
        return entry

    def find(self, run_id: str, scope: Scope) -> RunningTurn | None:
        """The turn of that id, if it is here and *scope*'s own."""
        self._forget()
        entry = self._running.get(run_id) or self._ended.get(run_id)
        own = entry is not None and (entry.question.tenant, entry.question.user) == (scope.tenant, scope.user)
        return entry if own else None

    def get(self, run_id: str, scope: Scope) -> RunningTurn:
        """As :meth:`find`.

        :raises NotFound: there is no such turn.
        """
        if (entry := self.find(run_id, scope)) is None:
            raise NotFound(f"no run {run_id} here")
        return entry

    def talking(self, conversation: str, scope: Scope) -> bool:
        """Whether a turn of *scope*'s conversation runs here."""
        return any(_of(entry, conversation, scope) for entry in self._running.values())

    def forget(self, conversation: str, scope: Scope) -> None:
        """Drop the ended turns of a conversation, because what was erased must not be readable."""
        for run_id in [key for key, entry in self._ended.items() if _of(entry, conversation, scope)]:
            del self._ended[run_id]

    def __len__(self) -> int:
        """How many run now."""
        return len(self._running)

    async def shutdown(self, *, within: float) -> int:
        """Take on no more, let what runs end for *within* seconds, then stop it. Returns how many had to be stopped."""
        self.draining = True
        if self._running:
            await asyncio.wait([entry.turn.task for entry in self._running.values()], timeout=within)
        return await self.stop(DRAINING)

    async def stop(self, code: str) -> int:
        """Cancel all that runs, for the reason *code*, and wait for their last words."""
        late = list(self._running.values())
        for entry in late:
            entry.cancel(code)
        if late:
            await asyncio.wait([entry.turn.task for entry in late], timeout=LAST_SECONDS)
        return len(late)

    def _done(self, entry: RunningTurn, task: asyncio.Task[Answer]) -> None:
        if not entry.log.ended:  # a defect of ours: its readers must learn of it all the same
            error = None if task.cancelled() else task.exception()
            _log.error("turn broke", run_id=entry.run_id, exc_info=error)
            entry.log.push(Broken(len(entry.log.items) + 1, VitalError.code, VitalError.public))
            entry.log.close(error=error or asyncio.CancelledError())
        entry.ended_at = task.get_loop().time()
        self._running.pop(entry.run_id, None)
        self._ended[entry.run_id] = entry
        self._forget()

    def _forget(self) -> None:
        """Those that ended too long ago, or are too many: the oldest first."""
        oldest = asyncio.get_running_loop().time() - self.limits.ended_seconds
        while self._ended:
            first = next(iter(self._ended.values()))
            if len(self._ended) <= self.limits.ended and (first.ended_at or 0.0) > oldest:
                return
            self._ended.popitem(last=False)


def _of(entry: RunningTurn, conversation: str, scope: Scope) -> bool:
    question = entry.question
    return (question.tenant, question.user, question.conversation) == (scope.tenant, scope.user, conversation)
