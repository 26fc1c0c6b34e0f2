"""The four modes: who approves tool calls, and one question or a conversation. Two by two, and nothing else differs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, Unpack, cast

from vital_engine.errors import ConfigError, NotFound, VitalError
from vital_engine.flow import Observer, Stream, run_in_background, speedup
from vital_engine.monitoring import Watcher, default_watchers
from vital_engine.nouns import (
    Answer,
    Citations,
    Cost,
    Evidence,
    Memory,
    Question,
    Scope,
    Support,
    ToolSuggestions,
)
from vital_engine.ports import Services
from vital_engine.turn import ask
from vital_engine.turn.plan import ASSESS, CITE, RECALL, RETRIEVE, SUGGEST, TALLY, PlannedStep

from .approval import Approver, Decisions, Person, Policy, decisions_of
from .conversation import Conversation
from .events import Event, TurnStream
from .runner import Runner
from .segments import RETRIEVAL, REVIEW, Part, TurnState, run_part
from .settings import TurnOptions, TurnSettings, validate_keys

if TYPE_CHECKING:
    from langgraph.graph import StateGraph

Given: TypeAlias = TurnState | Mapping[str, Any]
"""A state, of whatever schema. A union, so that LangGraph takes the keys of your graph and does not add those of ours."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A cell of the two by two.

    :param number: 1 to 4.
    :param name: for people.
    :param approves: who approves tool calls: a person, by a pause, or a policy.
    :param talk: one question, or a conversation.
    """

    number: int
    name: str
    approves: Literal["user", "policy"]
    talk: Literal["question", "conversation"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that runs by itself. ``events``: what happens in it, for any number of readers, at any time."""

    run_id: str
    events: Stream[Answer]
    task: asyncio.Task[Answer]

    async def answer(self) -> Answer:
        """Wait for the end. Giving up the wait does not end the turn: see :meth:`cancel`."""
        return await asyncio.shield(self.task)

    def cancel(self) -> None:
        """Stop the model and the tools. What was said so far is kept, as partial."""
        self.task.cancel()


