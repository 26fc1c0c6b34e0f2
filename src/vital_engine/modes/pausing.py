"""A turn with a person in it: the same steps, up to the consent, and from there on once all is decided.

What was made before the pause is kept, and is given to the run that goes on: a run that is given Evidence does not
retrieve. Where nothing is proposed, nothing pauses, and the second half follows at once.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from vital_engine.answer import Answer, TurnEnded
from vital_engine.approving import asked
from vital_engine.errors import ConfigError, Conflict, NotFound, Refused, StepAbandoned, StoreError
from vital_engine.flow import (
    Degraded,
    Done,
    Failed,
    Flow,
    Observer,
    Outcome,
    Policy,
    Skipped,
    Stream,
    bounded,
    step,
    tell,
)
from vital_engine.nouns import (
    Approval,
    Brief,
    Claim,
    Consent,
    Evidence,
    Memory,
    Paused,
    PausedTurn,
    Question,
    Scope,
    ToolSuggestions,
)
from vital_engine.ports import Approvals, Services
from vital_engine.receipt import as_json

from .approved_calls import invoking_approved
from .assemble import assemble_paused, later
from .consent import by_person, not_asked
from .course import Course, initial_values
from .decisions import Decisions, decisions_of, validated
from .lease import leased
from .recorded import answer_of, known_of, outcomes_of, past_steps
from .settings import KEYS, TurnSettings, known
from .workflow import SAVE_SECONDS, ParallelBaseWorkflow, Turn

REMEMBERED = 1000
"""Paused and resumed turns of this process whose owner or answer is at hand; the store has the others."""
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between two looks at a turn that another process goes on with: from the first, growing, to the second."""


