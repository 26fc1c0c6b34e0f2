"""A workflow as a LangGraph ``StateGraph``: one node per part of a turn, in the order of a turn.

A person's decision is a node of its own, paused by LangGraph's interrupt and kept by the port Approvals. Between two nodes no
lease is renewed; leases are long enough for what a graph does there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, NotRequired, TypeAlias, TypedDict, cast

from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import interrupt

from vital_engine.errors import Conflict, Expired, InvalidArguments, InvalidQuestion, NotFound, Refused, VitalError
from vital_engine.flow import (
    Done,
    Flow,
    FlowEnded,
    FlowStarted,
    Hedged,
    LateResult,
    Log,
    Outcome,
    Run,
    Skipped,
    StepEnded,
    StepStarted,
    StreamOpened,
    bounded,
    run_in_background,
)
from vital_engine.modes import ParallelBaseWorkflow, Person, TurnSettings
from vital_engine.modes.approval import Opened, Pause, by_person, decisions_of, pause_of
from vital_engine.modes.assemble import assemble, assemble_paused
from vital_engine.modes.conversation import SAVE_SECONDS, leased
from vital_engine.modes.runner import TurnContext, decide, hedges_of, owner, timing_of
from vital_engine.modes.segments import (
    CALLS,
    OPENING,
    PERSONAL_CONSENT,
    RETRIEVAL,
    REVIEW,
    SAVING,
    SPEECH,
    TURN,
    Part,
    TurnState,
    parts,
    run_part,
    spent,
    time_limit,
)
from vital_engine.modes.settings import kept_keys
from vital_engine.nouns import Answer, Approval, Claim, Consent, HedgeFacts, PausedTurn, Question, Timing, TurnEnded
from vital_engine.nouns.codec import JSON, to_json
from vital_engine.nouns.transitions import asked
from vital_engine.turn.plan import BRIEF, BY_NAME, CONSENT, KEYS

from .state import GraphState, options, reading, with_todays_keys, written

WORDS_SECONDS = 1.0
"""For the last words to reach the graph's stream, once the model has ended."""
OPEN_TURNS: Final = 10_000
"""Turns of one graph that are watched at once. The oldest beyond that were left by their callers."""

Write: TypeAlias = Callable[[Mapping[str, Any]], None]


class GraphObserver:
    """A turn under way in this process: one log for all of its nodes, the settings it began with, the right to go on."""

    def __init__(
        self, workflow: ParallelBaseWorkflow, question: Question, settings: TurnSettings, claim: Claim | None
    ) -> None:
        self.settings, self.claim = settings, claim
        self.hedges: dict[str, HedgeFacts] = {}  # see Answer.hedges
        self.log = Log([watch(question, workflow.mode.number) for watch in workflow.watchers])
        self.log.add(FlowStarted, TURN, asyncio.get_running_loop().time())
        self.log.flush()

    def of(self, write: Write) -> _NodeObserver:
        """An observer for one node, which writes to the graph's own stream."""
        return _NodeObserver(self.log, write)

    def end(self, answer: Answer | None = None, *, cancelled: bool = False) -> None:
        """All steps but the saving have ended. *answer*: where no saving follows, as in a pause."""
        self.log.add(FlowEnded, TURN, cancelled, asyncio.get_running_loop().time())
        if answer is not None:
            self.log.add(TurnEnded, answer)
        self.log.flush()


class _NodeObserver:
    """Reads the log of one node's flow: into the log of the turn, and to the graph's own stream."""

    def __init__(self, log: Log, write: Write) -> None:
        self._log, self._write = log, write

    def __call__(self, event: Any) -> None:
        match event:
            case StepStarted(step=step):
                self._write({"kind": "step", "step": step, "outcome": ""})
            case StepEnded(step=step, outcome=outcome):
                ended = {"kind": "step", "step": step, "outcome": outcome.kind, "seconds": outcome.seconds}
                self._write({**ended, "reason": outcome.reason})
            case StreamOpened() | LateResult() | Hedged():
                pass
            case _:  # a node's flow is no flow of the turn's
                return
        self._log.add(type(event), *event._replace(flow=TURN))
        self._log.flush()