class ParallelBaseWorkflow:
    """A turn of some mode; the four modes are this class with another ``mode``.

    :param services: which service fulfils each port.
    :param config: settings as a mapping; keywords win over it. See :class:`TurnSettings`.
    :param watchers: each makes an observer of one turn; None: the metrics of this process.
    :param settings: see :class:`TurnSettings`.
    :raises ConfigError: an unknown setting or a wrong type, or services that are none or lack what the mode needs.
    """

    mode: ClassVar[Mode]

    def __init__(
        self,
        services: Services,
        *,
        config: Mapping[str, object] | None = None,
        watchers: Sequence[Watcher] | None = None,
        **settings: Unpack[TurnOptions],
    ) -> None:
        if not isinstance(services, Services):
            raise ConfigError(
                f"{type(self).__name__} needs Services, not {services!r}: open an Engine, or see vital_engine.testing.scripted"
            )
        self.services = services
        self.scope: Scope | None = None  # whose paused turns resume() takes, where it is not told
        self.settings = TurnSettings(**validate_keys({**(config or {}), **settings}))
        number = self.mode.number
        conversation = Conversation(services, number) if self.mode.talk == "conversation" else None
        watching = default_watchers() if watchers is None else watchers
        self.runner = Runner(services, number, self._approver(), conversation, watching)
        self._resuming: dict[tuple[str, str], Turn] = {}

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """What watches its turns: each makes an observer of one turn."""
        return self.runner.watchers

    def _approver(self) -> Approver:
        if self.mode.approves == "policy":
            return Policy()
        approvals = self.services.approvals
        if approvals is None:
            raise ConfigError(f"mode {self.mode.number} asks a person, and needs services.approvals to keep a pause")
        return Person(approvals, self.services.argument_validator)

    # -- a turn
    async def execute(self, question: Question, **overrides: Unpack[TurnOptions]) -> Answer:
        """Answer *question*.

        A failure of the model is no exception: see ``answer.status`` and ``answer.error``, or ``raise_for_status()``.

        :param question: the question.
        :param overrides: settings for this turn alone.
        :returns: the answer, also of a turn that failed or paused.
        :raises InvalidQuestion: no text, too much of it, no identity, or an impossible limit.
        :raises ConfigError: an unknown setting or a wrong type.
        :raises ConversationBusy: the message was not answered, and can be sent again.
        """
        deployed = self.settings
        return await self.runner.answer(self.ask(question), deployed.replace(overrides), deployed, ())

    def start(self, question: Question, **overrides: Unpack[TurnOptions]) -> Turn:
        """Start a turn that does not depend on its readers.

        :param question: the question.
        :param overrides: settings for this turn alone.
        :returns: the running turn.
        :raises InvalidQuestion: see :meth:`execute`.
        :raises ConfigError: see :meth:`execute`.
        """
        asked, deployed = self.ask(question), self.settings
        settings = deployed.replace(overrides)
        return _started(asked.run_id, lambda stream: self.runner.answer(asked, settings, deployed, (stream,)))

    async def stream(self, question: Question, **overrides: Unpack[TurnOptions]) -> AsyncGenerator[Event, None]:
        """The turn's events as they happen. If the reader leaves, the turn is cancelled; :meth:`start` gives one that
        is not.

        :param question: the question.
        :param overrides: settings for this turn alone.
        :raises InvalidQuestion: see :meth:`execute`.
        :raises ConfigError: see :meth:`execute`.
        """
        turn = self.start(question, **overrides)
        try:
            async for event in turn.events:
                yield event
        finally:
            turn.cancel()

    def ask(self, question: Question) -> Question:
        """Check *question*; the result has a run id, and in modes 3 and 4 a conversation.

        :raises InvalidQuestion: see :meth:`execute`.
        """
        asked = ask(question)
        if isinstance(self.runner.approver, Person) and asked.run_id == question.run_id:
            self.runner.repeats.put(asked.run_id, None)  # the caller gave the id: it may have been asked before
        return asked if self.runner.conversation is None else self.runner.conversation.begin(asked)

    # -- a paused turn
    async def resume(
        self, run_id: str, decisions: Decisions | None = None, *, scope: Scope | None = None, by: str = ""
    ) -> Answer:
        """Decide on the calls of a paused turn, and continue it once all are decided.

        :param run_id: the paused turn.
        :param decisions: id of a call -> decision; see :data:`.approval.Decisions`. None: only continue.
        :param scope: tenant and user; default: those of the turn if it began here, else ``workflow.scope``.
        :param by: the person who decides; default: the user of the scope.
        :returns: the answer; ``paused`` while calls wait for a decision.
        :raises NotFound: there is no such paused turn; in an automatic mode there is none.
        :raises Conflict: a call was decided differently before.
        :raises Expired: the time to decide has passed.
        :raises InvalidArguments: the tool does not accept an edit, or a decision has no known form.
        """
        turn = await self.start_resumed(run_id, decisions, scope=scope, by=by)
        return await turn.answer()

    async def start_resumed(
        self, run_id: str, decisions: Decisions | None = None, *, scope: Scope | None = None, by: str = ""
    ) -> Turn:
        """As :meth:`resume`, for a turn that does not depend on its readers.

        All decisions of one call are applied, or none. A second client that decides the same gets the same turn.
        Retrieval does not run again.

        :param run_id: the paused turn.
        :param decisions: see :meth:`resume`.
        :param scope: see :meth:`resume`.
        :param by: see :meth:`resume`.
        :returns: the running turn.
        :raises NotFound: there is no such paused turn or call.
        :raises Conflict: a call was decided differently before.
        :raises Expired: the time to decide has passed.
        :raises InvalidArguments: the tool does not accept an edit, or a decision has no known form.
        """
        person = self.runner.approver
        if not isinstance(person, Person):
            raise NotFound(f"no paused run {run_id}: mode {self.mode.number} asks no person")
        whose = scope or self.runner.owners.get(run_id) or self.scope
        if whose is None:
            raise NotFound(f"no paused run {run_id} of this process: say whose it is (scope=)")
        given = decisions_of(decisions or {})
        turn = await person.approvals.look(run_id, whose)
        if turn.paused.mode != self.mode.number:
            raise NotFound(f"the run {run_id} was paused in mode {turn.paused.mode}")
        turn = await person.take(turn, given, whose, by=by or whose.user)
        key, deployed = (whose.tenant, run_id), self.settings
        if (running := self._resuming.get(key)) is not None:
            return running
        resumed = _started(run_id, lambda stream: self.runner.go_on(run_id, whose, deployed, (stream,)))
        if not turn.pending:
            self._resuming[key] = resumed
            resumed.task.add_done_callback(lambda _: self._resuming.pop(key, None))
        return resumed

    # -- in a graph of LangGraph
    def build_graph(self) -> StateGraph[Any, Any, Any, Any]:
        """This workflow as a LangGraph ``StateGraph``, not yet compiled; see docs/langgraph.md.

        :raises ConfigError: LangGraph is not installed.
        """
        return graph_builder()(self)

    async def parallel_retrieval_node(self, state: Given) -> TurnState:
        """Retrieve, suggest and recall at once.

        Reads ``question``, ``brief``; returns ``evidence``, ``suggestions``, ``memory``, ``outcomes``.
        """
        return await self._node(RETRIEVAL, state)

    async def parallel_post_generation_node(self, state: Given) -> TurnState:
        """Cite, assess and tally at once.

        Reads ``question``, ``evidence``, ``suggestions``, ``draft``; returns ``citations``, ``support``, ``cost``, ``outcomes``.
        """
        return await self._node(REVIEW, state)

    async def _rag_retrieval_task(self, state: Given) -> Evidence:
        return (await self._alone(RETRIEVE, RETRIEVAL, state))["evidence"]

    async def _tool_suggestion_task(self, state: Given) -> ToolSuggestions:
        return (await self._alone(SUGGEST, RETRIEVAL, state))["suggestions"]

    async def _memory_retrieval_task(self, state: Given) -> Memory:
        return (await self._alone(RECALL, RETRIEVAL, state))["memory"]

    async def _citation_extraction_task(self, state: Given) -> Citations:
        return (await self._alone(CITE, REVIEW, state))["citations"]

    async def _quality_scoring_task(self, state: Given) -> Support:
        return (await self._alone(ASSESS, REVIEW, state))["support"]

    async def _cost_tracking_task(self, state: Given) -> Cost:
        return (await self._alone(TALLY, REVIEW, state))["cost"]

    @staticmethod
    def _calculate_speedup(wall_seconds: float, step_seconds: Sequence[float]) -> float | None:
        """Measured seconds of the steps over measured seconds on the clock; None for no time. Never from constants."""
        return speedup(step_seconds, wall_seconds)

    async def _node(self, part: Part, state: Given) -> TurnState:
        """A part by itself, in a graph of yours: watched by itself, since nothing says when the turn ends."""
        observers = [watch(state["question"], self.mode.number) for watch in self.watchers]
        return await self._run_part(part, state, observers)

    async def _alone(self, planned: PlannedStep[Any], part: Part, state: Given) -> TurnState:
        """One step, under its own limit and with its own fallback."""
        return await self._run_part(replace(part, name=planned.name, steps=(planned.name,)), state, ())

    async def _run_part(self, part: Part, state: Given, observers: Sequence[Observer]) -> TurnState:
        steps = self.runner.segments.steps(self.settings)
        return await run_part(steps, part, cast("TurnState", state), self.settings, observers=observers)


