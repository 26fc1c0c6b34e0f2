from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from vital_engine.errors import ToolError, ToolUnavailable
from vital_engine.nouns import Scope, ToolCall
from vital_engine.services.tools import PubMed, Toolbox, standard_tools

SEARCH, SUMMARY = "/esearch.fcgi", "/esummary.fcgi"
SCOPE = Scope("t1", "u1")


def found(*ids: str, count: str | None = None) -> dict[str, Any]:
    listed = {"count": count or str(len(ids)), "retmax": "5", "retstart": "0", "idlist": list(ids)}
    return {"header": {"type": "esearch", "version": "0.3"}, "esearchresult": listed}


def summaries(*ids: str) -> dict[str, Any]:
    def one(pmid: str) -> dict[str, Any]:
        return {
            "uid": pmid,
            "pubdate": "2020 Jan",
            "source": "TEST J",
            "authors": [{"name": "Doe J", "authtype": "Author"}, {"name": "Roe R", "authtype": "Author"}],
            "title": f"TEST article\n {pmid}.",
            "articleids": [
                {"idtype": "pubmed", "value": pmid},
                {"idtype": "doi", "value": f"10.0000/test.{pmid}"},
            ],
        }

    return {"header": {"type": "esummary"}, "result": {"uids": list(ids)} | {pmid: one(pmid) for pmid in ids}}


@pytest.fixture
async def pubmed(recorded: Any) -> AsyncIterator[PubMed]:
    client = PubMed(recorded.url, email="someone@example.org", timeout=60.0)
    yield client
    await client.aclose()


async def test_it_searches_and_tells_what_the_articles_are(recorded: Any, pubmed: PubMed) -> None:
    recorded.on(SEARCH, found("TEST1", "TEST2", count="41"))
    recorded.on(SUMMARY, summaries("TEST1", "TEST2"))
    box = Toolbox(standard_tools(pubmed=pubmed))
    tool_result = await box.call(
        ToolCall("c", "pubmed_search", {"query": "statin intolerance", "limit": 2}), scope=SCOPE
    )
    assert tool_result.text.splitlines() == [
        "PubMed: 41 articles match “statin intolerance”; the first 2:",
        "- Doe J et al. TEST article TEST1. TEST J. 2020 Jan. PMID TEST1",
        "- Doe J et al. TEST article TEST2. TEST J. 2020 Jan. PMID TEST2",
        "Method: NCBI E-utilities",
    ]
    assert tool_result.value["articles"][0]["doi"] == "10.0000/test.TEST1"
    (path, search), (_, summary) = recorded.asked
    assert path == SEARCH
    assert search == {
        "db": "pubmed", "retmode": "json", "tool": "vital-engine", "email": "someone@example.org",
        "term": "statin intolerance", "retmax": "2", "sort": "relevance",
    }  # fmt: skip
    assert summary["id"] == "TEST1,TEST2"


async def test_nothing_found_is_not_a_failure(recorded: Any, pubmed: PubMed) -> None:
    recorded.on(SEARCH, found())
    assert await pubmed.search("zzzz", limit=5) == (0, [])
    assert len(recorded.asked) == 1


async def test_what_is_missing_from_a_summary_stays_missing(recorded: Any, pubmed: PubMed) -> None:
    recorded.on(SEARCH, found("TEST1", "TEST2"))
    recorded.on(SUMMARY, {"result": {"uids": ["TEST1"], "TEST1": {"uid": "TEST1"}}})
    total, articles = await pubmed.search("statins", limit=5)
    assert total == 2
    assert articles == [{"pmid": "TEST1", "title": "", "authors": [], "journal": "", "date": "", "doi": None}]


async def test_nobody_there_is_said(nowhere: str) -> None:
    client = PubMed(nowhere, timeout=60.0)
    with pytest.raises(ToolUnavailable, match="not reachable") as caught:
        await client.search("statins", limit=5)
    assert caught.value.retryable
    assert caught.value.code == "tool.unavailable"
    await client.aclose()


async def test_a_busy_service_is_asked_once_more_and_no_oftener(recorded: Any, pubmed: PubMed) -> None:
    recorded.on(SEARCH, {"error": "API rate limit exceeded"}, status=429, retry_after="0")
    recorded.on(SEARCH, found())
    assert await pubmed.search("statins", limit=5) == (0, [])
    recorded.answers.clear()
    recorded.asked.clear()
    recorded.on(SEARCH, {}, status=503)
    with pytest.raises(ToolUnavailable, match="503"):
        await pubmed.search("statins", limit=5)
    assert len(recorded.asked) == 2


async def test_a_long_wait_is_handed_to_the_caller(recorded: Any, pubmed: PubMed) -> None:
    recorded.on(SEARCH, {}, status=429, retry_after="3600")
    with pytest.raises(ToolUnavailable) as caught:
        await pubmed.search("statins", limit=5)
    assert caught.value.retry_after == 3600
    assert len(recorded.asked) == 1


async def test_a_silent_service_is_left_in_time(recorded: Any) -> None:
    client = PubMed(recorded.url, timeout=0.05, tries=1)
    recorded.on(SEARCH, found(), delay=60.0)
    with pytest.raises(ToolUnavailable, match="ReadTimeout"):
        await client.search("statins", limit=5)
    await client.aclose()


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"<html>down</html>", 200, "not JSON"),
        (b"[1, 2]", 200, "not a JSON object"),
        ({"esearchresult": {"ERROR": "Invalid db name"}}, 200, "gave no esearchresult"),
        ({}, 200, "gave no esearchresult"),
        ({}, 400, "answered 400"),
        ({}, 302, "answered 302"),
        (b" " * 4_000_001, 200, "larger than"),
    ],
)
async def test_an_answer_that_is_none_is_an_error(
    body: Any, status: int, why: str, recorded: Any, pubmed: PubMed
) -> None:
    recorded.on(SEARCH, body, status=status)
    with pytest.raises(ToolError, match=why) as caught:
        await pubmed.search("statins", limit=5)
    assert not isinstance(caught.value, ToolUnavailable)
    assert len(recorded.asked) == 1
