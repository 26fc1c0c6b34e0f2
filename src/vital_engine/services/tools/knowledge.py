"""The deployment's own documents, as a tool: for a second search in other words than the question's.

It stands alone because each file of this package beside the machinery is one tool, or several of one source.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Annotated, Any

from pydantic import Field

from vital_engine.errors import ToolUnavailable
from vital_engine.nouns import Effect, Evidence, Passage, Scope, passages_of
from vital_engine.ports import Retriever

from .tool import AnyTool, Output, Reading, tool

_PLACE = r"(?:our|the|my)\s+(?:own\s+)?(?:documents?|knowledge\s+base|library|corpus|files|internal\s+documents?)"
_ASKED = (
    re.compile(rf"\b(?:search|check|look\s+(?:in|through))\s+{_PLACE}\s+(?:for|about|on)\s+(?P<query>[^?!\n]{{3,300}}?)\s*(?:[?!.]\s*$|$)", re.IGNORECASE),
    re.compile(rf"\b(?:search\s+for|look\s+up|look\s+for|find)\s+(?P<query>[^?!\n]{{3,300}}?)\s+in\s+{_PLACE}", re.IGNORECASE),
)  # fmt: skip


def read_topic(text: str) -> tuple[Reading, ...]:
    """What *text* says in so many words to search the documents for."""
    for pattern in _ASKED:
        found = pattern.search(text)
        if found:
            return (Reading({"query": found["query"].strip(" .,\"'“”")}),)
    return ()


def search_knowledge(retriever: Retriever) -> AnyTool:
    """The tool that searches *retriever*, for the tenant and within the domains of the caller's scope."""

    @tool(
        effect=Effect.READ,
        timeout=5.0,
        concurrency=4,
        cues=("search our documents", "search the knowledge base"),
        examples=(
            "Search our documents for the deviation procedure",
            "Look up the recall policy in the knowledge base",
        ),
        reads=read_topic,
    )
    async def search_knowledge(
        query: Annotated[str, Field(min_length=2, max_length=500)],
        scope: Scope,
        limit: Annotated[int, Field(ge=1, le=20)] = 5,
    ) -> Output:
        """Search the organisation's own documents for passages about something.

        :param query: what to look for
        :param limit: how many passages at most
        """
        found: Any
        if inspect.iscoroutinefunction(retriever.search):
            found = await retriever.search(query, k=limit, scope=scope)
        else:
            found = await asyncio.to_thread(retriever.search, query, k=limit, scope=scope)
            found = await found if inspect.isawaitable(found) else found
        if isinstance(found, Evidence) and found.failed:
            raise ToolUnavailable("search_knowledge: the documents could not be searched", service="search_knowledge")
        passages = found.passages if isinstance(found, Evidence) else passages_of(found)
        if not passages:
            return Output(f"No passage in the documents matches “{query}”.", {"passages": []})
        return Output("\n".join(_line(p) for p in passages), {"passages": [_kept(p) for p in passages]})

    return search_knowledge


def _line(passage: Passage) -> str:
    page = f", page {passage.page}" if passage.page else ""
    return f"- {passage.title or passage.document}{page}: {' '.join(passage.text.split())}"


def _kept(passage: Passage) -> dict[str, str | int | float | None]:
    """Where it stands, not what it says: the text is in the store already."""
    kept: dict[str, str | int | float | None] = {
        "id": passage.id,
        "document": passage.document,
        "start": passage.start,
        "end": passage.end,
    }
    return kept | {"page": passage.page, "score": round(passage.score, 4)}