def _started(run_id: str, work: Callable[[Observer], Awaitable[Answer]]) -> Turn:
    stream = TurnStream(run_id)
    return Turn(run_id, stream.events, run_in_background(_streamed(work, stream), name=f"turn {run_id}"))


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


def graph_builder() -> Callable[[ParallelBaseWorkflow], StateGraph[Any, Any, Any, Any]]:
    """What makes a graph of a workflow. LangGraph is loaded here and nowhere else.

    :raises ConfigError: LangGraph is not installed.
    """
    from importlib import import_module

    try:
        module = import_module("vital_engine.langgraph.graph")
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in ("langgraph", "langchain_core"):
            raise
        raise ConfigError("a graph needs LangGraph: pip install 'vital-engine[langgraph]'") from missing
    build: Callable[[ParallelBaseWorkflow], StateGraph[Any, Any, Any, Any]] = module.build
    return build


class Mode1ManualWorkflow(ParallelBaseWorkflow):
    """One question. If tools are suggested, the answer is ``paused`` until :meth:`resume` has decided each call."""

    mode: ClassVar[Mode] = Mode(1, "manual interactive", "user", "question")


class Mode2AutomaticWorkflow(ParallelBaseWorkflow):
    """One question. A policy approves tool calls, with its limits and reasons."""

    mode: ClassVar[Mode] = Mode(2, "automatic research", "policy", "question")


class Mode3ChatManualWorkflow(ParallelBaseWorkflow):
    """A conversation in which a person approves each tool call, by a pause. See :class:`.conversation.Conversation`."""

    mode: ClassVar[Mode] = Mode(3, "chat, manual", "user", "conversation")


class Mode4ChatAutomaticWorkflow(ParallelBaseWorkflow):
    """A conversation in which a policy approves tool calls. See :class:`.conversation.Conversation`."""

    mode: ClassVar[Mode] = Mode(4, "chat, automatic", "policy", "conversation")
