"""A turn as it happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seed_profile import DATAFLOW_TOTAL, SEED
from vital_engine.flow import run_virtual
from vital_engine.modes import Broken, Cited, Finished, Mode2AutomaticWorkflow, Started, StepEvent, Token
from vital_engine.nouns import Question
from vital_engine.testing import scripted

QUESTION = Question(text="x", tenant="t1", user="u1")


def events_of(**steps: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [event async for event in Mode2AutomaticWorkflow(scripted(**steps)).stream(QUESTION)]

    return run_virtual(collect())


def test_events_are_numbered_from_one_and_end_in_the_answer() -> None:
    events = events_of(**SEED)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert "".join(e.text for e in events if isinstance(e, Token)) == events[-1].answer.text
    assert tuple(e.citation for e in events if isinstance(e, Cited)) == events[-1].answer.citations.items


def test_citations_come_while_the_model_still_speaks() -> None:
    events = events_of(**SEED)
    first_citation = next(i for i, e in enumerate(events) if isinstance(e, Cited))
    last_token = max(i for i, e in enumerate(events) if isinstance(e, Token))
    assert first_citation < last_token


def test_each_step_begins_and_ends_once() -> None:
    steps = [(e.step, bool(e.outcome)) for e in events_of(**SEED) if isinstance(e, StepEvent)]
    assert len(steps) == len(set(steps))
    assert {s for s, ended in steps if ended} == {s for s, ended in steps if not ended}


def test_a_reader_that_goes_stops_the_model_and_keeps_what_was_said() -> None:
    services = scripted(**SEED)

    async def read_a_little() -> None:
        stream: Any = Mode2AutomaticWorkflow(services).stream(QUESTION)
        async for event in stream:
            if isinstance(event, Token) and event.seq > 40:
                break
        await stream.aclose()
        await asyncio.sleep(1)

    run_virtual(read_a_little())
    reply = next(c for c in services.calls if c.port == "reply")
    assert isinstance(reply.error, asyncio.CancelledError)
    assert reply.end is not None
    assert reply.end < 1.5
    (kept,) = services.kept
    assert kept.status == "partial"
    assert kept.text
    assert kept.cost.rows[0].call.status == "cancelled"
    assert kept.cost.rows[0].call.usage.estimated


def test_a_started_turn_goes_on_without_a_reader_and_can_be_read_again() -> None:
    services = scripted(**SEED)

    async def twice() -> tuple[list[Any], list[Any], Any]:
        turn = Mode2AutomaticWorkflow(services).start(QUESTION)
        first = []
        async for event in turn.events:
            first.append(event)
            if event.seq == 10:
                break
        answer = await turn.answer()
        return first, [event async for event in turn.events.reader()], answer

    first, again, answer = run_virtual(twice())
    assert again[:10] == first
    assert again[-1].answer is answer
    assert answer.timing.total == DATAFLOW_TOTAL


def test_a_cancelled_turn_ends_its_log_with_an_error() -> None:
    async def cancel() -> list[Any]:
        turn = Mode2AutomaticWorkflow(scripted(**SEED)).start(QUESTION)
        await asyncio.sleep(1.0)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn.answer()
        return [event async for event in turn.events.reader()]

    last = run_virtual(cancel())[-1]
    assert isinstance(last, Broken)
    assert last.code == "turn.cancelled"


def test_a_failed_model_is_told_in_the_last_event() -> None:
    last = events_of(reply=RuntimeError("secret"))[-1]
    assert isinstance(last, Finished)
    assert last.answer.status == "failed"
