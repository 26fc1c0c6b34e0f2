"""Turns of a conversation: one at a time, in the order in which they came; and holding on to what others may take over."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from vital_engine.errors import Conflict, ConversationBusy, StoreError, VitalError
from vital_engine.flow import Flow, Observer, bounded, run_in_background
from vital_engine.nouns import Answer, Lease, Question
from vital_engine.ports import ConversationLock, Services
from vital_engine.turn import register
from vital_engine.turn.plan import REGISTER

from .settings import TurnSettings

SAVE_SECONDS = 10.0
"""To keep an answer, and to write down that a turn has begun."""
BEATS: int = 3
"""Renewals in the time of one lease, so that one that fails costs nothing."""


@contextlib.asynccontextmanager
async def leased(hold: Callable[[], Awaitable[bool]], *, seconds: float, name: str) -> AsyncIterator[None]:
    """Within the block *hold* is called every third of *seconds*; once it gives False, the block is cancelled.

    A renewal that fails is tried again at the next beat; when a whole lease has passed without one, it is as if it
    were lost, since another may have it.

    :raises Conflict: the lease was lost.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    lost = False

    async def beat() -> None:
        nonlocal lost
        renewed = loop.time()
        while not lost:
            await asyncio.sleep(seconds / BEATS)
            try:
                if await hold():
                    renewed = loop.time()
                    continue
                lost = True
            except StoreError:
                lost = loop.time() - renewed >= seconds
        if task is not None:
            task.cancel()

    beating = run_in_background(beat(), name=f"hold {name}")
    try:
        yield
    except asyncio.CancelledError:
        if lost and task is not None and not task.uncancel():
            raise Conflict(f"{name} was taken over by another") from None
        raise
    finally:
        beating.cancel()


class Place:
    """A turn's place in its conversation, while its block is open. ``kept``: it is not given up at the end."""

    def __init__(self) -> None:
        self.kept = False


class Conversation:
    """Modes 3 and 4. A question without a conversation begins one: see ``answer.question.conversation``.

    A message to a conversation that is busy (a turn runs, or waits for a person) waits its turn: it is written down
    first, and answered in order. With ``on_contention="refuse"``, or after ``contention_seconds``, it is refused.
    What is said in a conversation is never an approval.
    """

    def __init__(self, services: Services, mode: int) -> None:
        self._services, self._mode = services, mode

    def begin(self, question: Question) -> Question:
        """*question*, in a conversation of its own if it names none."""
        return question if question.conversation else replace(question, conversation=uuid.uuid4().hex)

    @contextlib.asynccontextmanager
    async def place(
        self, question: Question, settings: TurnSettings, observers: Sequence[Observer] = ()
    ) -> AsyncIterator[Place]:
        """Wait until it is this turn's time, and hold its place until the block ends.

        :param observers: see that the message is written down, if it has to wait.

        :raises ConversationBusy: the message was not answered, and can be sent again.
        """
        lock, seconds, place = self._services.conversation_lock, settings.lease_seconds, Place()
        if lock is None:
            yield place
            return
        lease = await lock.ask(question, seconds=seconds)
        leaving = None
        try:
            hold = partial(lock.hold, lease, seconds=seconds)
            async with leased(hold, seconds=seconds, name=f"conversation of {question.run_id}"):
                if not await lock.wait(lease, within=0):
                    await self._queue(lock, lease, question, settings, observers)
                yield place
        finally:
            if not place.kept:
                leaving = run_in_background(
                    bounded(lock.leave(lease), within=SAVE_SECONDS), name="leave the conversation"
                )
        if leaving is not None:  # a turn that was cancelled does not wait for it
            await asyncio.wait({leaving})

    async def _queue(
        self,
        lock: ConversationLock,
        lease: Lease,
        question: Question,
        settings: TurnSettings,
        observers: Sequence[Observer],
    ) -> None:
        if settings.on_contention == "refuse":
            raise ConversationBusy(f"the conversation {question.conversation} is busy")
        step = REGISTER.of(partial(register, self._services.turns, self._mode), within=SAVE_SECONDS)
        await Flow("queue", step, given=(Question,)).run(question, observers=observers)
        if not await lock.wait(lease, within=settings.contention_seconds):
            waited = f"{settings.contention_seconds:g} s"
            raise ConversationBusy(f"the conversation {question.conversation} was busy for {waited}")

    async def summarize(self, question: Question, answer: Answer) -> Answer:
        """Bring the summary of what the conversation's window has dropped up to date. Its loss costs no answer."""
        summarizer = self._services.summarizer
        if summarizer is None or answer.status != "complete":
            return answer
        try:
            await bounded(summarizer.summarize(question), within=SAVE_SECONDS)
        except (VitalError, TimeoutError):
            lost = "The summary of the earlier conversation could not be brought up to date."
            return replace(answer, warnings=(*answer.warnings, lost))
        return answer
