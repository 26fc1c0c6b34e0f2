"""Tier 1: evidence, suggested tool calls, and memory, all at once. Each has a fallback that is marked as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, Stream, call
from vital_engine.nouns import Brief, Evidence, Memory, Question, Scope, ToolSuggestions, passages_of
from vital_engine.nouns.provenance import marked
from vital_engine.ports import Caller, Declaring, EarlySuggester, MemoryStore, Retriever, Services, ToolSuggester

from .plan import RECALL, RETRIEVE, SUGGEST, TIER1


def gather(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 1.

    :param services: the services.
    :param within: seconds that each step may take.
    """
    return Flow(
        TIER1,
        RETRIEVE.of(partial(retrieve, services.retriever), within=within),
        SUGGEST.of(partial(suggest, services.tool_suggester, services.caller), within=within).recover(latest),
        RECALL.of(partial(recall, services.memory), within=within),
        given=(Question, Brief),
    )


async def retrieve(retriever: Retriever, question: Question, brief: Brief) -> Evidence:
    """Passages for *question* within the expert's domains.

    :param retriever: the service.
    :param question: the question.
    :param brief: the expert.
    :raises WrongType: the retriever returned something else.
    """
    scope = Scope(question.tenant, question.user, brief.expert.domains)
    found = await call(retriever.search, question.text, k=question.limits.passages, scope=scope)
    if isinstance(found, Evidence):
        return found
    try:
        return Evidence(passages_of(found))
    except TypeError as error:
        raise WrongType(f"the retriever broke its promise: {error}", service="retrieval") from error


async def suggest(
    suggester: ToolSuggester, caller: Caller, question: Question, brief: Brief, out: Stream[ToolSuggestions]
) -> ToolSuggestions:
    """Tool calls that are worth making for *question*. They enter the turn here: whichever service suggests them, they
    get the risk of their tools and the taint of their arguments.

    :param suggester: the service; if it is an :class:`~vital_engine.ports.EarlySuggester`, the last that it had in time counts.
    :param caller: of the calls; if it is a :class:`~vital_engine.ports.Declaring` one, its declarations count.
    :param question: the question.
    :param brief: the expert.
    :raises WrongType: the suggester returned something else.
    """
    if not hasattr(suggester, "suggestions"):  # cheaper than to ask whether it fulfils EarlySuggester, and the same
        return _entered(await call(suggester.suggest, question, brief), caller, question)
    async for suggestions in cast("EarlySuggester", suggester).suggestions(question, brief):
        out.push(_entered(suggestions, caller, question))
    return latest(out.items)


def latest(suggestions: Sequence[ToolSuggestions], error: BaseException | None = None) -> ToolSuggestions:
    """The last of *suggestions*, also where no better ones came in time, or *error* was raised instead."""
    del error
    return suggestions[-1] if suggestions else ToolSuggestions()


def _entered(suggestions: object, caller: Caller, question: Question) -> ToolSuggestions:
    if not isinstance(suggestions, ToolSuggestions):
        raise WrongType(f"the suggester gave a {type(suggestions).__name__}", service="tool")
    if not suggestions.tool_calls and not suggestions.calls:
        return suggestions
    if isinstance(caller, Declaring):
        suggestions = replace(suggestions, tool_calls=tuple(map(caller.declared, suggestions.tool_calls)))
    calls = tuple(
        replace(paid, id=f"{question.run_id}/{SUGGEST.name}", purpose=SUGGEST.name) for paid in suggestions.calls
    )
    return marked(replace(suggestions, calls=calls) if calls else suggestions, question)


async def recall(memory: MemoryStore, question: Question) -> Memory:
    """Earlier turns of the conversation, and facts about the user."""
    return await call(memory.recall, question)
