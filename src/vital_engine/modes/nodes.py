"""The nodes and tasks of the parallel workflow, each callable alone; what a graph of yours puts in.

A node is given a state (a mapping, see :class:`TurnState`), does not change it, and returns only the keys that it made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias, cast

from vital_engine.flow import Flow, Observer, speedup
from vital_engine.nouns import Citations, Cost, Evidence, Memory, Question, Support, ToolSuggestions
from vital_engine.ports import Services

from .mode import Mode
from .parts import RETRIEVAL, REVIEW, Part, run_part
from .settings import TurnSettings
from .state import TurnState, Update

Given: TypeAlias = TurnState | Mapping[str, Any]
"""A state, of whatever schema. A union, so that LangGraph takes the keys of your graph and does not add those of ours."""


class ParallelNodes:
    """Mixed into :class:`ParallelBaseWorkflow`."""

    services: Services
    settings: TurnSettings
    mode: ClassVar[Mode]
    watchers: tuple[Callable[[Question, int], Observer], ...]
    plain: Callable[[TurnSettings], Flow]

    async def parallel_retrieval_node(self, state: Given) -> Update:
        """Retrieve, suggest and recall at once.

        Reads ``question``, ``brief``; returns ``evidence``, ``suggestions``, ``memory``, ``outcomes``.
        """
        return await self._node(RETRIEVAL, state)

    async def parallel_post_generation_node(self, state: Given) -> Update:
        """Cite, assess and tally at once.

        Reads ``question``, ``evidence``, ``suggestions``, ``draft``; returns ``citations``, ``support``, ``cost``, ``outcomes``.
        """
        return await self._node(REVIEW, state)

    async def _rag_retrieval_task(self, state: Given) -> Evidence:
        return (await self._alone("retrieve", RETRIEVAL, state))["evidence"]

    async def _tool_suggestion_task(self, state: Given) -> ToolSuggestions:
        return (await self._alone("suggest", RETRIEVAL, state))["suggestions"]

    async def _memory_retrieval_task(self, state: Given) -> Memory:
        return (await self._alone("recall", RETRIEVAL, state))["memory"]

    async def _citation_extraction_task(self, state: Given) -> Citations:
        return (await self._alone("cite", REVIEW, state))["citations"]

    async def _quality_scoring_task(self, state: Given) -> Support:
        return (await self._alone("assess", REVIEW, state))["support"]

    async def _cost_tracking_task(self, state: Given) -> Cost:
        return (await self._alone("tally", REVIEW, state))["cost"]

    @staticmethod
    def _calculate_speedup(wall_seconds: float, step_seconds: Sequence[float]) -> float | None:
        """Measured seconds of the steps over measured seconds on the clock; None for no time. Never from constants."""
        return speedup(list(step_seconds), wall_seconds)

    async def _node(self, part: Part, state: Given) -> Update:
        """A part by itself, in a graph of somebody else's: watched by itself, since nobody says when the turn ends."""
        observers = tuple(watch(state["question"], self.mode.number) for watch in self.watchers)
        return await self._run_part(part, state, observers)

    async def _alone(self, step: str, part: Part, state: Given) -> Update:
        """One step, under its own limit and with its own stand-in."""
        return await self._run_part(replace(part, name=step, steps=(step,)), state, ())

    async def _run_part(self, part: Part, state: Given, observers: tuple[Observer, ...]) -> Update:
        settings = self.settings
        return await run_part(self.plain(settings).steps, part, cast("TurnState", state), settings, observers=observers)
