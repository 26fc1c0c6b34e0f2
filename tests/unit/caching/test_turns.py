"""A turn that finds what was found before takes less, gives the same answer, and its receipt names what was known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from seed_profile import DATAFLOW_TOTAL, SEED
from vital_engine.flow import run_in_background, run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Brief, Evidence, Prefilled, Prompt, Question, Scope, ToolCall, ToolSuggestions
from vital_engine.services.caching import Cache, CachedRetriever, CachedToolSuggester
from vital_engine.testing import ScriptedServices, scripted

QUESTION = Question("Does it lower HbA1c?", tenant="t1", user="u1")


class Index:
    """The scripted retriever over an index that somebody may change."""

    def __init__(self, services: ScriptedServices) -> None:
        self._services, self.changes = services, 0

    async def search(self, query: str, *, k: int, scope: Scope) -> Evidence:
        found = await self._services.retriever.search(query, k=k, scope=scope)
        assert isinstance(found, Evidence)
        return found

    async def version(self, *, scope: Scope) -> str:
        await asyncio.sleep(0.001)
        return str(self.changes)


class Tools:
    """The scripted suggester, whose proposals have an id for each run."""

    definitions = "all"

    def __init__(self, services: ScriptedServices) -> None:
        self._services = services

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        suggestions = await self._services.tool_suggester.suggest(question, brief)
        return replace(suggestions, tool_calls=tuple(self.renewed(p, question) for p in suggestions.tool_calls))

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        return replace(tool_call, id=f"call of {question.run_id}")


def make(**script: Any) -> tuple[ScriptedServices, Index]:
    services = scripted(**script)
    index = Index(services)
    retriever = CachedRetriever(index, Cache("retrieval", entries=8, start=run_in_background))
    tool_suggester = CachedToolSuggester(Tools(services), Cache("suggestions", entries=8, start=run_in_background))
    return replace(services, retriever=retriever, tool_suggester=tool_suggester), index


def ask(services: ScriptedServices, question: Question = QUESTION) -> Any:
    return run_virtual(Mode2AutomaticWorkflow(services, watchers=()).execute(question))


def calls(services: ScriptedServices, method: str) -> int:
    return sum(call.method == method for call in services.calls)


def test_a_warm_turn_takes_the_model_and_what_was_not_known() -> None:
    services, _ = make(**SEED)
    cold, warm = ask(services), ask(services)
    assert (cold.cached, warm.cached) == ((), ("retrieve", "suggest"))
    assert warm.receipt()["cached"] == ["retrieve", "suggest"]
    assert warm.text == cold.text and warm.citations == cold.citations
    assert round(cold.timing.total, 6) == round(DATAFLOW_TOTAL + 0.001, 6)  # the index is asked for its version
    assert round(warm.timing.total, 6) == round(DATAFLOW_TOTAL - 0.3, 6)  # memory is never cached
    assert [calls(services, method) for method in ("search", "suggest", "recall")] == [1, 1, 2]


def test_each_turns_calls_have_ids_of_their_own() -> None:
    services, _ = make()
    ids = [answer.tool_results.results[0].tool_call.id for answer in (ask(services), ask(services))]
    assert len(set(ids)) == 2


def test_a_changed_index_is_searched_by_the_next_turn() -> None:
    services, index = make(retrieve=0.5)
    ask(services)
    index.changes += 1
    assert "retrieve" not in ask(services).cached
    assert calls(services, "search") == 2


def test_a_failed_search_is_tried_again_by_the_next_turn() -> None:
    services, _ = make(retrieve=OSError("down"))
    for _ in range(2):
        answer = ask(services)
        assert "retrieve" in answer.degraded and "retrieve" not in answer.cached
    assert calls(services, "search") == 2


class Reader:
    """The scripted model, whose server finds five tokens of whatever it reads ahead."""

    def __init__(self, services: ScriptedServices) -> None:
        self.stream = services.llm.stream

    async def prefill(self, prompt: Prompt) -> Prefilled:
        return Prefilled(computed=3, cached=5)


def test_tokens_that_a_server_found_are_no_step_that_was_known() -> None:
    services = scripted(retrieve=0.5)
    answer = ask(replace(services, llm=Reader(services)))
    assert answer.prefilled.cached >= 5
    assert answer.cached == ()
