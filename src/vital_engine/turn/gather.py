"""Tier 1: evidence, a menu of tools and memory, all at once. Each has a stand-in that says that it is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, Policy, Step, Stream, call, step
from vital_engine.nouns import Brief, Evidence, Memory, Question, Scope, ToolSuggestions, passages_of
from vital_engine.ports import EarlySuggester, MemoryStore, Retriever, Services, ToolSuggester


def gather(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 1. *within*: seconds that each may take."""
    policy = Policy(within=within, tier="tier1")
    return Flow(
        "tier1",
        step(retrieving(services.retriever)).fallback(Evidence.missing()).under(policy),
        _suggest(services.tool_suggester).fallback(ToolSuggestions.missing()).under(policy),
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


def suggesting(
    tool_suggester: ToolSuggester, *, early: bool | None = None
) -> Callable[..., Awaitable[ToolSuggestions]]:
    """:param early: whether what is known early is streamed; None: where *suggester* can."""
    can = isinstance(tool_suggester, EarlySuggester)

    async def suggest(question: Question, brief: Brief) -> ToolSuggestions:
        return await call(tool_suggester.suggest, question, brief)

    async def suggest_early(question: Question, brief: Brief, out: Stream[ToolSuggestions]) -> ToolSuggestions:
        if not isinstance(tool_suggester, EarlySuggester):
            return await suggest(question, brief)
        async for suggestions in tool_suggester.suggestions(question, brief):
            out.push(suggestions)
        return latest(out.items)

    return suggest_early if (can if early is None else early) else suggest


def latest(suggestions: Sequence[ToolSuggestions], error: BaseException | None = None) -> ToolSuggestions:  # noqa: ARG001
    """What stands when there is no more: also when that is since the time was up, or since *error* was raised."""
    return suggestions[-1] if suggestions else ToolSuggestions()


def _suggest(tool_suggester: ToolSuggester) -> Step[ToolSuggestions]:
    made = step(suggesting(tool_suggester)).named("suggest")
    return made if made.outlet is None else made.recover(latest)


def recalling(memory: MemoryStore) -> Callable[..., Awaitable[Memory]]:
    async def recall(question: Question) -> Memory:
        return await call(memory.recall, question)

    return recall
