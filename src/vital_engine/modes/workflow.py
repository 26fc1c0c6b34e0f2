"""A turn of some mode: the same steps for all four, under the same settings, with who-decides as the difference."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from vital_engine.answer import Answer, TurnEnded
from vital_engine.errors import NotFound, VitalError
from vital_engine.flow import (
    Degraded,
    Done,
    Failed,
    Flow,
    Observer,
    Outcome,
    Policy,
    Run,
    Stream,
    bounded,
    run_in_background,
    step,
    tell,
)
from vital_engine.monitoring import Watcher, default_watchers
from vital_engine.notices import for_user
from vital_engine.nouns import Approval, Call, Claim, Consent, Cost, Question, Scope, ToolResults, TurnRecord
from vital_engine.ports import Services
from vital_engine.turn import Registered, ask, briefing, gather, invoking, registering, review, saving

from .assemble import assemble, kept, later
from .consent import consenting_by_policy
from .course import Course, TurnClock, initial_values, limit
from .decisions import Decisions
from .early import Early
from .hedging import Hedges
from .mode import Mode
from .nodes import ParallelNodes
from .settings import TurnSettings, known
from .stream import Event, TurnStream

if TYPE_CHECKING:
    from langgraph.graph import StateGraph

SAVE_SECONDS = 10.0
"""To keep an answer, and to write down that a turn has begun."""
TOOLS_SECONDS = 60.0
"""For all tool calls of a turn; each has a limit of its own."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that runs by itself. ``events``: its log, for any number of readers, at any time."""

    run_id: str
    events: Stream[Answer]
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
        self.scope: Scope | None = None  # whose paused turns resume() takes, where it is not told
        self.settings = TurnSettings(**known({**(config or {}), **settings}))
        self.watchers: tuple[Watcher, ...] = tuple(default_watchers() if watchers is None else watchers)
        self.early = Early(services)
        self.hedges = Hedges(services, self.early.load)
        self.flow = functools.lru_cache(maxsize=64)(functools.partial(self._build, early=True))
        self.plain = functools.lru_cache(maxsize=64)(functools.partial(self._build, early=False))
        self._save = Flow("save", step(saving(services.keeper)).under(Policy(SAVE_SECONDS)), given=(TurnRecord,))

    def _build(self, settings: TurnSettings, *, early: bool) -> Flow:
        """The whole turn as one flow. Built once per settings; runs only read it.

        *early*: with what is begun before its time, of which those who run it part by part have no use.
        """
        tier1 = settings.parallel_timeout_ms / 1000
        consent, invoke = consenting_by_policy(settings), invoking(self.services.caller)
        return Flow(
            "turn",
            self._opening(settings),
            step(consent).fallback(Consent.missing()).under(Policy(tier1, tier="consent")),
            *(self.early.steps(settings, consent, invoke) if early else ()),
            self._closing(settings, invoke, early=early),
            shape=settings.shape,
            given=(Question,),
        )

    def _opening(self, settings: TurnSettings) -> Flow:
        """All that comes before consent."""
        s, mode, tier1 = self.services, self.mode.number, settings.parallel_timeout_ms / 1000
        return Flow(
            "opening",
            step(registering(s.register, mode=mode)).fallback(Registered()).under(Policy(SAVE_SECONDS)),
            step(briefing(s.router, mode=mode)).under(Policy(tier1, tier="brief")),
            self.hedges.over(gather(s, within=tier1), settings),
        )

    def _closing(
        self, settings: TurnSettings, invoke: Callable[..., Awaitable[ToolResults]], *, early: bool = False
    ) -> Flow:
        """All that comes after consent."""
        return Flow(
            "closing",
            step(invoke).fallback(ToolResults.missing()).under(Policy(TOOLS_SECONDS, tier="invoke")),
            self.hedges.over(self.early.reply(settings) if early else self.early.plain_reply(settings), settings),
            self.hedges.over(review(self.services, within=settings.post_generation_timeout_ms / 1000), settings),
        )

    # -- what users call
    async def execute(self, question: Question, **overrides: Any) -> Answer:
        """Answer *question*. *overrides*: settings for this turn alone.

        The model's failure is no exception: see ``answer.status`` and ``answer.error``, or ``raise_for_status()``.

        :raises InvalidQuestion: no text, too much of it, or no identity.
        :raises ConfigError: an unknown setting or a wrong type.
        """
        return await self._answer(self._ask(question), self.settings.replace(overrides), ())

    def start(self, question: Question, **overrides: Any) -> Turn:
        """Begin a turn that does not depend on who reads it. Raises as :meth:`execute` does, at once."""
        question, settings = self._ask(question), self.settings.replace(overrides)
        return self._start(question.run_id, lambda stream: self._answer(question, settings, (stream,)))

    async def stream(self, question: Question, **overrides: Any) -> AsyncIterator[Event]:
        """The turn's events as they happen. If the reader goes, the turn is cancelled; see :meth:`start` for one that
        is not."""
        turn = self.start(question, **overrides)
        try:
            async for event in turn.events:
                yield event
        finally:
            turn.cancel()

    async def resume(
        self, run_id: str, decisions: Decisions | None = None, *, scope: Scope | None = None, by: str = ""
    ) -> Answer:
        """Decide on the calls of a paused turn, and go on with it. In a mode where nobody is asked, nothing is paused.

        :raises NotFound: there is no such paused turn.
        """
        turn = await self.start_resumed(run_id, decisions, scope=scope, by=by)
        return await turn.answer()

    async def start_resumed(
        self, run_id: str, decisions: Decisions | None = None, *, scope: Scope | None = None, by: str = ""
    ) -> Turn:
        """As :meth:`resume`, for those who want the events of what follows."""
        del decisions, scope, by
        raise NotFound(f"no paused run {run_id}: mode {self.mode.number} asks nobody")

    def build_graph(self) -> StateGraph[Any, Any, Any, Any]:
        """This workflow as a LangGraph ``StateGraph``, not yet compiled; see docs/langgraph.md.

        :raises ConfigError: LangGraph is not installed.
        """
        from .door import graph_of

        return graph_of(self)

    # -- how a turn runs
    def _ask(self, question: Question) -> Question:
        return ask(question)

    def _start(self, run_id: str, work: Callable[[Observer], Awaitable[Answer]]) -> Turn:
        stream = TurnStream(run_id)
        return Turn(run_id, stream.log, run_in_background(_streamed(work, stream), name=f"turn {run_id}"))

    async def _answer(self, question: Question, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer:
        """A turn from its beginning, when it is its time to speak."""
        return await self._run(question, settings, extra)

    async def _in_turn(
        self,
        question: Question,  # noqa: ARG002
        settings: TurnSettings,  # noqa: ARG002
        extra: tuple[Observer, ...],  # noqa: ARG002
        work: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """Where turns must not overlap, *work* waits here until it may begin."""
        return await work()

    async def _run(self, question: Question, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer:
        flow = self.flow(settings)  # before the clock starts: built on first use, it would make parts exceed the whole
        course = self._course(question, settings, extra)
        run = await self._through(flow, course, question, *initial_values(question, settings))
        return await self._assembled(course, run.steps, run.critical_path, run.seconds)

    def _course(
        self,
        question: Question,
        settings: TurnSettings,
        extra: tuple[Observer, ...],
        *,
        before: float = 0.0,
        claim: Claim | None = None,
    ) -> Course:
        clock = TurnClock(before)
        watching = tuple(watch(question, self.mode.number) for watch in self.watchers)
        return Course(question, settings, clock, (clock, *watching, *extra), limit(question, settings), claim)

    async def _through(self, flow: Flow, course: Course, *known_already: object) -> Run:
        """Run *flow*. If the turn is cancelled meanwhile, what was said is kept."""
        try:
            return await flow.run(*known_already, within=course.left, observers=course.observers)
        except asyncio.CancelledError:
            last_words = bounded(self._keep_cancelled(course), within=SAVE_SECONDS)
            run_in_background(last_words, name=f"keep {course.question.run_id}")
            raise

    async def _assembled(
        self,
        course: Course,
        outcomes: Mapping[str, Outcome[Any]],
        path: tuple[str, ...],
        seconds: float,
        approvals: tuple[Approval, ...] = (),
    ) -> Answer:
        answer = assemble(
            course.question,
            outcomes,
            mode=self.mode.number,
            profile=course.settings.profile,
            grader=self.services.grader,
            timing=course.clock.timing(seconds),
            critical_path=path,
            approvals=approvals,
            hedges=course.clock.hedges,
        )
        return await self._keep(answer, course)

    async def _keep(self, answer: Answer, course: Course) -> Answer:
        """Keep the turn. If that fails the answer is delivered all the same, and says so."""
        run = await self._save.run(kept(answer), observers=course.observers)
        # The save began when all else was known.
        saved = later(run.steps["save"], answer.timing.total)
        answer = replace(answer, outcomes={**answer.outcomes, "save": saved})
        if isinstance(saved, Failed):
            degraded = {**answer.degraded, "save": saved.reason}
            answer = replace(answer, degraded=degraded, warnings=(*answer.warnings, for_user("save", saved.reason)))
        tell(course.observers, TurnEnded(answer))
        return answer

    async def _keep_cancelled(self, course: Course) -> None:
        """What a cancelled turn had said, and what that cost, as far as it is known."""
        draft, gone = course.clock.said(), asyncio.CancelledError()
        paid = Call(course.question.run_id, "reply", draft.model, draft.provider, draft.usage, "cancelled")
        rows = [await self.services.accountant.price(one) for one in (paid, *course.clock.paid())]
        cut: dict[str, Outcome[Any]] = {"reply": Degraded(draft, gone, "cancelled"), "tally": Done(Cost(tuple(rows)))}
        await self._assembled(course, cut, (), course.clock.now())


async def _streamed(work: Callable[[Observer], Awaitable[Answer]], stream: TurnStream) -> Answer:
    try:
        answer = await work(stream)
    except asyncio.CancelledError:
        stream.cancelled()
        raise
    except VitalError as error:
        stream.fail(error)
        raise
    stream.finish(answer)
    return answer
