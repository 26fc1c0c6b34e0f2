"""Run a turn: its opening, the decision on its tool calls, its closing, and the saving of its answer.

A policy decides within the turn. For a person the turn stands still: what was made before the pause is kept, and is given to
the run that goes on, since a run that is given Evidence does not retrieve.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vital_engine.errors import Conflict, NotFound, Refused, StepAbandoned, StoreError
from vital_engine.flow import (
    Degraded,
    Done,
    Flow,
    FlowEnded,
    FlowStarted,
    Hedged,
    Log,
    Observer,
    Outcome,
    Run,
    Skipped,
    StepStarted,
    StreamOpened,
    bounded,
    run_in_background,
)
from vital_engine.monitoring import Watcher
from vital_engine.nouns import (
    Answer,
    Approval,
    Brief,
    Call,
    Claim,
    Consent,
    Cost,
    Draft,
    Evidence,
    HedgeFacts,
    Memory,
    PausedTurn,
    Question,
    Scope,
    Timing,
    ToolSuggestions,
    TurnEnded,
)
from vital_engine.ports import Services
from vital_engine.turn import drafted, save
from vital_engine.turn.plan import BRIEF, CONSENT, REPLY, SAVE, SUGGEST, TALLY, for_user

from .approval import Approver, Opened, Pause, Person, Recent, by_person, outcomes_so_far
from .assemble import assemble, assemble_paused
from .conversation import SAVE_SECONDS, Conversation, leased
from .segments import TURN, Segments, initial_values, time_limit
from .settings import TurnSettings, kept_keys


@dataclass(frozen=True, slots=True)
class TurnContext:
    """One turn under way: who asked what, under which settings, its log, and when it began on the loop's clock.

    ``within``: seconds for the whole turn; a person's time is not counted. ``claim``: the right to go on with a turn that was
    paused, and ``suggestions``: what it was paused for.
    """

    question: Question
    settings: TurnSettings
    log: Log
    began: float
    within: float
    claim: Claim | None = None
    suggestions: ToolSuggestions | None = None

    def now(self) -> float:
        """Seconds that the turn has taken."""
        return round(asyncio.get_running_loop().time() - self.began, 9)

    @property
    def left(self) -> float:
        """Seconds that are left of the turn's limit."""
        return self.within - self.now()

    @property
    def owner(self) -> Scope:
        """Tenant and user of the turn."""
        return owner(self.question)


def owner(question: Question) -> Scope:
    """Tenant and user of *question*."""
    return Scope(question.tenant, question.user)


