"""LlamaIndex Workflows: a step is started by an event and sends one; a step that needs several takes as many parameters.

An event carries the values that it was made of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from .shapes import Turn, Values, empty, work


class Made(Event):
    made: dict[str, str]


class Brief(Made): ...


class Evidence(Made): ...


class ToolSuggestions(Made): ...


class Memory(Made): ...


class Consent(Made): ...


class ToolResults(Made): ...


class Draft(Made): ...


class Citations(Made): ...


class Support(Made): ...


class Cost(Made): ...


M = TypeVar("M", bound=Made)


class Reviewed(Workflow):
    """What all shapes have in common."""

    work: Callable[..., Awaitable[str]] = staticmethod(work)

    async def make(self, kind: type[M], name: str, needs: tuple[str, ...] = (), *events: Made) -> M:
        values = {step: value for event in events for step, value in event.made.items()}
        return kind(made={**values, name: await self.work(name, *(values[need] for need in needs))})

    @step
    async def cite(self, event: Draft) -> Citations:
        return await self.make(Citations, "cite", ("reply",), event)

    @step
    async def assess(self, event: Draft) -> Support:
        return await self.make(Support, "assess", ("reply",), event)

    @step
    async def tally(self, event: Draft) -> Cost:
        return await self.make(Cost, "tally", ("reply",), event)

    @step
    async def finish(self, cited: Citations, judged: Support, priced: Cost) -> StopEvent:
        return StopEvent(result={**cited.made, **judged.made, **priced.made})


class Gathered(Reviewed):
    """Retrieval, and the reply once all is gathered."""

    @step
    async def retrieve(self, event: StartEvent) -> Evidence:
        return await self.make(Evidence, "retrieve")

    @step
    async def recall(self, event: StartEvent) -> Memory:
        return await self.make(Memory, "recall")

    @step
    async def reply(self, evidence: Evidence, suggestions: ToolSuggestions, memory: Memory) -> Draft:
        return await self.make(Draft, "reply", ("retrieve", "suggest", "recall"), evidence, suggestions, memory)


class Seed(Gathered):
    @step
    async def suggest(self, event: StartEvent) -> ToolSuggestions:
        return await self.make(ToolSuggestions, "suggest")


class Uneven(Gathered):
    @step
    async def suggest(self, event: Memory) -> ToolSuggestions:
        return await self.make(ToolSuggestions, "suggest", ("recall",), event)


class Ten(Reviewed):
    work = staticmethod(empty)

    @step
    async def brief(self, event: StartEvent) -> Brief:
        return await self.make(Brief, "brief")

    @step
    async def retrieve(self, event: Brief) -> Evidence:
        return await self.make(Evidence, "retrieve", ("brief",), event)

    @step
    async def suggest(self, event: Brief) -> ToolSuggestions:
        return await self.make(ToolSuggestions, "suggest", ("brief",), event)

    @step
    async def recall(self, event: Brief) -> Memory:
        return await self.make(Memory, "recall", ("brief",), event)

    @step
    async def consent(self, evidence: Evidence, suggestions: ToolSuggestions, memory: Memory) -> Consent:
        return await self.make(Consent, "consent", ("retrieve", "suggest", "recall"), evidence, suggestions, memory)

    @step
    async def invoke(self, event: Consent) -> ToolResults:
        return await self.make(ToolResults, "invoke", ("consent",), event)

    @step
    async def reply(self, event: ToolResults) -> Draft:
        return await self.make(Draft, "reply", ("invoke",), event)


def llama_index(shape: str) -> Turn:
    workflow: Any = {"seed": Seed, "uneven": Uneven, "ten": Ten}[shape]()

    async def turn() -> Values:
        made: Values = await workflow.run()
        return made

    return turn
