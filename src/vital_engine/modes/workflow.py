"""A turn of some mode: the same steps for all four, under the same settings, with who-decides as the difference."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from vital_engine.answer import Answer, Timing, TurnEnded
from vital_engine.errors import TurnError
from vital_engine.flow import (
    Degraded,
    Done,
    Failed,
    Flow,
    Live,
    Observer,
    Policy,
    StepStarted,
    StreamOpened,
    bounded,
    step,
    supervise,
    tell,
)
from vital_engine.flow import (
    Event as FlowEvent,
)
from vital_engine.monitoring import Watcher, default_watchers
from vital_engine.notices import for_user
from vital_engine.nouns import Call, Consent, Cost, Draft, Findings, Kept, Question
from vital_engine.ports import Services
from vital_engine.turn import (
    Registered,
    ask,
    briefing,
    drafted,
    gather,
    invoking,
    registering,
    replying,
    review,
    salvaged,
    saving,
)

from .assemble import assemble, given, kept
from .consent import consenting_by_policy
from .mode import Mode
from .nodes import ParallelNodes
from .settings import TurnSettings, known
from .stream import Event, TurnStream

SAVE_SECONDS = 10.0
"""To keep an answer, and to write down that a turn has begun."""
TOOLS_SECONDS = 60.0
"""For all tool calls of a turn; each has a limit of its own."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that runs by itself. ``events``: its log, for any number of readers, at any time."""

    run_id: str
    events: Live[Answer]
    task: asyncio.Task[Answer]

    async def answer(self) -> Answer:
        """Wait for the end. Giving up the wait does not end the turn: see :meth:`cancel`."""
        return await asyncio.shield(self.task)

    def cancel(self) -> None:
        """Stop the model and the tools. What was said so far is kept, as partial."""
        self.task.cancel()