@dataclass(slots=True)
class NodeContext:
    """A node at work. ``turn``: None while a person is asked, since what follows is watched anew.

    ``write``: the graph's own stream, see ``stream_mode="custom"``. ``began``: of the turn, on the loop's clock, the time
    between nodes not counted.
    """

    workflow: ParallelBaseWorkflow
    part: Part
    state: TurnState
    settings: TurnSettings
    turn: GraphObserver | None
    write: Write
    began: float

    @property
    def question(self) -> Question:
        """The question of the turn."""
        return self.state["question"]

    @property
    def context(self) -> TurnContext:
        """The turn as the runner needs it."""
        log, claim = (Log(), None) if self.turn is None else (self.turn.log, self.turn.claim)
        within = time_limit(self.question, self.settings)
        return TurnContext(self.question, self.settings, log, self.began, within, claim)

    @property
    def unanswered(self) -> bool:
        """No expert could be chosen."""
        chosen = BRIEF.outcome(self.state.get("outcomes", {}))
        return chosen is not None and not chosen.made

    @property
    def profile(self) -> str:
        """Between nodes there are barriers, whatever the settings say."""
        return "sequential" if self.settings.profile == "sequential" else "tiers"

    def outcomes(self) -> dict[str, Outcome[Any]]:
        """How the steps so far ended, each with what it made, which stands under a key of its own."""
        made: Mapping[str, Any] = self.state
        return {
            name: replace(outcome, value=made.get(BY_NAME[name].key))
            if name in BY_NAME and BY_NAME[name].key and outcome.kind != "failed"
            else outcome
            for name, outcome in self.state.get("outcomes", {}).items()
        }

    def critical_path(self, outcomes: Mapping[str, Outcome[Any]]) -> tuple[str, ...]:
        """Of the turn so far, as if it had run at once."""
        steps = self.workflow.runner.segments.steps(self.settings)
        flow = Flow(TURN, *(s for s in steps if s.name in outcomes), shape=replace(self.settings.shape, barriers=True))
        by_type = {s.makes: outcomes[s.name] for s in flow.steps}
        one_by_one = range(1, len(flow.steps)) if self.profile == "sequential" else ()
        return Run(TURN, flow.plan, by_type, {}, spent(self.state), {j: j - 1 for j in one_by_one}).critical_path


Work: TypeAlias = Callable[[NodeContext], Awaitable[Mapping[str, Any]]]


def build(workflow: ParallelBaseWorkflow) -> StateGraph[Any, Any, Any, Any]:
    """*workflow* as a graph, not yet compiled."""
    return TurnGraph(workflow).build()


