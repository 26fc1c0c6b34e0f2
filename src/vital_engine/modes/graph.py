"""The LangGraph door: a turn as a StateGraph, for those who embed one in a graph of their own.

::

    graph.py           the graph: its nodes, and what each is wrapped in
    graph_turn.py      a node at work, and the turn put together again
    graph_state.py     the state: channels that hold nouns
    graph_plain.py     nouns as plain, versioned JSON: what a checkpointer keeps
    graph_consent.py   a person's decision, by LangGraph's interrupt
    graph_leases.py    what a node holds while it works
    graph_watching.py  one set of observers for a turn

Nodes are thin: each runs the same steps as the engine's own path, under the same settings (:mod:`.parts`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, TypedDict, cast, get_type_hints

from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime

from vital_engine.nouns.answer import Answer, Timing
from vital_engine.errors import InvalidQuestion, NotFound
from vital_engine.flow import Observer, Skipped, Stream, StreamOpened, bounded, run_in_background
from vital_engine.nouns import Claim, Draft, Question, Scope

from .assemble import assemble
from .chat import ChatWorkflow
from .course import TurnClock
from .graph_consent import ask_person, claimed
from .graph_leases import holding, speaking
from .graph_plain import written
from .graph_state import GraphState, reading
from .graph_turn import Here
from .graph_watching import Session, Sessions
from .parts import BRIEF, INVOKE, KEYS, REPLY, RETRIEVAL, REVIEW, Part, parts, run_part, spent
from .pausing import PausingWorkflow
from .settings import TurnSettings
from .state import TurnState
from .workflow import SAVE_SECONDS, ParallelBaseWorkflow

WORDS_SECONDS = 1.0
"""For the last words to reach the graph's stream, once the model has ended."""

TurnOverrides: Any = TypedDict("TurnOverrides", get_type_hints(TurnSettings), total=False)  # type: ignore[misc]
"""What ``ainvoke(..., context={...})`` may hold: settings for this turn alone."""

Work: TypeAlias = Callable[[Here], Awaitable[Mapping[str, Any]]]


