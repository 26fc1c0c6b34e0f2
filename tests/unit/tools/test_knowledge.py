from __future__ import annotations

from typing import Any

import pytest

from vital_engine.errors import RetrievalError, ToolError, ToolUnavailable
from vital_engine.nouns import Effect, Evidence, Passage, Scope, ToolCall
from vital_engine.services.tools import Toolbox, standard_tools
from vital_engine.services.tools.knowledge import search_knowledge


def search(**arguments: Any) -> ToolCall:
    return ToolCall("call_1", "search_knowledge", arguments)


async def test_it_searches_within_the_callers_scope(box: Toolbox, shelf: Any, scope: Scope) -> None:
    tool_result = await box.call(search(query="deviations"), scope=scope)
    assert shelf.asked == [("deviations", 5, scope)]
    assert tool_result.text.splitlines() == [
        "- SOP 7, page 3: Deviations are classified within one day.",
        "- sop-8: Critical deviations go to the qualified person.",
    ]
    first = tool_result.value["passages"][0]
    assert first == {"id": "p1", "document": "sop-7", "start": 10, "end": 50, "page": 3, "score": 0.0}
    assert box["search_knowledge"].effect is Effect.READ


async def test_nothing_found_and_could_not_look_differ(scope: Scope) -> None:
    class Fixed:
        def __init__(self, result: Any) -> None:
            self.result = result

        def search(self, query: str, *, k: int, scope: Scope) -> Any:  # a plain def: it may block
            if isinstance(self.result, Exception):
                raise self.result
            return self.result

    async def found(result: Any) -> str:
        box = Toolbox([search_knowledge(Fixed(result))])
        return (await box.call(search(query="recalls"), scope=scope)).text

    assert await found(()) == "No passage in the documents matches “recalls”."
    assert await found(Evidence((Passage("p", "text", title="T"),))) == "- T: text"
    with pytest.raises(ToolUnavailable):
        await found(Evidence.missing())
    with pytest.raises(ToolError, match="index is away") as caught:
        await found(RetrievalError("index is away", service="retrieval", retryable=True))
    assert caught.value.retryable
    with pytest.raises(ToolError):
        await found("not passages")


def test_nothing_outside_is_asked_unless_it_is_given() -> None:
    names = {tool.name for tool in standard_tools()}
    assert {"search_knowledge", "pubmed_search", "drug_label", "adverse_event_reports"}.isdisjoint(names)
    assert all(tool.effect is Effect.PURE for tool in standard_tools())
