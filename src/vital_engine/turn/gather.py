"""Tier 1: evidence, suggested tool calls, and memory, all at once. Each has a fallback that is marked as one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, call
from vital_engine.nouns import Brief, Evidence, Memory, Question, Scope, ToolSuggestions, passages_of
from vital_engine.nouns.provenance import marked
from vital_engine.ports import Caller, Declaring, MemoryStore, Retriever, Services, ToolSuggester

from .plan import RECALL, RETRIEVE, SUGGEST, TIER1


def gather(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 1.

    :param services: the services.
    :param within: seconds that each step may take.
    """
    return Flow(
        TIER1,
        RETRIEVE.of(partial(retrieve, services.retriever), within=within),
        SUGGEST.of(partial(suggest, services.tool_suggester, services.caller), within=within),
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


async def suggest(suggester: ToolSuggester, caller: Caller, question: Question, brief: Brief) -> ToolSuggestions:
    """Tool calls that are worth making for *question*. They enter the turn here: whichever service suggests them, they
    get the risk of their tools and the taint of their arguments.

    :param suggester: the service.
    :param caller: of the calls; if it is a :class:`~vital_engine.ports.Declaring` one, its declarations count.
    :param question: the question.
    :param brief: the expert.
    :raises WrongType: the suggester returned something else.
    """
    suggestions = await call(suggester.suggest, question, brief)
    if not isinstance(suggestions, ToolSuggestions):
        raise WrongType(f"the suggester gave a {type(suggestions).__name__}", service="tool")
    if suggestions.tool_calls and isinstance(caller, Declaring):
        suggestions = replace(suggestions, tool_calls=tuple(map(caller.declared, suggestions.tool_calls)))
    return marked(suggestions, question)


async def recall(memory: MemoryStore, question: Question) -> Memory:
    """Earlier turns of the conversation, and facts about the user."""
    return await call(memory.recall, question)
