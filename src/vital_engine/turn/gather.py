"""Tier 1: evidence, a menu of tools and memory, all at once. Each has a stand-in that says that it is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, Policy, call, step
from vital_engine.nouns import Brief, Evidence, Memory, Question, Scope, ToolSuggestions, passages_of
from vital_engine.nouns.provenance import marked
from vital_engine.ports import Caller, Declaring, MemoryStore, Retriever, Services, ToolSuggester


def gather(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 1. *within*: seconds that each may take."""
    policy = Policy(within=within, tier="tier1")
    return Flow(
        "tier1",
        step(retrieving(services.retriever)).fallback(Evidence.missing()).under(policy),
        step(suggesting(services.tool_suggester, services.caller)).fallback(ToolSuggestions.missing()).under(policy),
        step(recalling(services.memory)).fallback(Memory.missing()).under(policy),
        given=(Question, Brief),
    )


def retrieving(retriever: Retriever) -> Callable[..., Awaitable[Evidence]]:
    async def retrieve(question: Question, brief: Brief) -> Evidence:
        scope = Scope(question.tenant, question.user, brief.expert.domains)
        found = await call(retriever.search, question.text, k=question.limits.passages, scope=scope)
        if isinstance(found, Evidence):
            return found
        try:
            return Evidence(passages_of(found))
        except TypeError as error:
            raise WrongType(f"the retriever broke its promise: {error}", service="retrieval") from error

    return retrieve


def suggesting(tool_suggester: ToolSuggester, caller: Caller) -> Callable[..., Awaitable[ToolSuggestions]]:
    """Here proposals enter the turn: whoever makes them, they are as risky as their tools and as foreign as their words.

    :param caller: of the calls; if it is a :class:`~vital_engine.ports.Declaring` one, it has the last word on its tools.
    """
    declared = caller.declared if isinstance(caller, Declaring) else None

    async def suggest(question: Question, brief: Brief) -> ToolSuggestions:
        suggestions = await call(tool_suggester.suggest, question, brief)
        if not isinstance(suggestions, ToolSuggestions):
            raise WrongType(f"the suggester gave a {type(suggestions).__name__}", service="tool")
        if declared is not None and suggestions.tool_calls:
            suggestions = replace(suggestions, tool_calls=tuple(map(declared, suggestions.tool_calls)))
        return marked(suggestions, question)

    return suggest


def recalling(memory: MemoryStore) -> Callable[..., Awaitable[Memory]]:
    async def recall(question: Question) -> Memory:
        return await call(memory.recall, question)

    return recall