class ParallelBaseWorkflow(ParallelNodes):
    """The four modes are this class with another ``mode``.

    :param services: who fulfils each port.
    :param config: settings as a mapping; keywords win over it. See :class:`TurnSettings`.
    :param watchers: who watches each turn; None: the metrics of this process.
    :raises ConfigError: an unknown setting or a wrong type.
    """

    mode: ClassVar[Mode]

    def __init__(
        self,
        services: Services,
        *,
        config: Mapping[str, Any] | None = None,
        watchers: Sequence[Watcher] | None = None,
        **settings: Any,
    ) -> None:
        self.services = services
        self.settings = TurnSettings(**known({**(config or {}), **settings}))
        self.watchers: tuple[Watcher, ...] = tuple(default_watchers() if watchers is None else watchers)
        self.flow = functools.lru_cache(maxsize=64)(self._build)
        self._save = Flow("save", step(saving(services.keeper)).under(Policy(SAVE_SECONDS)), given=(Kept,))

    def _build(self, settings: TurnSettings) -> Flow:
        """The whole turn as one flow. Built once per settings; runs only read it."""
        s, mode = self.services, self.mode.number
        tier1, tier2 = settings.parallel_timeout_ms / 1000, settings.post_generation_timeout_ms / 1000
        speak = Policy(settings.reply_timeout_ms / 1000, tier="reply")
        return Flow(
            "turn",
            step(registering(s.register, mode=mode)).or_else(Registered()).under(Policy(SAVE_SECONDS)),
            step(briefing(s.roster, mode=mode)).under(Policy(tier1, tier="brief")),
            gather(s, within=tier1),
            step(consenting_by_policy(settings)).or_else(Consent.missing()).under(Policy(tier1, tier="consent")),
            step(invoking(s.caller)).or_else(Findings.missing()).under(Policy(TOOLS_SECONDS, tier="invoke")),
            step(replying(s.llm)).or_salvage(salvaged).under(speak),
            review(s, within=tier2),
            shape=settings.shape,
            given=(Question,),
        )

    # -- what users call
    async def execute(self, question: Question, **overrides: Any) -> Answer:
        """Answer *question*. *overrides*: settings for this turn alone.

        The model's failure is no exception: see ``answer.status`` and ``answer.error``, or ``raise_for_status()``.

        :raises InvalidQuestion: no text, too much of it, or no identity.
        :raises ConfigError: an unknown setting or a wrong type.
        """
        return await self._run(ask(question), self.settings.but(overrides), ())

    def start(self, question: Question, **overrides: Any) -> Turn:
        """Begin a turn that does not depend on who reads it. Raises as :meth:`execute` does, at once."""
        question, settings = ask(question), self.settings.but(overrides)
        stream = TurnStream(question.run_id)
        task = supervise(self._streamed(question, settings, stream), name=f"turn {question.run_id}")
        return Turn(question.run_id, stream.log, task)

    async def stream(self, question: Question, **overrides: Any) -> AsyncIterator[Event]:
        """The turn's events as they happen. If the reader goes, the turn is cancelled; see :meth:`start` for one that
        is not."""
        turn = self.start(question, **overrides)
        try:
            async for event in turn.events:
                yield event
        finally:
            turn.cancel()

    # -- how a turn runs
    async def _streamed(self, question: Question, settings: TurnSettings, stream: TurnStream) -> Answer:
        try:
            answer = await self._run(question, settings, (stream,))
        except asyncio.CancelledError:
            stream.cancelled()
            raise
        except TurnError as error:
            await stream.fail(error)
            raise
        await stream.finish(answer)
        return answer

    async def _run(self, question: Question, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer:
        clock = _Clock()
        observers: tuple[Observer, ...] = (
            clock,
            *(watch(question, self.mode.number) for watch in self.watchers),
            *extra,
        )
        known_already = given(rag=settings.enable_rag, tools=settings.enable_tools, memory=settings.enable_memory)
        within = settings.turn_timeout_ms / 1000
        if question.limits.seconds is not None:
            within = min(within, question.limits.seconds)
        try:
            run = await self.flow(settings).run(question, *known_already, within=within, observers=observers)
        except asyncio.CancelledError:
            last_words = self._keep_cancelled(question, settings, clock, observers)
            supervise(bounded(last_words, within=SAVE_SECONDS), name=f"keep {question.run_id}")
            raise
        answer = assemble(
            question,
            run.steps,
            mode=self.mode.number,
            profile=settings.profile,
            grader=self.services.grader,
            timing=clock.timing(run.seconds),
            critical_path=run.critical_path,
        )
        return await self._keep(answer, observers)

    async def _keep(self, answer: Answer, observers: tuple[Observer, ...]) -> Answer:
        """Keep the turn. If that fails the answer is delivered all the same, and says so."""
        run = await self._save.run(kept(answer), observers=observers)
        since = answer.timing.total  # the save began when all else was known
        saved = run.steps["save"]
        saved = replace(saved, began=saved.began + since, ended=saved.ended + since)
        answer = replace(answer, outcomes={**answer.outcomes, "save": saved})
        if isinstance(saved, Failed):
            degraded = {**answer.degraded, "save": saved.reason}
            answer = replace(answer, degraded=degraded, warnings=(*answer.warnings, for_user("save", saved.reason)))
        tell(observers, TurnEnded(answer))
        return answer

    async def _keep_cancelled(
        self, question: Question, settings: TurnSettings, clock: _Clock, observers: tuple[Observer, ...]
    ) -> None:
        """What a cancelled turn had said, and what that cost, as far as it is known."""
        draft, gone = clock.said(), asyncio.CancelledError()
        paid = Call(question.run_id, "reply", draft.model, draft.provider, draft.usage, "cancelled")
        row = await self.services.accountant.price(paid)
        cut = assemble(
            question,
            {"reply": Degraded(draft, gone, "cancelled"), "tally": Done(Cost((row,)))},
            mode=self.mode.number,
            profile=settings.profile,
            grader=self.services.grader,
            timing=clock.timing(clock.now()),
        )
        await self._keep(cut, observers)


class _Clock:
    """Watches one turn for its times, and keeps a handle on what the model says."""

    def __init__(self) -> None:
        self.began = asyncio.get_running_loop().time()
        self.asked: float | None = None
        self.draft: Live[Draft] | None = None

    def __call__(self, event: FlowEvent) -> None:
        match event:
            case StepStarted(step="reply", at=at):
                self.asked = at
            case StreamOpened(step="reply", live=live):
                self.draft = live
            case _:
                pass

    def said(self) -> Draft:
        return drafted(self.draft.items if self.draft else (), asyncio.CancelledError())

    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self.began, 9)

    def timing(self, total: float) -> Timing:
        live = self.draft
        return Timing(
            wait=self._since(self.asked),
            first_token=self._since(live.first_at if live else None),
            last_token=self._since(live.last_at if live else None),
            total=total,
        )

    def _since(self, at: float | None) -> float | None:
        return None if at is None else round(at - self.began, 9)
