"""An answer that was given before is given again only where nothing has changed, and only if it was whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from vital_engine.errors import ConfigError, StreamBroken
from vital_engine.flow import run_in_background, run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Evidence, Expert, Piece, Prefilled, Prompt, Question
from vital_engine.ports import Prefiller
from vital_engine.services.llm.remembered import CachedLLM, key_of
from vital_engine.testing import ScriptedServices, scripted
from vital_engine.testing.scripted import EVIDENCE

QUESTION = Question("Why?", tenant="t1", user="u1")


def cached(services: ScriptedServices, *, entries: int = 8) -> ScriptedServices:
    return replace(services, llm=CachedLLM(services.llm, entries=entries, start=run_in_background))


def ask(services: ScriptedServices, question: Question = QUESTION, **settings: Any) -> Any:
    return run_virtual(Mode2AutomaticWorkflow(services, watchers=()).execute(question, **settings))


def test_a_hit_is_a_turn_at_no_cost_that_says_so_and_is_checked_as_any_other() -> None:
    services = cached(scripted(retrieve=0.5, reply=1.5))
    first, again = ask(services), ask(services)
    assert len(services.prompts) == 1
    assert (again.text, again.citations, again.support) == (first.text, first.citations, first.support)
    assert again.draft.provider == "cache"
    assert again.receipt()["model"]["provider"] == "cache"
    assert first.cost.usd > 0
    assert again.cost.usd == Decimal(0)
    assert (first.timing.total, again.timing.total) == (2.0, 0.5)


@pytest.mark.parametrize(
    "script",
    [
        {"retrieve": OSError()},
        {"suggest": OSError()},
        {"recall": OSError()},
        {"invoke": OSError()},
        {"reply": (1.0, "It fell [1].", StreamBroken("cut"))},
    ],
)
def test_a_degraded_answer_is_never_kept(script: dict[str, Any]) -> None:
    services = cached(scripted(**script))
    ask(services)
    ask(services)
    assert len(services.prompts) == 2
    assert len(services.llm) == 0  # type: ignore[arg-type]


def test_nothing_found_is_an_answer_like_another() -> None:
    services = cached(scripted(retrieve=(0.1, Evidence(index_version="7"))))
    ask(services)
    ask(services)
    assert len(services.prompts) == 1


def test_another_tenant_another_index_and_other_flags_are_asked_anew() -> None:
    services = cached(scripted())
    ask(services)
    ask(services, replace(QUESTION, tenant="t2"))
    ask(services, enable_rag=False)
    ask(services, enable_tools=False)
    assert len(services.prompts) == 4
    ask(services)
    assert len(services.prompts) == 4


def test_the_key_carries_all_that_an_answer_depends_on() -> None:
    services = scripted()
    ask(services)
    (prompt,) = services.prompts
    expert = prompt.brief.expert

    def of(who: Expert) -> Prompt:
        return replace(prompt, brief=replace(prompt.brief, expert=who))

    others = [
        replace(prompt, question=replace(prompt.question, tenant="t2")),
        of(replace(expert, id="other")),
        of(replace(expert, domains=("oncology",))),
        replace(prompt, model="other"),
        replace(prompt, temperature=0.7),
        replace(prompt, max_output_tokens=7),
        replace(prompt, evidence=replace(EVIDENCE, index_version="other")),
        replace(prompt, evidence=replace(EVIDENCE, passages=EVIDENCE.passages[:1])),
        replace(prompt, segments=prompt.segments[:-1]),
    ]
    keys = {key_of(p) for p in [prompt, *others]}
    assert len(keys) == len(others) + 1
    assert key_of(replace(prompt, question=replace(prompt.question, run_id="another run"))) == key_of(prompt)


def test_only_so_many_are_kept_and_the_least_asked_for_goes() -> None:
    services = cached(scripted(), entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        ask(services, replace(QUESTION, text=text))
    assert [p.question.text for p in services.prompts] == ["a", "b", "c", "b"]


def test_a_reader_that_goes_stops_the_model_and_leaves_nothing_half_said_behind() -> None:
    stopped: list[int] = []

    class Endless:
        async def stream(self, prompt: Prompt) -> AsyncIterator[Any]:
            said = 0
            try:
                while True:
                    yield Piece("again ")
                    said += 1
            finally:
                stopped.append(said)

    services = scripted()
    ask(services)
    remembered = CachedLLM(Endless(), entries=1, start=run_in_background)

    async def turn() -> None:
        stream = remembered.stream(services.prompts[0])
        await anext(stream)
        await stream.aclose()
        for _ in range(3):
            await asyncio.sleep(0)

    run_virtual(turn())
    assert len(stopped) == 1 and stopped[0] < 3
    assert len(remembered) == 0


def gather_outcomes(services: ScriptedServices, *at: float, leave: dict[int, float] | None = None) -> list[Any]:
    """The same question asked *at* these seconds; asker *i* goes at ``leave[i]``."""

    async def one(seconds: float) -> Any:
        await asyncio.sleep(seconds)
        return await Mode2AutomaticWorkflow(services, watchers=()).execute(QUESTION)

    async def turn() -> list[Any]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one(seconds)) for seconds in at]
        for index, seconds in (leave or {}).items():
            loop.call_later(seconds, tasks[index].cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return run_virtual(turn())


def test_who_asks_while_the_answer_is_given_hears_it_from_its_beginning_and_is_not_charged() -> None:
    services = cached(scripted(reply=1.5))
    first, late, after = gather_outcomes(services, 0.0, 0.7, 3.0)
    assert len(services.prompts) == 1
    assert first.text == late.text == after.text
    assert first.citations == late.citations
    assert [a.draft.provider for a in (first, late, after)] == ["scripted", "cache", "cache"]
    assert [a.cached for a in (first, late, after)] == [(), ("reply",), ("reply",)]
    assert first.receipt()["cached"] == [] and late.receipt()["cached"] == ["reply"]
    assert first.cost.usd > 0
    assert late.cost.usd == after.cost.usd == Decimal(0)
    assert (first.timing.total, late.timing.total) == (1.5, pytest.approx(0.8))
    assert late.timing.first_token == 0.0


def test_if_the_first_asker_goes_the_others_hear_the_end_and_the_next_of_them_is_charged() -> None:
    services = cached(scripted(reply=1.5))
    gone, second, third = gather_outcomes(services, 0.0, 0.2, 0.4, leave={0: 1.0})
    assert isinstance(gone, asyncio.CancelledError)
    assert len(services.prompts) == 1
    assert second.text == third.text and second.status == third.status == "complete"
    assert (second.draft.provider, third.draft.provider) == ("scripted", "cache")
    assert second.cost.usd > 0
    assert third.cost.usd == Decimal(0)
    assert len(services.llm) == 1  # type: ignore[arg-type]


def test_if_all_go_nothing_is_kept_and_the_next_one_asks_anew() -> None:
    services = cached(scripted(reply=1.5))
    *gone, after = gather_outcomes(services, 0.0, 0.2, 1.1, leave={0: 1.0, 1: 0.9})
    assert all(isinstance(each, asyncio.CancelledError) for each in gone)
    assert len(services.prompts) == 2
    assert (after.draft.provider, after.timing.total) == ("scripted", 1.5)


def test_a_break_is_heard_by_all_who_listen() -> None:
    services = cached(scripted(reply=(1.0, "It fell [1].", StreamBroken("cut"))))
    answers = gather_outcomes(services, 0.0, 0.5)
    assert len(services.prompts) == 1
    assert [a.status for a in answers] == ["partial", "partial"]
    assert [a.text for a in answers] == ["It fell [1].", "It fell [1]."]
    assert len(services.llm) == 0  # type: ignore[arg-type]


def test_other_tenants_do_not_listen() -> None:
    services = cached(scripted(reply=1.5))

    async def turn() -> Any:
        asked = [replace(QUESTION, tenant=tenant) for tenant in ("t1", "t2")]
        return await asyncio.gather(*(Mode2AutomaticWorkflow(services, watchers=()).execute(q) for q in asked))

    assert all(answer.cost.usd > 0 for answer in run_virtual(turn()))
    assert len(services.prompts) == 2


def test_each_answer_is_counted_by_where_it_came_from() -> None:
    counted: list[str] = []
    services = scripted(reply=1.5)
    services = replace(services, llm=CachedLLM(services.llm, entries=8, start=run_in_background, count=counted.append))
    gather_outcomes(services, 0.0, 0.5, 2.0)
    assert counted == ["miss", "shared", "hit"]


def test_it_reads_ahead_if_the_model_behind_it_can() -> None:
    class Reading:
        async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
            yield Piece("Read.")

        async def prefill(self, prompt: Prompt) -> Prefilled:
            return Prefilled(computed=7)

    assert isinstance(CachedLLM(Reading(), entries=1, start=run_in_background), Prefiller)

    class Plain:
        async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
            yield Piece("Read.")

    assert not isinstance(CachedLLM(Plain(), entries=1, start=run_in_background), Prefiller)


def test_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        CachedLLM(scripted().llm, entries=0, start=run_in_background)