class TurnGraph:
    """The nodes of a workflow's graph, and which of its turns are under way in this process."""

    def __init__(self, workflow: ParallelBaseWorkflow) -> None:
        self.workflow, self.runner = workflow, workflow.runner
        self.turns: OrderedDict[str, GraphObserver] = OrderedDict()
        self.person = self.runner.approver if isinstance(self.runner.approver, Person) else None

    def build(self) -> StateGraph[Any, Any, Any, Any]:
        """One node after another, in the order of a turn."""
        works: dict[Part, Work] = {
            OPENING: self._open,
            PERSONAL_CONSENT: self._ask,
            SPEECH: self._speak,
            SAVING: self._save,
        }
        graph: Any = StateGraph(GraphState, context_schema=options(), input_schema=reading("Asked", ("question",)))
        previous = START
        for part in parts(self.runner.approver):
            node = self._node(part, works.get(part, self._steps))
            graph.add_node(part.name, node, input_schema=reading(f"Read by {part.name}", part.reads))
            graph.add_edge(previous, part.name)
            previous = part.name
        graph.add_edge(previous, END)
        return cast("StateGraph[Any, Any, Any, Any]", graph)

    # -- around a node
    def _node(self, part: Part, work: Work) -> Callable[[TurnState], Awaitable[dict[str, object]]]:
        async def node(state: TurnState) -> dict[str, object]:
            here = await self._here(part, cast("TurnState", with_todays_keys(state)))
            try:
                async with self._place(here), self._claim_held(here):
                    made = await work(here)
            except GraphInterrupt:  # a pause, and no failure
                raise
            except asyncio.CancelledError:
                self._broken_off(here, cancelled=True)
                if "thread_id" not in get_config().get("configurable", {}):  # no checkpoint: nothing can go on
                    last_words = bounded(self.runner.keep_cancelled(here.context), within=SAVE_SECONDS)
                    run_in_background(last_words, name=f"keep {here.question.run_id}")
                raise
            except BaseException:
                self._broken_off(here)
                raise
            return written(made, here.question.run_id)

        return node

    async def _here(self, part: Part, state: TurnState) -> NodeContext:
        if part is OPENING:
            if "question" not in state:
                raise InvalidQuestion('a graph is given {"question": ...}')
            state = TurnState(question=self.workflow.ask(state["question"]))  # an earlier turn's state is dropped
        runtime, question = get_runtime(), state["question"]
        turn = None if part is OPENING else self.turns.get(question.run_id)
        settings = self.workflow.settings.replace(runtime.context or {}) if turn is None else turn.settings
        if part is PERSONAL_CONSENT:
            if turn is not None and turn.claim is not None:  # another's, who goes on with this very turn
                turn = None
        elif turn is None:
            claim = None if part in (OPENING, RETRIEVAL) else await self._claim(question, settings)
            turn = self._watch(question, settings, claim)
        began = asyncio.get_running_loop().time() - spent(state)
        return NodeContext(self.workflow, part, state, settings, turn, runtime.stream_writer, began)

    def _watch(self, question: Question, settings: TurnSettings, claim: Claim | None) -> GraphObserver:
        """Begin to watch a turn. The same run watched before, and those beyond what is watched at once, end."""
        left = [self.turns.pop(question.run_id)] if question.run_id in self.turns else []
        turn = self.turns[question.run_id] = GraphObserver(self.workflow, question, settings, claim)
        if len(self.turns) > OPEN_TURNS:
            left.append(self.turns.popitem(last=False)[1])
        for earlier in left:
            earlier.end()
        return turn

    async def _claim(self, question: Question, settings: TurnSettings) -> Claim | None:
        """For a turn that was paused, and is gone on with by a process that did not see its consent."""
        if self.person is None:
            return None
        try:
            await self.person.approvals.look(question.run_id, owner(question))
        except NotFound:  # nothing was proposed
            return None
        return await self._claimed(question, settings)

    async def _claimed(self, question: Question, settings: TurnSettings) -> Claim:
        """The right to go on with a paused turn, once no other process has it.

        :raises Conflict: another has answered it, or does not end.
        """
        assert self.person is not None  # or nothing were paused
        _, claim = await self.person.claim(question.run_id, owner(question), settings)
        if claim is None:
            raise Conflict(f"the run {question.run_id} was resumed before, and is answered")
        return claim

    def _broken_off(self, here: NodeContext, *, cancelled: bool = False) -> None:
        run_id = here.question.run_id
        if here.turn is not None and self.turns.get(run_id) is here.turn:
            self.turns.pop(run_id)
            here.turn.end(cancelled=cancelled)

    @contextlib.asynccontextmanager
    async def _place(self, here: NodeContext) -> AsyncIterator[None]:
        """In a conversation one turn runs at a time. Each node asks for the turn's place again, and gets the old one."""
        if self.runner.conversation is None:
            yield
            return
        async with self.runner.conversation.place(here.question, here.settings) as place:
            try:
                yield
                place.kept = here.part is not SAVING
            except GraphInterrupt:  # a paused turn keeps its place until it is decided
                place.kept = True
                raise

    @contextlib.asynccontextmanager
    async def _claim_held(self, here: NodeContext) -> AsyncIterator[None]:
        """A paused turn that goes on holds the right to, until it is kept.

        :raises Conflict: another process has it now.
        """
        claim = None if here.turn is None else here.turn.claim
        if claim is None or self.person is None:
            yield
            return
        seconds = here.settings.lease_seconds
        hold = partial(self.person.approvals.hold, claim, seconds=seconds)
        async with leased(hold, seconds=seconds, name=f"run {claim.run_id}"):
            yield

    # -- the nodes
    async def _steps(self, here: NodeContext, *more: Callable[[Any], None]) -> Mapping[str, Any]:
        known: tuple[object, ...] = ()
        if self.person is not None:
            if here.part in (CALLS, SPEECH, REVIEW) and here.unanswered:
                return self._not_run(here)
            if here.part is CALLS:
                claim = None if here.turn is None else here.turn.claim
                known = (claim or Claim(here.question.run_id, owner(here.question)),)
        observers = (*(() if here.turn is None else (here.turn.of(here.write),)), *more)
        steps = self.runner.segments.steps(here.settings)
        made = await run_part(steps, here.part, here.state, here.settings, known=known, observers=observers)
        if here.turn is not None:  # of an earlier node it is known: each has a beginning of its own
            here.turn.hedges = {**hedges_of(here.context), **here.turn.hedges}
        return made

    def _not_run(self, here: NodeContext) -> dict[str, object]:
        """Where no expert answers, a turn with a person in it stops here, as on the engine's own path."""
        planned = [BY_NAME[name] for name in here.part.steps]
        made: dict[str, object] = {KEYS[each.makes]: None for each in planned}
        made["outcomes"] = {each.name: Skipped(f"{BRIEF.name!r} made nothing") for each in planned}
        return made

    async def _open(self, here: NodeContext) -> Mapping[str, Any]:
        return {**await self._steps(here), "question": here.question}

    async def _speak(self, here: NodeContext) -> Mapping[str, Any]:
        """The words go to the graph's stream as they come."""
        telling: list[asyncio.Task[None]] = []

        def listen(event: object) -> None:
            if isinstance(event, StreamOpened):
                telling.append(run_in_background(_tell_words(event.stream, here.write), name="tell words"))

        made = await self._steps(here, listen)
        if telling:
            await asyncio.wait(telling, timeout=WORDS_SECONDS)
        return {**made, "timing": timing_of(here.context, 0.0)}

    async def _save(self, here: NodeContext) -> Mapping[str, Any]:
        turn, question = here.turn, here.question
        assert turn is not None  # only a person is asked without
        outcomes, seconds = here.outcomes(), spent(here.state)
        approvals: tuple[Approval, ...] = ()
        if turn.claim is not None and self.person is not None:
            approvals = (await self.person.approvals.look(question.run_id, owner(question))).approvals
        answer = assemble(
            question,
            outcomes,
            mode=self.workflow.mode.number,
            profile=here.profile,
            grader=self.workflow.services.grader,
            timing=replace(here.state.get("timing", Timing()), total=seconds),
            critical_path=here.critical_path(outcomes),
            approvals=approvals,
            hedges=turn.hedges,
        )
        self.turns.pop(question.run_id)
        turn.end()
        answer = await self.runner.keep(answer, here.context)
        if self.runner.conversation is not None:
            answer = await self.runner.conversation.summarize(question, answer)
        return {"answer": answer}

    # -- a person's decision
    async def _ask(self, here: NodeContext) -> Mapping[str, Any]:
        """Pauses if a person must be asked, and ends when all is decided and no other process goes on.

        The interrupt is an exception that LangGraph must see, so it is raised here and never inside a step. What is written
        down before it is written once: the node runs again from its beginning when the graph is resumed.

        :raises Conflict: another process has gone on with the turn.
        """
        assert self.person is not None  # or this were not the node
        since, question = spent(here.state), here.question
        if here.unanswered:
            return {CONSENT.key: None, "outcomes": {}}
        opened = self._opened(here)
        paused = pause_of(opened)
        if not asked(paused):
            return _consented(Consent(paused.refused), since)
        try:
            turn = await self.person.approvals.look(question.run_id, owner(question))
        except NotFound:  # the first time that the node runs
            outcome = await decide(self.person, opened, here.context)
            if not isinstance(outcome.value, Pause) or outcome.value.turn is None:
                return {CONSENT.key: outcome.value, "outcomes": {CONSENT.name: outcome}}
            turn = outcome.value.turn
        else:
            here.settings = self.workflow.settings.replace(kept_keys(turn.paused.settings))
        try:
            turn = await self._decided(turn)
        except GraphInterrupt:
            self._stand_still(here, await self.person.approvals.look(question.run_id, owner(question)))
            raise
        self._watch(question, here.settings, await self._claimed(question, here.settings))
        return _consented(by_person(turn), since)

    def _opened(self, here: NodeContext) -> Opened:
        state, outcomes = here.state, here.outcomes()
        brief = state["brief"]
        assert brief is not None  # an expert answers
        return Opened(
            here.question,
            brief,
            state["suggestions"],
            here.settings,
            self.workflow.settings,
            self.workflow.mode.number,
            state["evidence"],
            state["memory"],
            outcomes,
            here.critical_path(outcomes),
            spent(state),
        )

    async def _decided(self, turn: PausedTurn) -> PausedTurn:
        """*turn* once nothing of it is pending. A person is asked again for what is left, or was no decision."""
        assert self.person is not None
        question = turn.paused.question
        whose = owner(question)
        wrong: VitalError | None = None
        while turn.pending:
            said = interrupt(_request(turn, wrong))
            wrong = None
            try:
                if not isinstance(said, Mapping):
                    raise InvalidArguments(f"decisions are a mapping by the call's id, not a {type(said).__name__}")
                turn = await self.person.take(turn, decisions_of(said), whose, by=question.user)
            except (InvalidArguments, NotFound, Refused, Conflict) as error:
                wrong = error
            except Expired:
                turn = await self.person.approvals.look(question.run_id, whose)
        return turn

    def _stand_still(self, here: NodeContext, turn: PausedTurn) -> None:
        """The watchers see the pause as any end."""
        self.turns.pop(here.question.run_id, None)
        if here.turn is not None:
            timing = timing_of(here.context, spent(here.state))
            here.turn.end(assemble_paused(turn, here.outcomes(), profile=here.profile, timing=timing))