class Runner:
    """Runs the turns of one workflow.

    :param conversation: None where each question stands alone.
    :param watchers: each makes an observer of one turn.
    """

    def __init__(
        self,
        services: Services,
        mode: int,
        approver: Approver,
        conversation: Conversation | None,
        watchers: Sequence[Watcher],
    ) -> None:
        self.services, self.mode, self.approver, self.conversation = services, mode, approver, conversation
        self.watchers = tuple(watchers)
        self.segments = Segments(services, mode, approver)
        self.owners = Recent()  # run id -> whose paused turn it is
        self.repeats = Recent()  # run ids that callers gave: they may have been asked before
        self._answers = Recent()  # (tenant, run id) -> answer of a turn that was paused
        self._save = Flow(SAVE.name, SAVE.of(partial(save, services.turns), within=SAVE_SECONDS), given=(Answer,))

    async def answer(
        self, question: Question, settings: TurnSettings, deployed: TurnSettings, observers: tuple[Observer, ...]
    ) -> Answer:
        """A turn from its beginning, when it is its time. *deployed*: the workflow's settings, without the turn's own."""
        async with self._place(question, settings, observers) as finish:
            if self.approver.waits:
                return await finish(await self._with_person(question, settings, deployed, observers))
            return await finish(await self._at_once(question, settings, observers))

    async def go_on(self, run_id: str, scope: Scope, deployed: TurnSettings, observers: tuple[Observer, ...]) -> Answer:
        """A paused turn, once all is decided; its answer as it stands, if it is not or was answered before."""
        person = self._person()
        turn = await person.approvals.look(run_id, scope)
        if turn.pending or turn.receipt is not None:
            return self.standing(turn, deployed)
        settings = deployed.replace(kept_keys(turn.paused.settings))
        async with self._place(turn.paused.question, settings, observers) as finish:
            return await finish(await self._claimed(run_id, scope, settings, deployed, observers))

    @contextlib.asynccontextmanager
    async def _place(
        self, question: Question, settings: TurnSettings, observers: tuple[Observer, ...]
    ) -> AsyncIterator[Callable[[Answer], Awaitable[Answer]]]:
        """The turn's place in its conversation, if there is one. Gives what the answer goes through at the end."""
        if self.conversation is None:
            yield _unchanged
            return
        conversation = self.conversation
        async with conversation.place(question, settings, observers) as place:

            async def finish(answer: Answer) -> Answer:
                place.kept = answer.status == "paused"  # it keeps its place until it is decided
                return await conversation.summarize(question, answer)

            yield finish

    # -- one run
    def begin(
        self,
        question: Question,
        settings: TurnSettings,
        observers: Sequence[Observer],
        *,
        before: float = 0.0,
        claim: Claim | None = None,
    ) -> TurnContext:
        """A turn begins, or goes on after *before* seconds: from here on it is watched."""
        now = asyncio.get_running_loop().time()
        watching = tuple(watch(question, self.mode) for watch in self.watchers)
        log = Log((*watching, *observers))
        log.add(FlowStarted, TURN, now)
        return TurnContext(question, settings, log, now - before, time_limit(question, settings), claim)

    async def _at_once(self, question: Question, settings: TurnSettings, observers: tuple[Observer, ...]) -> Answer:
        """A turn in which nothing waits for a person."""
        flow = self.segments.whole(settings)  # before the clock starts: built on first use
        context = self.begin(question, settings, observers)
        run = await self._run(flow, context, question, *initial_values(question, settings))
        return await self.finish(context, run.steps, run.critical_path, run.seconds)

    async def _with_person(
        self, question: Question, settings: TurnSettings, deployed: TurnSettings, observers: tuple[Observer, ...]
    ) -> Answer:
        if (before := await self._asked_before(question, settings, observers)) is not None:
            return before
        opening, closing = self.segments.opening(settings), self.segments.closing(settings)
        context = self.begin(question, settings, observers)
        run = await self._run(opening, context, question, *initial_values(question, settings))
        outcomes = dict(run.steps)
        if not outcomes[BRIEF.name].made:  # no expert answers, as in the other modes
            unmet: dict[str, Outcome[Any]] = {s.name: Skipped(f"{BRIEF.name!r} made nothing") for s in closing.steps}
            return await self.finish(context, outcomes | unmet, run.critical_path, run.seconds)
        opened = Opened(
            question,
            run[Brief],
            run[ToolSuggestions],
            settings,
            deployed,
            self.mode,
            run[Evidence],
            run[Memory],
            outcomes,
            run.critical_path,
            context.now(),
        )
        decided = await decide(self.approver, opened, context)
        if isinstance(decided.value, Pause):
            assert decided.value.turn is not None
            return self._stand_still(decided.value.turn, outcomes, context)
        outcomes[CONSENT.name] = decided
        return await self._close(opened, outcomes, context)

    async def _close(self, opened: Opened, outcomes: Mapping[str, Outcome[Any]], context: TurnContext) -> Answer:
        """What follows the decision."""
        before = context.now()
        consent = outcomes[CONSENT.name].value
        claim = context.claim or Claim(opened.question.run_id, context.owner)
        known = (opened.question, opened.brief, opened.evidence, opened.suggestions, opened.memory, consent, claim)
        run = await self._run(self.segments.closing(context.settings), context, *known, since=before)
        path = (*opened.critical_path, *run.critical_path)
        return await self.finish(context, {**outcomes, **run.steps}, path, context.now())

    async def _run(self, flow: Flow, context: TurnContext, *known: object, since: float = 0.0) -> Run:
        """Run *flow*. If the turn is cancelled meanwhile, what was said is kept."""
        try:
            return await flow.run(*known, within=context.left, log=context.log, since=since)
        except asyncio.CancelledError:
            context.log.add(FlowEnded, TURN, True, asyncio.get_running_loop().time())
            context.log.flush()
            last_words = bounded(self.keep_cancelled(context), within=SAVE_SECONDS)
            run_in_background(last_words, name=f"keep {context.question.run_id}")
            raise

    # -- the end of a turn
    async def finish(
        self,
        context: TurnContext,
        outcomes: Mapping[str, Outcome[Any]],
        path: tuple[str, ...],
        seconds: float,
        *,
        cancelled: bool = False,
    ) -> Answer:
        """Put the answer together, and keep it."""
        if not cancelled:
            context.log.add(FlowEnded, TURN, False, asyncio.get_running_loop().time())
        approvals: tuple[Approval, ...] = ()
        if (
            context.claim is not None
        ):  # a resumed turn, also one that was cancelled, has all that was decided and called
            try:
                look = self._person().approvals.look(context.claim.run_id, context.claim.scope)
                turn = await bounded(look, within=SAVE_SECONDS)
            except (StoreError, StepAbandoned, TimeoutError):
                pass  # the answer is worth more than its account
            else:
                outcomes, approvals = {**outcomes_so_far(turn), **outcomes}, turn.approvals
        answer = assemble(
            context.question,
            outcomes,
            mode=self.mode,
            profile=context.settings.profile,
            grader=self.services.grader,
            timing=timing_of(context, seconds),
            critical_path=path,
            approvals=approvals,
            hedges=hedges_of(context),
        )
        return await self.keep(answer, context)

    async def keep(self, answer: Answer, context: TurnContext) -> Answer:
        """Keep the turn. If that fails the answer is delivered all the same, and says so.

        :raises Conflict: another process goes on with this paused turn: it keeps it.
        """
        if context.claim is not None:
            hold = self._person().approvals.hold(context.claim, seconds=context.settings.lease_seconds)
            try:
                mine = await bounded(hold, within=SAVE_SECONDS)
            except (StoreError, StepAbandoned, TimeoutError):
                mine = True  # it is not known; the first to keep the turn wins its row
            if not mine:
                raise Conflict(f"another goes on with the run {answer.run_id}")
        log = context.log
        now = asyncio.get_running_loop().time()
        log.add(FlowStarted, SAVE.name, now)
        try:
            # The save began when all else was known.
            run = await self._save.run(answer, log=log, since=answer.timing.total)
        finally:
            log.add(FlowEnded, SAVE.name, False, asyncio.get_running_loop().time())
        saved = run.steps[SAVE.name]
        answer = replace(answer, outcomes={**answer.outcomes, SAVE.name: saved})
        if saved.reason:
            degraded = {**answer.degraded, SAVE.name: saved.reason}
            warnings = (*answer.warnings, for_user(SAVE.name, saved.reason))
            answer = replace(answer, degraded=degraded, warnings=warnings)
        log.add(TurnEnded, answer)
        log.flush()
        return answer

    async def keep_cancelled(self, context: TurnContext) -> None:
        """What a cancelled turn had said, and what that cost, as far as it is known."""
        draft, gone = said_so_far(context.log), asyncio.CancelledError()
        paid = Call(context.question.run_id, REPLY.name, draft.model, draft.provider, draft.usage, "cancelled")
        rows = [await self.services.accountant.price(one) for one in (paid, *paid_so_far(context))]
        cut: dict[str, Outcome[Any]] = {
            REPLY.name: Degraded(draft, gone, "cancelled"),
            TALLY.name: Done(Cost(tuple(rows))),
        }
        await self.finish(context, cut, (), context.now(), cancelled=True)

    # -- a person between the two halves
    def _person(self) -> Person:
        assert isinstance(self.approver, Person)  # or there were no claim
        return self.approver

    async def _asked_before(
        self, question: Question, settings: TurnSettings, observers: tuple[Observer, ...]
    ) -> Answer | None:
        """The same question again, by its run id: the pause or the answer that it came to the first time."""
        if question.run_id not in self.repeats:
            return None
        del self.repeats[question.run_id]
        person, scope = self._person(), owner(question)
        try:
            turn = await bounded(person.approvals.look(question.run_id, scope), within=SAVE_SECONDS)
        except (NotFound, StoreError, StepAbandoned, TimeoutError):
            return None
        if turn.paused.question.text != question.text:
            raise Refused(f"the run {question.run_id} is another question's")
        self.owners.put(question.run_id, scope)
        if turn.pending or turn.receipt is not None:
            return self.standing(turn, settings)
        return await self._claimed(question.run_id, scope, settings, settings, observers)  # decided, and then it died

    def _stand_still(self, turn: PausedTurn, outcomes: Mapping[str, Outcome[Any]], context: TurnContext) -> Answer:
        self.owners.put(context.question.run_id, context.owner)
        timing = timing_of(context, context.now())
        answer = assemble_paused(turn, outcomes, profile=context.settings.profile, timing=timing)
        context.log.add(FlowEnded, TURN, False, asyncio.get_running_loop().time())
        context.log.add(TurnEnded, answer)
        context.log.flush()
        return answer

    def standing(self, turn: PausedTurn, settings: TurnSettings) -> Answer:
        """The answer of a paused turn as it stands: given before, or still waiting."""
        paused = turn.paused
        question = paused.question
        if turn.receipt is None:
            timing = Timing(total=paused.seconds)
            return assemble_paused(turn, paused.outcomes, profile=settings.profile, timing=timing)
        known_here: Answer | None = self._answers.get((question.tenant, question.run_id))
        if known_here is not None:
            return known_here
        given = {"profile": settings.profile, **turn.receipt}
        answer = Answer.from_receipt(
            given, question=question, brief=paused.brief, evidence=paused.evidence, outcomes=paused.outcomes
        )
        return replace(answer, approvals=turn.approvals)

    async def _claimed(
        self,
        run_id: str,
        scope: Scope,
        settings: TurnSettings,
        deployed: TurnSettings,
        observers: tuple[Observer, ...],
    ) -> Answer:
        """Go on with the turn, or wait for the process that does: the right to is given to one at a time."""
        while True:
            turn, claim = await self._person().claim(run_id, scope, settings)
            if claim is None:
                return self.standing(turn, deployed)
            try:
                return await self._holding(claim, turn, settings, observers)
            except Conflict:
                continue  # it was taken over: the process that has it now gives the answer

    async def _holding(
        self, claim: Claim, turn: PausedTurn, settings: TurnSettings, observers: tuple[Observer, ...]
    ) -> Answer:
        paused, seconds = turn.paused, settings.lease_seconds
        hold = partial(self._person().approvals.hold, claim, seconds=seconds)
        outcomes = dict(paused.outcomes)
        outcomes[CONSENT.name] = Done(by_person(turn), 0.0, paused.seconds, paused.seconds)
        opened = Opened(
            paused.question, paused.brief, paused.suggestions, settings, settings, self.mode, paused.evidence,
            paused.memory, outcomes, paused.critical_path, paused.seconds,
        )  # fmt: skip
        async with leased(hold, seconds=seconds, name=f"run {claim.run_id}"):
            context = self.begin(paused.question, settings, observers, before=paused.seconds, claim=claim)
            context = replace(context, suggestions=paused.suggestions)
            answer = await self._close(opened, outcomes, context)
        self._answers.put((claim.scope.tenant, claim.run_id), answer)
        return answer


