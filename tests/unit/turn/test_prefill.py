"""Reading ahead: the waiting is shorter by what was read while retrieval ran, and nothing else changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from seed_profile import DATAFLOW_TOTAL, SEED, SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine.errors import ModelUnavailable
from vital_engine.flow import run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Piece, Prefilled, Prompt, Question
from vital_engine.nouns.answer import Answer
from vital_engine.ports import Prefiller, prefiller
from vital_engine.testing import ScriptedServices, scripted
from vital_engine.turn import load_of

HALF = {"instructions": 0.15, "conversation": 0.0225, "tools": 0.0225, "evidence": 0.105}
MOST = {"instructions": 0.24, "conversation": 0.009, "tools": 0.009, "evidence": 0.042}
QUESTION = Question("How did HbA1c change?", tenant="t", user="u", run_id="run")


def turn(services: ScriptedServices, **settings: Any) -> Answer:
    return run_virtual(Mode2AutomaticWorkflow(services, watchers=(), **settings).execute(QUESTION))


@pytest.mark.parametrize(
    ("reading", "settings", "expected"),
    [
        (HALF, {"profile": "sequential"}, (1.31, 2.5, SEQUENTIAL_TOTAL)),
        (HALF, {"profile": "tiers"}, (0.81, 2.0, TIERS_TOTAL)),
        (HALF, {"prefill": "off"}, (0.81, 2.0, DATAFLOW_TOTAL)),
        (HALF, {"prefill": "prefix"}, (0.66, 1.85, 1.86875)),
        (HALF, {"prefill": "segments"}, (0.615, 1.805, 1.82375)),
        (MOST, {"prefill": "prefix"}, (0.57, 1.76, 1.77875)),
        (MOST, {"prefill": "segments"}, (0.552, 1.742, 1.76075)),
        (0.3, {"prefill": "segments"}, (0.81, 2.0, DATAFLOW_TOTAL)),  # a model that cannot read ahead
    ],
)
def test_the_ladder_step_by_step(reading: Any, settings: dict[str, str], expected: tuple[float, ...]) -> None:
    timing = turn(scripted(**SEED, prefill=reading), **settings).timing
    assert (timing.first_token, timing.last_token, timing.total) == expected


def test_the_prompt_and_the_answer_are_the_same() -> None:
    services = [scripted(**SEED, prefill=HALF) for _ in range(3)]
    answers = [turn(s, prefill=how) for s, how in zip(services, ("off", "prefix", "segments"), strict=True)]
    assert len({s.prompts[0].segments for s in services}) == 1
    assert len({answer.text for answer in answers}) == 1
    assert [answer.prefilled.computed > 0 for answer in answers] == [False, True, True]


def test_each_prompt_that_is_read_ahead_begins_the_one_that_is_answered() -> None:
    services = scripted(**SEED, prefill=HALF)
    turn(services)
    whole = services.prompts[0].segments
    read = [call.arguments["prompt"].segments for call in services.calls if call.method == "prefill"]
    assert [len(segments) for segments in read] == [1, 2, 3]
    assert all(segments == whole[: len(segments)] for segments in read)


class Reads:
    """Fulfils the ports LLM and Prefiller with a reading that is told how to end."""

    capacity: int | None = None
    reads_between = False

    def __init__(self, how: str) -> None:
        self.how, self.read = how, 0

    async def prefill(self, prompt: Prompt) -> Prefilled:
        self.read += 1
        if self.how == "fails":
            raise ModelUnavailable("down", service="model")
        if self.how == "hangs":
            await asyncio.get_running_loop().create_future()
        return Prefilled(10, 0)

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        await asyncio.sleep(1.5)
        yield Piece("It fell.", model="m", provider="p", finish="stop")


def with_model(llm: Reads) -> ScriptedServices:
    return replace(scripted(**SEED), llm=llm)


def test_a_reading_that_fails_costs_nothing() -> None:
    answer = turn(with_model(Reads("fails")))
    assert (answer.status, answer.timing.last_token, answer.degraded) == ("complete", 2.0, {})
    assert answer.warnings == ()


def test_a_reading_that_hangs_costs_its_limit_and_degrades_nothing() -> None:
    answer = turn(with_model(Reads("hangs")), parallel_timeout_ms=700)
    assert (answer.status, answer.degraded) == ("complete", {})
    assert answer.timing.last_token == 2.2  # one limit: what comes after it is not tried


def test_what_is_not_there_to_be_read_is_not_read() -> None:
    llm = Reads("reads")
    turn(with_model(llm), enable_memory=False, enable_tools=False)
    assert llm.read == 1


@pytest.mark.parametrize(("reads_between", "times"), [(False, 0), (True, 3)])
def test_nothing_is_read_ahead_where_another_would_wait_for_that(reads_between: bool, times: int) -> None:
    async def one() -> int:
        llm = Reads("reads")
        llm.capacity, llm.reads_between = 1, reads_between
        with load_of(llm).call():
            workflow = Mode2AutomaticWorkflow(with_model(llm), watchers=())
            assert workflow.runner.segments.load is load_of(llm)
            await workflow.execute(QUESTION)
        return llm.read

    assert run_virtual(one()) == times


def test_who_can_read_ahead() -> None:
    assert prefiller(Reads("reads")) is not None
    assert isinstance(scripted(reply=1.5, prefill=HALF).llm, Prefiller)
    assert prefiller(scripted().llm) is None