class AskedCall(TypedDict):
    """A call that waits for a person, as a client is shown it."""

    id: str
    tool: str
    arguments: JSON
    reason: str
    cost_usd: JSON
    effect: str
    tainted: bool
    sources: JSON
    needs_consent: bool
    expires_at: str


class Wrong(TypedDict):
    """What was wrong with what a client said."""

    code: str
    message: str


class PauseRequest(TypedDict):
    """What an interrupt of a graph holds; see docs/langgraph.md."""

    kind: Literal["approval"]
    run_id: str
    calls: list[AskedCall]
    error: NotRequired[Wrong]


def _consented(consent: Consent, at: float) -> dict[str, object]:
    return {CONSENT.key: consent, "outcomes": {CONSENT.name: Done(None, 0.0, at, at)}}


def _request(turn: PausedTurn, wrong: VitalError | None) -> PauseRequest:
    """What a client is shown: the calls that wait, and what was wrong with what it said before."""
    calls = [_call(approval) for approval in turn.pending]
    request: PauseRequest = {"kind": "approval", "run_id": turn.paused.question.run_id, "calls": calls}
    if wrong is not None:
        request["error"] = {"code": wrong.code, "message": str(wrong)}
    return request


def _call(approval: Approval) -> AskedCall:
    tool_call = approval.tool_call
    return {
        "id": approval.id,
        "tool": tool_call.tool,
        "arguments": to_json(tool_call.arguments),
        "reason": tool_call.reason,
        "cost_usd": to_json(tool_call.cost_usd),
        "effect": tool_call.effect.value,
        "tainted": tool_call.tainted,
        "sources": to_json(tool_call.sources),
        "needs_consent": tool_call.needs_consent,
        "expires_at": approval.expires_at.isoformat(),
    }


async def _tell_words(stream: Any, write: Write) -> None:
    async for batch in stream.batches():
        if text := "".join(piece.text for piece in batch):
            write({"kind": "token", "text": text})
