"""Tool calls that were read out of the same question before, for the same expert, while the tools were the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from vital_engine.nouns import Brief, Question, ToolCall, ToolSuggestions

from .cache import Cache

__all__ = ["CachedToolSuggester", "Defined", "Key"]

Key = tuple[str, str, tuple[str, ...], str, str]
"""Tenant, expert, the expert's tools, text of the question, definitions of the tools that exist."""


class Defined(Protocol):
    """A suggester whose tools are known by their definitions: :class:`~vital_engine.services.tools.Toolbox`."""

    @property
    def definitions(self) -> str:
        """A hash of all tools, as they may be proposed now."""
        ...

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions: ...

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        """The same call, proposed in *question*'s turn: with an id of its own."""
        ...


class CachedToolSuggester:
    """Fulfils :class:`vital_engine.ports.ToolSuggester` by another one. What it knew before is marked as ``cached``.

    A call's id is that of the turn which it is proposed in, known or not: what a person approved is never approved again
    by being known.
    """

    def __init__(self, tool_suggester: Defined, cache: Cache[Key, ToolSuggestions]) -> None:
        self._suggester, self._cache = tool_suggester, cache

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """As the suggester beneath; raises what that raises. A menu of a failure is not kept."""
        expert = brief.expert
        key = (question.tenant, expert.id, expert.tools, question.text, self._suggester.definitions)
        suggestions, outcome = await self._cache.get(
            key, lambda: self._suggester.suggest(question, brief), keep=lambda suggestions: not suggestions.failed
        )
        if outcome == "miss":
            return suggestions
        again = tuple(self._suggester.renewed(tool_call, question) for tool_call in suggestions.tool_calls)
        return replace(suggestions, tool_calls=again, cached=True, calls=())  # they were paid for once