async def _unchanged(answer: Answer) -> Answer:
    return answer


async def decide(approver: Approver, opened: Opened, context: TurnContext) -> Outcome[Consent]:
    """What *approver* decides, as the outcome of the step. What cannot be kept cannot be decided: the turn then goes on
    without its tools, and says so."""
    before = context.now()
    if approver.waits and not opened.suggestions.tool_calls:
        return Done(Consent(), 0.0, before, before)

    async def consent(opened: Opened) -> Consent:
        return await approver.decide(opened)

    step = CONSENT.of(consent, within=SAVE_SECONDS)
    run = await Flow(TURN, step, given=(Opened,)).run(opened, log=context.log, since=before)
    outcome: Outcome[Consent] = run.steps[CONSENT.name]
    return outcome


# -- what the log tells
def timing_of(context: TurnContext, total: float) -> Timing:
    """When the model was asked, and when it said its first and its last word, in seconds since the turn began."""
    asked = first = last = None
    for event in context.log.events:
        match event:
            case StepStarted(step=REPLY.name, at=at):
                asked = at
            case StreamOpened(step=REPLY.name, stream=stream):
                first, last = stream.first_at, stream.last_at
            case _:
                pass
    wait, first, last = (None if at is None else round(at - context.began, 9) for at in (asked, first, last))
    return Timing(wait, first, last, total)


def said_so_far(log: Log) -> Draft:
    """What the model has said of a turn that is cancelled."""
    streams = [e.stream for e in log.events if isinstance(e, StreamOpened) and e.step == REPLY.name]
    return drafted(streams[-1].items if streams else (), asyncio.CancelledError())


def paid_so_far(context: TurnContext) -> tuple[Call, ...]:
    """What was paid for suggestions of tool calls, as far as it is known."""
    if context.suggestions is not None:  # made before the turn was paused
        return context.suggestions.calls
    streams = [e.stream for e in context.log.events if isinstance(e, StreamOpened) and e.step == SUGGEST.name]
    items = [item for stream in streams for item in stream.items]
    return items[-1].calls if items else ()


def hedges_of(context: TurnContext) -> dict[str, HedgeFacts]:
    """Step -> when its call was first sent a second time, in seconds since the turn began, and whether that one won."""
    hedges: dict[str, HedgeFacts] = {}
    for event in context.log.events:
        if isinstance(event, Hedged) and event.sent_at is not None:
            sent = hedges.setdefault(event.step, {"sent": round(event.sent_at - context.began, 9), "won": False})
            sent["won"] = sent["won"] or event.became == "sent_won"
    return hedges