class PausingWorkflow(ParallelBaseWorkflow):
    """Modes 1 and 3.

    :raises ConfigError: ``services.approvals`` is missing: a pause must be kept somewhere.
    """

    def __init__(self, services: Services, **settings: Any) -> None:
        super().__init__(services, **settings)
        if services.approvals is None:
            raise ConfigError(f"mode {self.mode.number} asks a person, and needs services.approvals to keep a pause")
        self._approvals: Approvals = services.approvals
        self._halves = functools.lru_cache(maxsize=64)(self._build_halves)
        self._owners: OrderedDict[str, Scope] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._resuming: dict[tuple[str, str], Turn] = {}
        self._repeats: OrderedDict[str, None] = OrderedDict()

    def _build_halves(self, settings: TurnSettings) -> tuple[Flow, Flow]:
        closing = self._closing(settings, invoking_approved(self.services, self._approvals))
        known_then = (Question, Brief, Evidence, ToolSuggestions, Memory, Consent, Claim)
        return (
            Flow("turn", self._opening(settings), shape=settings.shape, given=(Question,)),
            Flow("turn", closing, shape=settings.shape, given=known_then),
        )

    # -- the first half
    def _ask(self, question: Question) -> Question:
        asked_now = super()._ask(question)
        if asked_now.run_id == question.run_id:  # its id was told, not made here: it may have been asked before
            _remember(self._repeats, question.run_id, None)
        return asked_now

    async def _before(self, question: Question, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer | None:
        """The same question again, by its run id: the pause or the answer that it came to the first time."""
        if question.run_id not in self._repeats:
            return None
        del self._repeats[question.run_id]
        try:
            turn = await bounded(self._approvals.look(question.run_id, _owner(question)), within=SAVE_SECONDS)
        except (NotFound, StoreError, StepAbandoned, TimeoutError):
            return None
        if turn.paused.question.text != question.text:
            raise Refused(f"the run {question.run_id} is another question's")
        _remember(self._owners, question.run_id, _owner(question))
        if turn.pending or turn.receipt is not None:
            return self._standing(turn)
        return await self._claimed(question.run_id, _owner(question), settings, extra)  # decided, and then it died

    async def _run(self, question: Question, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer:
        if (before := await self._before(question, settings, extra)) is not None:
            return before
        opening, closing = self._halves(settings)
        course = self._course(question, settings, extra)
        run = await self._through(opening, course, question, *initial_values(question, settings))
        outcomes = dict(run.steps)
        if isinstance(outcomes["brief"], Failed | Skipped):  # nobody answers, as in the other modes
            unmet: dict[str, Outcome[Any]] = {s.name: Skipped("'brief' made nothing") for s in closing.steps}
            return await self._assembled(course, outcomes | unmet, run.critical_path, run.seconds)
        paused = Paused(
            question=question,
            mode=self.mode.number,
            brief=run[Brief],
            evidence=run[Evidence],
            suggestions=run[ToolSuggestions],
            memory=run[Memory],
            steps=past_steps(outcomes),
            critical_path=run.critical_path,
            seconds=course.clock.now(),
            refused=not_asked(run[ToolSuggestions], run[Brief]),
            settings={k: as_json(v) for k in KEYS if (v := getattr(settings, k)) != getattr(self.settings, k)},
        )
        if asked(paused):
            kept = await self._pause(paused, course)
            if isinstance(kept, Done):
                return self._stand_still(kept.value, outcomes, course)
            # What could not be kept cannot be decided: the turn goes on without its tools, and says so.
            failed = Degraded(Consent.missing(), kept.error, kept.reason, kept.seconds, kept.began, kept.ended)
            outcomes["consent"] = later(failed, paused.seconds)
        else:
            outcomes["consent"] = Done(Consent(paused.refused), 0.0, paused.seconds, paused.seconds)
        return await self._go_on(paused, outcomes, course, Claim(question.run_id, _owner(question)))

    async def _pause(self, paused: Paused, course: Course) -> Done[PausedTurn] | Failed:
        async def consent(paused: Paused) -> PausedTurn:
            return await self._approvals.pause(paused, seconds=course.settings.approval_seconds)

        flow = Flow("pause", step(consent).under(Policy(SAVE_SECONDS, tier="consent")), given=(Paused,))
        run = await flow.run(paused, observers=course.observers)
        outcome = run.steps["consent"]
        assert isinstance(outcome, Done | Failed)  # it has no stand-in, and nothing to wait for
        return outcome

    def _stand_still(self, turn: PausedTurn, outcomes: Mapping[str, Outcome[Any]], course: Course) -> Answer:
        question = turn.paused.question
        _remember(self._owners, question.run_id, _owner(question))
        seconds = course.clock.now()
        profile, timing = course.settings.profile, course.clock.timing(seconds)
        answer = assemble_paused(turn, outcomes, profile=profile, timing=timing)
        tell(course.observers, TurnEnded(answer))
        return answer

    # -- the second half
    async def start_resumed(
        self, run_id: str, decisions: Decisions | None = None, *, scope: Scope | None = None, by: str = ""
    ) -> Turn:
        """Decide on a paused turn's calls; once all are decided, go on. See :data:`.decisions.Decisions`.

        All decisions of one call are taken, or none. What goes on does not depend on who asked for it: a second
        client that decides the same gets the same turn. Retrieval is not run again.

        :param scope: whose turn it is; default: who began it here, else ``workflow.scope``.
        :param by: who decides; default: the user of the scope.
        :raises NotFound: no such paused turn, or no such call in it.
        :raises Conflict: a call was decided otherwise before.
        :raises Expired: the time to decide has passed.
        :raises InvalidArguments: an edit that the tool refuses, or a decision that is none.
        """
        whose = scope or self._owners.get(run_id) or self.scope
        if whose is None:
            raise NotFound(f"no paused run {run_id} of this process: say whose it is (scope=)")
        decisions = decisions_of(decisions or {})
        turn = await self._approvals.look(run_id, whose)
        if turn.paused.mode != self.mode.number:
            raise NotFound(f"the run {run_id} was paused in mode {turn.paused.mode}")
        decisions = await validated(turn, decisions, self.services.argument_validator)
        turn = await self._approvals.decide(run_id, decisions, whose, by=by or whose.user)
        key = (whose.tenant, run_id)
        if (running := self._resuming.get(key)) is not None:
            return running
        resumed = self._start(run_id, lambda stream: self._resumed(run_id, whose, stream))
        if not turn.pending:
            self._resuming[key] = resumed
            resumed.task.add_done_callback(lambda _: self._resuming.pop(key, None))
        return resumed

    async def _resumed(self, run_id: str, whose: Scope, stream: Observer) -> Answer:
        turn = await self._approvals.look(run_id, whose)
        if (turn.pending or turn.receipt is not None) and (answer := self._standing(turn)):
            return answer
        settings = self.settings.replace(known(turn.paused.settings))

        async def work() -> Answer:
            return await self._claimed(run_id, whose, settings, (stream,))

        return await self._in_turn(turn.paused.question, settings, (stream,), work)

    def _standing(self, turn: PausedTurn) -> Answer:
        """The answer as it stands: given before, or still waiting."""
        question, profile = turn.paused.question, self.settings.profile
        if turn.receipt is None:
            clock = self._course(question, self.settings, (), before=turn.paused.seconds).clock
            timing = clock.timing(turn.paused.seconds)
            return assemble_paused(turn, outcomes_of(turn.paused), profile=profile, timing=timing)
        known_here = self._answers.get((question.tenant, question.run_id))
        return known_here or answer_of(turn, profile=profile)

    async def _claimed(self, run_id: str, whose: Scope, settings: TurnSettings, extra: tuple[Observer, ...]) -> Answer:
        """Go on with the turn, or wait for whoever does: the claim is given to one at a time."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + settings.turn_timeout_ms / 1000 + 2 * settings.lease_seconds, FIRST_LOOK
        while loop.time() < until:
            claim = await self._approvals.claim(run_id, whose, seconds=settings.lease_seconds)
            turn = await self._approvals.look(run_id, whose)
            if claim is not None:
                try:
                    return await self._holding(claim, turn, settings, extra)
                except Conflict:
                    continue  # it was taken over: who has it now gives the answer
            if turn.receipt is not None:
                return self._standing(turn)
            await asyncio.sleep(pause)
            pause = min(LAST_LOOK, 2 * pause)
        raise Conflict(f"another goes on with the run {run_id}, and has not ended")

    async def _holding(
        self, claim: Claim, turn: PausedTurn, settings: TurnSettings, extra: tuple[Observer, ...]
    ) -> Answer:
        paused, seconds = turn.paused, settings.lease_seconds

        async def hold() -> bool:
            return await self._approvals.hold(claim, seconds=seconds)

        consent, outcomes = by_person(turn), outcomes_of(paused)
        outcomes["consent"] = Done(consent, 0.0, paused.seconds, paused.seconds)
        async with leased(hold, seconds=seconds, name=f"run {claim.run_id}"):
            course = self._course(paused.question, settings, extra, before=paused.seconds, claim=claim)
            answer = await self._go_on(paused, outcomes, course, claim)
        _remember(self._answers, (claim.scope.tenant, claim.run_id), answer)
        return answer

    async def _go_on(
        self, paused: Paused, outcomes: Mapping[str, Outcome[Any]], course: Course, claim: Claim
    ) -> Answer:
        consent = outcomes["consent"]
        assert isinstance(consent, Done | Degraded)
        before = course.clock.now()
        course.clock.suggestions = Stream.closed(paused.suggestions, [paused.suggestions])
        _, closing = self._halves(course.settings)
        made = (paused.brief, paused.evidence, paused.suggestions, paused.memory)
        run = await self._through(closing, course, paused.question, *made, consent.value, claim)
        after = {name: later(outcome, before) for name, outcome in run.steps.items()}
        path = (*paused.critical_path, *run.critical_path)
        return await self._assembled(course, {**outcomes, **after}, path, course.clock.now())

    async def _assembled(
        self,
        course: Course,
        outcomes: Mapping[str, Outcome[Any]],
        path: tuple[str, ...],
        seconds: float,
        approvals: tuple[Approval, ...] = (),
    ) -> Answer:
        """A resumed turn, also one that was cancelled, tells all that was decided and called."""
        if course.claim is not None:
            try:
                turn = await bounded(self._approvals.look(course.claim.run_id, course.claim.scope), within=SAVE_SECONDS)
            except (StoreError, StepAbandoned, TimeoutError):
                pass  # the answer is worth more than its account
            else:
                outcomes, approvals = {**known_of(turn), **outcomes}, turn.approvals
        return await super()._assembled(course, outcomes, path, seconds, approvals)

    async def _keep(self, answer: Answer, course: Course) -> Answer:
        """Only who holds the claim keeps a resumed turn. Conflict if another does."""
        if course.claim is not None:
            hold = self._approvals.hold(course.claim, seconds=course.settings.lease_seconds)
            try:
                mine = await bounded(hold, within=SAVE_SECONDS)
            except (StoreError, StepAbandoned, TimeoutError):
                mine = True  # nobody knows; the first to keep the turn wins its row
            if not mine:
                raise Conflict(f"another goes on with the run {answer.run_id}")
        return await super()._keep(answer, course)


def _owner(question: Question) -> Scope:
    return Scope(question.tenant, question.user)


def _remember(where: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    where[key] = value
    while len(where) > REMEMBERED:
        where.popitem(last=False)