class TurnGraph:
    """The nodes of a workflow's graph, and which of its turns are under way in this process."""

    def __init__(self, workflow: ParallelBaseWorkflow) -> None:
        self.workflow = workflow
        self.sessions = Sessions()
        self._approvals = workflow.services.approvals if isinstance(workflow, PausingWorkflow) else None

    def build(self) -> StateGraph[Any, Any, Any, Any]:
        """One node after another, in the order of a turn."""
        works: dict[str, Work] = {"brief": self._brief, "reply": self._reply, "save": self._save}
        if self._approvals is not None:
            works["consent"] = self._ask
        graph: Any = StateGraph(GraphState, context_schema=TurnOverrides, input_schema=reading("Asked", ("question",)))
        previous = START
        for part in parts(self.workflow.mode.approves):
            node = self._node(part, works.get(part.name, self._steps))
            graph.add_node(part.name, node, input_schema=reading(f"Read by {part.name}", part.reads))
            graph.add_edge(previous, part.name)
            previous = part.name
        graph.add_edge(previous, END)
        return cast("StateGraph[Any, Any, Any, Any]", graph)

    # -- around a node
    def _node(self, part: Part, work: Work) -> Callable[[TurnState], Awaitable[dict[str, Any]]]:
        async def node(state: TurnState) -> dict[str, Any]:
            here = await self._here(part, state)
            try:
                async with speaking(here), holding(here):
                    made = await work(here)
            except GraphInterrupt:  # a pause, and no failure
                raise
            except asyncio.CancelledError:
                self._broken_off(here)
                if "thread_id" not in get_config().get("configurable", {}):  # no checkpoint: nobody can go on
                    last_words = bounded(self.workflow._keep_cancelled(here.course), within=SAVE_SECONDS)
                    run_in_background(last_words, name=f"keep {here.question.run_id}")
                raise
            except BaseException:
                self._broken_off(here)
                raise
            return written(made, here.question.run_id)

        return node

    async def _here(self, part: Part, state: TurnState) -> Here:
        if part is BRIEF:
            if "question" not in state:
                raise InvalidQuestion('a graph is given {"question": ...}')
            state = TurnState(question=self.workflow._ask(state["question"]))  # an earlier turn's state is let go
        runtime, question = get_runtime(), state["question"]
        session = None if part is BRIEF else self.sessions.get(question.run_id)
        settings = self.workflow.settings.replace(runtime.context or {}) if session is None else session.settings
        if part.name == "consent" and self._approvals is not None:
            if session is not None and session.claim is not None:  # another's, who goes on with this very turn
                session = None
        elif session is None:
            claim = None if part in (BRIEF, RETRIEVAL) else await self._claim(question, settings)
            session = self._begin(question, settings, claim)
        return Here(self.workflow, part, state, settings, session, TurnClock(spent(state)), runtime.stream_writer)

    def _begin(self, question: Question, settings: TurnSettings, claim: Claim | None) -> Session:
        watchers = [watch(question, self.workflow.mode.number) for watch in self.workflow.watchers]
        return self.sessions.put(question.run_id, Session(watchers, settings, claim))

    async def _claim(self, question: Question, settings: TurnSettings) -> Claim | None:
        """For a turn that was paused, and is gone on with by a process that did not see its consent."""
        if self._approvals is None:
            return None
        try:
            turn = await self._approvals.look(question.run_id, Scope(question.tenant, question.user))
        except NotFound:  # nothing was proposed
            return None
        return await claimed(turn, self._approvals, settings)

    def _broken_off(self, here: Here) -> None:
        run_id = here.question.run_id
        if here.session is not None and self.sessions.get(run_id) is here.session:
            self.sessions.pop(run_id)
            here.session.end(here.run(here.state.get("outcomes", {})))

    # -- the nodes
    async def _steps(self, here: Here, *more: Observer) -> Mapping[str, Any]:
        known: tuple[object, ...] = ()
        if self._approvals is not None:
            if here.part in (INVOKE, REPLY, REVIEW) and here.nobody_answers:
                return _not_run(here)
            if here.part is INVOKE:
                claim = None if here.session is None else here.session.claim
                known = (claim or Claim(here.question.run_id, here.owner),)
        watching = () if here.session is None else (here.session.observer(here.write),)
        observers = (here.clock, *watching, *more)
        return await run_part(here.steps, here.part, here.state, here.settings, known=known, observers=observers)

    async def _brief(self, here: Here) -> Mapping[str, Any]:
        return {**await self._steps(here), "question": here.question}

    async def _ask(self, here: Here) -> Mapping[str, Any]:
        assert self._approvals is not None  # or this were not the node
        return await ask_person(here, self._approvals, self.sessions, self._begin)

    async def _reply(self, here: Here) -> Mapping[str, Any]:
        """The words go to the graph's stream as they come."""
        telling: list[asyncio.Task[None]] = []

        def listen(event: object) -> None:
            if isinstance(event, StreamOpened):
                telling.append(run_in_background(_tell_words(event.live, here.write), name="tell words"))

        made = await self._steps(here, listen)
        if telling:
            await asyncio.wait(telling, timeout=WORDS_SECONDS)
        return {**made, "timing": here.clock.timing(0.0)}

    async def _save(self, here: Here) -> Mapping[str, Any]:
        workflow, session, question = self.workflow, here.session, here.question
        assert session is not None  # only a person is asked without
        outcomes = here.outcomes()
        run = here.run(outcomes)
        paused = None
        if session.claim is not None and self._approvals is not None:
            paused = await self._approvals.look(question.run_id, here.owner)
        answer = assemble(
            question,
            outcomes,
            mode=workflow.mode.number,
            profile=here.profile,
            grader=workflow.services.grader,
            timing=replace(here.state.get("timing", Timing()), total=run.seconds),
            critical_path=run.critical_path,
            approvals=() if paused is None else paused.approvals,
        )
        self.sessions.pop(question.run_id)
        session.end(run)

        async def keep() -> Answer:
            return await workflow._keep(answer, here.course)

        if isinstance(workflow, ChatWorkflow):
            return {"answer": await workflow._with_summary(question, keep)}
        return {"answer": await keep()}


def _not_run(here: Here) -> dict[str, Any]:
    """Where nobody answers, a turn with a person in it stops here, as on the engine's own path."""
    steps = [s for s in here.steps if s.name in here.part.steps]
    made: dict[str, Any] = {KEYS[s.makes]: None for s in steps}
    made["outcomes"] = {s.name: Skipped("'brief' made nothing") for s in steps}
    return made


async def _tell_words(live: Stream[Draft], write: Callable[[Mapping[str, Any]], None]) -> None:
    async for batch in live.batches():
        if text := "".join(piece.text for piece in batch):
            write({"kind": "token", "text": text})
