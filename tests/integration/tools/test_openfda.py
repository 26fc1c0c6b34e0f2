from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from vital_engine.errors import InvalidArguments, ToolError, ToolUnavailable
from vital_engine.nouns import Scope, ToolCall, ToolResult
from vital_engine.services.tools import OpenFDA, Toolbox, standard_tools

LABEL, EVENT = "/drug/label.json", "/drug/event.json"
META = {"disclaimer": "TEST", "last_updated": "2020-01-31", "results": {"skip": 0, "limit": 1, "total": 1}}
NOT_FOUND = {"error": {"code": "NOT_FOUND", "message": "No matches found!"}}


@pytest.fixture
async def box(recorded: Any) -> AsyncIterator[Toolbox]:
    client = OpenFDA(recorded.url, timeout=60.0)
    yield Toolbox(standard_tools(openfda=client))
    await client.aclose()


async def called(box: Toolbox, tool: str, **arguments: Any) -> ToolResult:
    return await box.call(ToolCall("c", tool, arguments), scope=Scope("t1", "u1"))


async def test_a_label_and_its_sections(recorded: Any, box: Toolbox) -> None:
    label = {
        "set_id": "TEST-SET-ID",
        "effective_time": "20200101",
        "contraindications": ["4 CONTRAINDICATIONS TEST text."],
        "warnings": ["TEST warning."],
        "openfda": {"generic_name": ["TESTDRUG"]},
    }
    recorded.on(LABEL, {"meta": META, "results": [label]})
    one = await called(box, "drug_label", drug="testdrug", section="contraindications")
    assert "contraindications: 4 CONTRAINDICATIONS TEST text." in one.text
    assert "warning" not in one.text
    assert one.value == {
        "found": True,
        "set_id": "TEST-SET-ID",
        "sections": ["contraindications"],
        "updated": "2020-01-31",
    }
    whole = await called(box, "drug_label", drug="testdrug")
    assert whole.value["sections"] == ["contraindications", "warnings"]
    missing = await called(box, "drug_label", drug="testdrug", section="boxed_warning")
    assert "has no section boxed_warning" in missing.text
    query = recorded.asked[0][1]
    assert query["search"] == 'openfda.generic_name:"testdrug" openfda.brand_name:"testdrug"'
    assert query["limit"] == "1"


async def test_reported_reactions_are_counts_and_say_that_they_are_no_rates(recorded: Any, box: Toolbox) -> None:
    counts = [{"term": "NAUSEA", "count": 120}, {"term": "RASH", "count": 7}]
    recorded.on(EVENT, {"meta": META, "results": counts})
    tool_result = await called(box, "adverse_event_reports", drug="testdrug", limit=2)
    assert "- Nausea: 120 reports\n- Rash: 7 reports" in tool_result.text
    assert "neither a rate nor proof" in tool_result.text
    assert tool_result.value["reactions"] == [{"term": "NAUSEA", "reports": 120}, {"term": "RASH", "reports": 7}]
    assert recorded.asked[0][1]["count"] == "patient.reaction.reactionmeddrapt.exact"


@pytest.mark.parametrize(("tool", "path"), [("drug_label", LABEL), ("adverse_event_reports", EVENT)])
async def test_nothing_found_is_not_a_failure(tool: str, path: str, recorded: Any, box: Toolbox) -> None:
    recorded.on(path, NOT_FOUND, status=404)
    tool_result = await called(box, tool, drug="nosuchdrug")
    assert tool_result.value == {"found": False}
    assert "“nosuchdrug”" in tool_result.text


async def test_another_404_is_one(recorded: Any, box: Toolbox) -> None:
    recorded.on(LABEL, {}, status=404)
    with pytest.raises(ToolError, match=r"there is no drug/label\.json"):
        await called(box, "drug_label", drug="aspirin")


async def test_a_body_without_results_is_an_error(recorded: Any, box: Toolbox) -> None:
    recorded.on(EVENT, {"meta": META})
    with pytest.raises(ToolError, match="gave no results"):
        await called(box, "adverse_event_reports", drug="aspirin")


async def test_nobody_there_is_said(nowhere: str) -> None:
    client = OpenFDA(nowhere, timeout=60.0)
    with pytest.raises(ToolUnavailable, match="not reachable"):
        await called(Toolbox(standard_tools(openfda=client)), "drug_label", drug="aspirin")
    await client.aclose()


@pytest.mark.parametrize("drug", ['aspirin" OR 1:1', "a", "x" * 81, "aspirin\n", "*", "[a TO z]"])
async def test_a_name_cannot_be_more_than_a_name(drug: str, recorded: Any, box: Toolbox) -> None:
    with pytest.raises(InvalidArguments) as caught:
        await called(box, "drug_label", drug=drug)
    assert caught.value.fields == ("drug",)
    assert recorded.asked == []
