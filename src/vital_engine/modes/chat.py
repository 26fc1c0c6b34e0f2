"""Turns of a conversation: one at a time, in the order in which they came, each with what was said before."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from vital_engine.nouns.answer import Answer
from vital_engine.errors import ConversationBusy, VitalError
from vital_engine.flow import Flow, Observer, Policy, bounded, run_in_background, step
from vital_engine.nouns import Lease, Question
from vital_engine.ports import ConversationLock
from vital_engine.turn import Registered, registering

from .lease import leased
from .settings import TurnSettings
from .workflow import SAVE_SECONDS, ParallelBaseWorkflow


class ChatWorkflow(ParallelBaseWorkflow):
    """Modes 3 and 4. A question without a conversation begins one: see ``answer.question.conversation``.

    A message to a conversation that is busy (a turn runs, or waits for a person) waits its turn: it is written down
    first, and answered in order. With ``on_contention="refuse"``, or after ``contention_seconds``, it is refused.
    What is said in a conversation is never an approval.

    :raises ConversationBusy: of ``execute``; the message was not answered, and can be sent again.
    """

    def _ask(self, question: Question) -> Question:
        asked = super()._ask(question)
        return asked if asked.conversation else replace(asked, conversation=uuid.uuid4().hex)

    async def _answer(self, question: Question, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer:
        async def work() -> Answer:
            return await self._run(question, settings, extra)

        return await self._in_turn(question, settings, extra, work)

    async def _in_turn(
        self,
        question: Question,
        settings: TurnSettings,
        extra: tuple[Observer, ...],
        work: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        conversation_lock, seconds = self.services.conversation_lock, settings.lease_seconds
        if conversation_lock is None:
            return await self._with_summary(question, work)
        lease = await conversation_lock.ask(question, seconds=seconds)

        async def hold() -> bool:
            return await conversation_lock.hold(lease, seconds=seconds)

        paused, leaving = False, None
        try:
            async with leased(hold, seconds=seconds, name=f"conversation of {question.run_id}"):
                if not await conversation_lock.wait(lease, within=0):
                    await self._queue(conversation_lock, lease, question, settings, extra)
                answer = await self._with_summary(question, work)
                paused = answer.status == "paused"
        finally:
            if not paused:  # a paused turn keeps its place until it is decided
                leaving = run_in_background(
                    bounded(conversation_lock.leave(lease), within=SAVE_SECONDS), name="leave the floor"
                )
        if leaving is not None:  # who was cancelled does not wait for it
            await asyncio.wait({leaving})
        return answer

    async def _queue(
        self,
        conversation_lock: ConversationLock,
        lease: Lease,
        question: Question,
        settings: TurnSettings,
        extra: tuple[Observer, ...],
    ) -> None:
        if settings.on_contention == "refuse":
            raise ConversationBusy(f"the conversation {question.conversation} is busy")
        register = step(registering(self.services.register, mode=self.mode.number)).fallback(Registered())
        queue = Flow("queue", register.under(Policy(SAVE_SECONDS)), given=(Question,))
        await queue.run(question, observers=extra)
        if not await conversation_lock.wait(lease, within=settings.contention_seconds):
            waited = f"{settings.contention_seconds:g} s"
            raise ConversationBusy(f"the conversation {question.conversation} was busy for {waited}")

    async def _with_summary(self, question: Question, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """*work*, and then the summary of what the conversation's window has dropped. Its loss costs no answer."""
        answer = await work()
        summarizer = self.services.summarizer
        if summarizer is None or answer.status != "complete":
            return answer
        try:
            await bounded(summarizer.summarize(question), within=SAVE_SECONDS)
        except (VitalError, TimeoutError):
            lost = "The summary of the earlier conversation could not be brought up to date."
            return replace(answer, warnings=(*answer.warnings, lost))
        return answer
