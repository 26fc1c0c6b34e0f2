"""Tier 1: evidence, tool calls worth making, and memory, all at once. Each has a fallback that says that it is one."""

from __future__ import annotations

from functools import partial

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, call
from vital_engine.nouns import Brief, Evidence, Memory, Question, Scope, ToolSuggestions, passages_of
from vital_engine.ports import MemoryStore, Retriever, Services, ToolSuggester

from .plan import RECALL, RETRIEVE, SUGGEST, TIER1


def gather(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 1. *within*: seconds that each may take."""
    return Flow(
        TIER1,
        RETRIEVE.of(partial(retrieve, services.retriever), within=within),
        SUGGEST.of(partial(suggest, services.tool_suggester), within=within),
        RECALL.of(partial(recall, services.memory), within=within),
        given=(Question, Brief),
    )


async def retrieve(retriever: Retriever, question: Question, brief: Brief) -> Evidence:
    """Passages for *question* within the expert's domains. WrongType if the retriever gives anything else."""
    scope = Scope(question.tenant, question.user, brief.expert.domains)
    found = await call(retriever.search, question.text, k=question.limits.passages, scope=scope)
    if isinstance(found, Evidence):
        return found
    try:
        return Evidence(passages_of(found))
    except TypeError as error:
        raise WrongType(f"the retriever broke its promise: {error}", service="retrieval") from error


async def suggest(suggester: ToolSuggester, question: Question, brief: Brief) -> ToolSuggestions:
    """Tool calls worth making for *question*."""
    return await call(suggester.suggest, question, brief)


async def recall(memory: MemoryStore, question: Question) -> Memory:
    """Earlier turns of the conversation, and what is known of the user."""
    return await call(memory.recall, question)
