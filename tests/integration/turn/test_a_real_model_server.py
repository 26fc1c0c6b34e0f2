"""A turn whose model is a real server on this machine, over a real socket, that can be told to misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from model_server import ModelServer, Reply
from vital_engine.modes import Finished, Mode2AutomaticWorkflow, Token
from vital_engine.nouns import Question
from vital_engine.services.cost import Prices
from vital_engine.services.llm.openai_compatible import OpenAICompatible
from vital_engine.testing import ScriptedServices, scripted

QUESTION = Question("Does the scripted drug lower HbA1c?", tenant="t1", user="u1")
TEXT = "Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment [1]. Nausea was usually mild [2]."
PRICES = {"house-model": {"input": "0.000002", "cached": "0.000001", "output": "0.00001"}}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(model="house-model", default=Reply(text=TEXT, prompt_tokens=200, cached_tokens=50)) as server:
        yield server


@pytest.fixture
async def services(server: ModelServer) -> AsyncIterator[ScriptedServices]:
    llm = OpenAICompatible("house-model", base_url=server.base_url, provider="house")
    yield replace(scripted(), llm=llm, accountant=Prices(PRICES))
    await llm.aclose()


async def test_it_streams_and_is_priced_by_what_it_reports(services: ScriptedServices, server: ModelServer) -> None:
    events = [event async for event in Mode2AutomaticWorkflow(services).stream(QUESTION)]
    answer = events[-1].answer
    assert answer.status == "complete"
    assert answer.text == TEXT
    assert "".join(e.text for e in events if isinstance(e, Token)) == TEXT
    usage = answer.cost.rows[0].call.usage
    assert (usage.input, usage.cached, usage.estimated) == (200, 50, False)
    expected = 150 * Decimal("0.000002") + 50 * Decimal("0.000001") + usage.output * Decimal("0.00001")
    assert answer.cost.usd == expected
    assert [c.verdict for c in answer.citations] == ["verified", "verified"]
    sent = server.requests[0].body
    assert "Mean HbA1c fell" in str(sent["messages"])


async def test_a_server_that_is_killed_in_mid_stream_gives_a_partial_answer_and_never_a_complete_one(
    services: ScriptedServices, server: ModelServer
) -> None:
    server.say(Reply(text=TEXT, tokens_per_second=20))
    seen: list[Any] = []
    async for event in Mode2AutomaticWorkflow(services).stream(QUESTION):
        seen.append(event)
        if len([e for e in seen if isinstance(e, Token)]) == 4:
            server.kill()
    last = seen[-1]
    assert isinstance(last, Finished)
    answer = last.answer
    assert answer.status == "partial"
    assert answer.code.startswith("model.")
    assert answer.text
    assert TEXT.startswith(answer.text)
    assert answer.text != TEXT
    (row,) = answer.cost.rows
    assert row.call.status == "partial"
    assert row.call.usage is not None
    assert row.call.usage.estimated
    assert row.usd is not None
    assert row.usd > 0
    (kept,) = services.kept
    assert kept.status == "partial"


@pytest.mark.parametrize("cut", ["fin", "rst", "json", "utf8", "close", "error"])
async def test_however_the_stream_is_cut_the_answer_says_so(
    services: ScriptedServices, server: ModelServer, cut: str
) -> None:
    server.say(Reply(text=TEXT, cut_after=5, cut=cut))
    answer = await Mode2AutomaticWorkflow(services).execute(QUESTION)
    assert answer.status == "partial"
    assert answer.degraded == {"reply": "error"}
    assert "cut off" in answer.warnings[0]


async def test_a_server_that_refuses_is_a_failed_turn_with_a_code(
    services: ScriptedServices, server: ModelServer
) -> None:
    for _ in range(3):
        server.say(Reply(status=429, retry_after="0"))
    answer = await Mode2AutomaticWorkflow(services).execute(QUESTION)
    assert (answer.status, answer.code) == ("failed", "model.rate_limited")


async def test_a_model_that_goes_silent_is_cut_by_the_turns_own_limit(
    services: ScriptedServices, server: ModelServer
) -> None:
    server.say(Reply(text=TEXT, stall_after=6))
    answer = await Mode2AutomaticWorkflow(services, reply_timeout_ms=400).execute(QUESTION)
    assert answer.status == "partial"
    assert answer.degraded["reply"] == "timeout"
    assert answer.timing.total < 2.0
    assert server.wait_for_disconnect(server.requests[0])
