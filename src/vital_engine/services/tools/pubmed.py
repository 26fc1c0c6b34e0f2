"""PubMed, by NCBI's E-utilities: esearch for the identifiers, esummary for what they are.

Documented in "Entrez Programming Utilities Help" (NCBI Bookshelf NBK25497, NBK25499). NCBI asks for no more than 3
requests a second without an API key, 10 with one, and for the caller's tool name and e-mail address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, TypedDict

from pydantic import Field

from vital_engine.errors import ToolError
from vital_engine.nouns import Effect
from vital_engine.nouns.codec import JSON

from .tool import AnyTool, Output, Reading, tool
from .web import WebSource, clean

BASE_URL: Final = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"

_TOPIC = r"(?P<query>[^?!\n]{3,300}?)"
_ASKED = (
    re.compile(rf"\b(?:search|query|check)\s+pub\s?med\s+(?:for|about|on)\s+{_TOPIC}\s*(?:[?!.]\s*|$)", re.IGNORECASE),
    re.compile(rf"\b(?:search|find|look\s+up|look\s+for|get|list|show)\s+(?:me\s+)?(?:recent\s+|new\s+)?(?:(?:papers|articles|studies|publications|literature)\s+)?(?:for|about|on)?\s*{_TOPIC}\s+(?:in|on|from)\s+pub\s?med\b", re.IGNORECASE),
    re.compile(rf"^\s*pub\s?med\s*:\s*{_TOPIC}\s*$", re.IGNORECASE),
)  # fmt: skip


class Article(TypedDict):
    """What PubMed says of an article. ``date``: as it is printed; ``doi``: None: it has none."""

    pmid: str
    title: str
    authors: list[str]
    journal: str
    date: str
    doi: str | None


class PubMed:
    """A client of the E-utilities. Its timeout and pace are those of :class:`WebSource`, in seconds."""

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        api_key: str | None = None,
        email: str | None = None,
        timeout: float = 5.0,
        tries: int = 2,
    ) -> None:
        pace = 9.0 if api_key else 2.5
        self._web = WebSource("pubmed", base_url, timeout=timeout, tries=tries, per_second=pace)
        known = {"db": "pubmed", "retmode": "json", "tool": "vital-engine", "email": email, "api_key": api_key}
        self._always = {name: value for name, value in known.items() if value}

    async def search(self, query: str, *, limit: int) -> tuple[int, list[Article]]:
        """Search for articles.

        :returns: how many articles match, and the first *limit* of them by relevance.
        :raises ToolUnavailable: PubMed cannot be reached or stays busy.
        :raises ToolError: any other failure.
        """
        found = await self._result(
            "esearch.fcgi", "esearchresult", {"term": query, "retmax": str(limit), "sort": "relevance"}
        )
        ids = [str(each) for each in found.get("idlist", [])]
        total = int(found["count"]) if str(found.get("count", "")).isdigit() else len(ids)
        if not ids:
            return total, []
        summaries = await self._result("esummary.fcgi", "result", {"id": ",".join(ids)})
        return total, [_article(pmid, summaries[pmid]) for pmid in ids if isinstance(summaries.get(pmid), dict)]

    async def aclose(self) -> None:
        """Close the HTTP client."""
        await self._web.aclose()

    async def _result(self, path: str, key: str, parameters: dict[str, str]) -> Mapping[str, JSON]:
        status, answer = await self._web.get(path, self._always | parameters)
        result = answer.get(key)
        if status == 404 or not isinstance(result, dict) or "ERROR" in result:
            raise ToolError(f"pubmed: {path} gave no {key}", service="pubmed")
        return result


def _article(pmid: str, summary: Mapping[str, JSON]) -> Article:
    authors = [clean(author.get("name", "")) for author in summary.get("authors", []) if isinstance(author, dict)]
    doi = next((i.get("value") for i in summary.get("articleids", []) if i.get("idtype") == "doi"), None)
    return {
        "pmid": pmid,
        "title": clean(summary.get("title", "")),
        "authors": authors,
        "journal": clean(summary.get("source", "")),
        "date": clean(summary.get("pubdate", "")),
        "doi": clean(doi) if doi else None,
    }


def read_topic(text: str) -> tuple[Reading, ...]:
    """What *text* says in so many words to search PubMed for."""
    for pattern in _ASKED:
        found = pattern.search(text)
        if found:
            return (Reading({"query": found["query"].strip(" .,\"'“”")}),)
    return ()


def pubmed_search(pubmed: PubMed) -> AnyTool:
    """The tool that searches *pubmed*. It is an effect, and asks for consent: the query leaves the house."""

    @tool(
        effect=Effect.EFFECT,
        egress=True,
        consent=True,
        timeout=20.0,
        concurrency=2,
        cues=("PubMed",),
        examples=("Search PubMed for SGLT2 inhibitors in heart failure", "Find recent articles on statins in PubMed"),
        reads=read_topic,
    )
    async def pubmed_search(
        query: Annotated[str, Field(min_length=3, max_length=300)], limit: Annotated[int, Field(ge=1, le=20)] = 5
    ) -> Output:
        """Search PubMed for published biomedical articles; the query is sent to NCBI.

        :param query: what to search for; PubMed's own search syntax may be used
        :param limit: how many articles to list at most
        """
        total, articles = await pubmed.search(query, limit=limit)
        lines = [_line(article) for article in articles]
        text = f"PubMed: {total} articles match “{query}”" + (f"; the first {len(lines)}:" if lines else ".")
        return Output("\n".join((text, *lines)), {"total": total, "articles": articles}, "NCBI E-utilities")

    return pubmed_search


def _line(article: Article) -> str:
    first = article["authors"][0] + (" et al." if len(article["authors"]) > 1 else "") if article["authors"] else ""
    parts = (first, article["title"], article["journal"], article["date"], f"PMID {article['pmid']}")
    return "- " + ". ".join(part.rstrip(".") for part in parts if part)
