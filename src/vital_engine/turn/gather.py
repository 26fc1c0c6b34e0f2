"""Tier 1: evidence, a menu of tools and memory, all at once. Each has a stand-in that says that it is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vital_engine.errors import WrongType
from vital_engine.flow import Flow, Policy, call, step
from vital_engine.nouns import Brief, Evidence, Memory, Menu, Question, Scope, passages_of
from vital_engine.ports import MemoryStore, Retriever, Services, Suggester


def gather(services: Services, *, within: float | None = None) -> Flow:
    """The steps of tier 1. *within*: seconds that each may take."""
    policy = Policy(within=within, tier="tier1")
    return Flow(
        "tier1",
        step(retrieving(services.retriever)).or_else(Evidence.missing()).under(policy),
        step(suggesting(services.suggester)).or_else(Menu.missing()).under(policy),
        step(recalling(services.memory)).or_else(Memory.missing()).under(policy),
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


def suggesting(suggester: Suggester) -> Callable[..., Awaitable[Menu]]:
    async def suggest(question: Question, brief: Brief) -> Menu:
        return await call(suggester.suggest, question, brief)

    return suggest


def recalling(memory: MemoryStore) -> Callable[..., Awaitable[Memory]]:
    async def recall(question: Question) -> Memory:
        return await call(memory.recall, question)

    return recall
