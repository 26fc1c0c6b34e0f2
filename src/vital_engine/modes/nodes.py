"""The nodes and tasks of the parallel workflow, each callable alone; what a graph of yours puts in.

A node is given a state (a mapping, see :class:`TurnState`), does not change it, and returns only the keys that it made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from vital_engine.flow import Flow, Live, Observer, speedup
from vital_engine.nouns import Citations, Cost, Evidence, Memory, Menu, Piece, Question, Support
from vital_engine.ports import Services
from vital_engine.turn import gather, review

from .mode import Mode
from .settings import TurnSettings
from .state import TurnState, Update

T = TypeVar("T")


class ParallelNodes:
    """Mixed into :class:`ParallelBaseWorkflow`."""

    services: Services
    settings: TurnSettings
    mode: ClassVar[Mode]
    watchers: tuple[Callable[[Question, int], Observer], ...]

    async def parallel_retrieval_node(self, state: TurnState) -> Update:
        """Retrieve, suggest and recall at once.

        Reads ``question``, ``brief``; returns ``evidence``, ``menu``, ``memory``, ``outcomes``.
        """
        run = await self._tier1().run(state["question"], state["brief"], observers=self._observers(state))
        return Update(evidence=run[Evidence], menu=run[Menu], memory=run[Memory], outcomes=dict(run.steps))

    async def parallel_post_generation_node(self, state: TurnState) -> Update:
        """Cite, assess and tally at once.

        Reads ``question``, ``evidence``, ``draft``; returns ``citations``, ``support``, ``cost``, ``outcomes``.
        """
        run = await self._tier2().run(*_spoken(state), observers=self._observers(state))
        return Update(citations=run[Citations], support=run[Support], cost=run[Cost], outcomes=dict(run.steps))

    async def _rag_retrieval_task(self, state: TurnState) -> Evidence:
        return await self._alone(self._tier1(), Evidence, state["question"], state["brief"])

    async def _tool_suggestion_task(self, state: TurnState) -> Menu:
        return await self._alone(self._tier1(), Menu, state["question"], state["brief"])

    async def _memory_retrieval_task(self, state: TurnState) -> Memory:
        return await self._alone(self._tier1(), Memory, state["question"], state["brief"])

    async def _citation_extraction_task(self, state: TurnState) -> Citations:
        return await self._alone(self._tier2(), Citations, *_spoken(state))

    async def _quality_scoring_task(self, state: TurnState) -> Support:
        return await self._alone(self._tier2(), Support, *_spoken(state))

    async def _cost_tracking_task(self, state: TurnState) -> Cost:
        return await self._alone(self._tier2(), Cost, *_spoken(state))

    @staticmethod
    def _calculate_speedup(wall_seconds: float, step_seconds: Sequence[float]) -> float | None:
        """Measured seconds of the steps over measured seconds on the clock; None for no time. Never from constants."""
        return speedup(list(step_seconds), wall_seconds)

    def _tier1(self) -> Flow:
        flow = gather(self.services, within=self.settings.parallel_timeout_ms / 1000)
        return flow if self.settings.enable_parallel_tier1 and self._parallel else flow.sequential()

    def _tier2(self) -> Flow:
        flow = review(self.services, within=self.settings.post_generation_timeout_ms / 1000)
        return flow if self.settings.enable_parallel_tier2 and self._parallel else flow.sequential()

    @property
    def _parallel(self) -> bool:
        return self.settings.profile != "sequential"

    def _observers(self, state: TurnState) -> tuple[Observer, ...]:
        return tuple(watch(state["question"], self.mode.number) for watch in self.watchers)

    @staticmethod
    async def _alone(flow: Flow, makes: type[T], *given: object) -> T:
        """One step of a flow, under its own limit and with its own stand-in."""
        return (await Flow(flow.name, *(s for s in flow.steps if s.makes is makes)).run(*given))[makes]


def _spoken(state: TurnState) -> tuple[object, ...]:
    """What tier 2 needs. A draft that is whole is a stream that has ended."""
    draft = state["draft"]
    return state["question"], state["evidence"], Live.closed(draft, [Piece(draft.text, draft.usage)])
