"""Speculation: when the model starts on a guess, what comes of it, and what is paid for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from seed_profile import DATAFLOW_TOTAL, SEED, SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine.answer import Answer
from vital_engine.errors import ModelUnavailable, StreamBroken
from vital_engine.flow import Load, Skipped, run_virtual
from vital_engine.modes import Mode1ManualWorkflow, Mode2AutomaticWorkflow
from vital_engine.nouns import Brief, Effect, Evidence, Guess, Piece, Prompt, Question, ToolSuggestions
from vital_engine.testing import scripted
from vital_engine.testing.material import EVIDENCE, MEMORY, MENU
from vital_engine.turn.ahead import Speculation

QUESTION = Question("How did HbA1c change?", tenant="t", user="u")
RIGHT = Guess(EVIDENCE, MENU, MEMORY, source="told")
WRONG = replace(RIGHT, evidence=Evidence())


@dataclass
class Told:
    """Fulfils the port Foresight."""

    guessed: Guess | None = RIGHT
    seconds: float = 0.05
    learned: list[Guess] = field(default_factory=list)

    async def guess(self, question: Question, brief: Brief) -> Guess | None:
        await asyncio.sleep(self.seconds)
        return self.guessed

    async def learn(self, question: Question, brief: Brief, found: Guess) -> None:
        self.learned.append(found)


def turn(told: Told, *, known: int = 20, right: bool = True, **changes: Any) -> Answer:
    """A turn of a workflow that has seen *known* guesses of this source."""
    settings = {"speculation": changes.pop("speculation", "auto"), "profile": changes.pop("profile", "dataflow")}
    llm = changes.pop("llm", None)

    async def one() -> Answer:
        services = replace(scripted(**{**SEED, **changes}), foresight=told)
        workflow = Mode2AutomaticWorkflow(replace(services, llm=llm) if llm else services, watchers=(), **settings)
        for _ in range(known):
            workflow.early.speculation.learn("told", right=right)
        return await workflow.execute(QUESTION)

    return run_virtual(one())


def test_a_right_guess_gives_the_turn_in_the_time_of_its_model_call() -> None:
    answer = turn(Told())
    assert answer.timing.first_token == 0.5  # nothing is shown before it has been checked
    assert (answer.timing.last_token, answer.timing.total) == (1.55, 1.56875)
    assert (answer.guessed.right, answer.guessed.used) == (True, True)
    assert answer.critical_path == ("brief", "foresee", "ahead", "reply", "cite")
    assert len(answer.cost.rows) == 1


def test_a_wrong_guess_costs_its_tokens_and_no_time() -> None:
    answer = turn(Told(WRONG))
    assert answer.timing.total == DATAFLOW_TOTAL
    assert (answer.guessed.right, answer.guessed.used) == (False, True)
    assert isinstance(answer.outcomes["ahead"], Skipped)
    paid = answer.cost.rows[1].call
    assert (paid.purpose, paid.status) == ("guess", "discarded")
    assert paid.usage is not None
    assert paid.usage.output > 0
    assert answer.cost.usd is not None
    assert answer.cost.rows[0].usd is not None
    assert answer.cost.usd > answer.cost.rows[0].usd
    assert not answer.degraded
    assert answer.receipt()["guess"] == {"source": "told", "right": False, "used": True}


def test_what_is_off_is_compared_all_the_same() -> None:
    answer = turn(Told(), speculation="off")
    assert answer.timing.total == DATAFLOW_TOTAL
    assert (answer.guessed.right, answer.guessed.used) == (True, False)


@pytest.mark.parametrize("profile", ["tiers", "sequential"])
def test_the_other_profiles_guess_nothing(profile: str) -> None:
    answer = turn(Told(), profile=profile)
    assert answer.timing.total == {"tiers": TIERS_TOTAL, "sequential": SEQUENTIAL_TOTAL}[profile]
    assert "foresee" not in answer.outcomes


@pytest.mark.parametrize(
    ("known", "right", "used"), [(0, True, False), (5, True, False), (20, True, True), (20, False, False)]
)
def test_a_source_must_have_been_right_before(known: int, right: bool, used: bool) -> None:
    assert turn(Told(), known=known, right=right).guessed.used is used


def test_a_guess_that_takes_too_long_is_none() -> None:
    answer = turn(Told(seconds=30.0))
    assert answer.timing.total == DATAFLOW_TOTAL
    assert answer.guessed.right is None
    assert not answer.degraded


def test_what_was_found_is_learned_unless_something_failed() -> None:
    told = Told(None)
    turn(told)
    assert [(g.evidence, g.suggestions, g.memory) for g in told.learned] == [(EVIDENCE, MENU, MEMORY)]
    told = Told(None)
    turn(told, retrieve=ValueError("broke"))
    assert told.learned == []


@pytest.mark.parametrize(
    ("effect", "cost", "used"),
    [
        (Effect.READ, "0", True),
        (Effect.PURE, "0.01", False),
        (Effect.KEYED_WRITE, "0", False),
        (Effect.EFFECT, "0", True),  # it is refused by the policy, whether guessed or found
    ],
)
def test_nothing_that_writes_or_costs_is_done_on_a_guess(effect: Effect, cost: str, used: bool) -> None:
    suggestions = ToolSuggestions((replace(MENU.tool_calls[0], effect=effect, cost_usd=Decimal(cost)),))
    answer = turn(Told(replace(RIGHT, suggestions=suggestions)), suggest=(0.3, suggestions))
    assert (answer.guessed.right, answer.guessed.used) == (True, used)
    assert answer.timing.last_token == (1.55 if used else 2.0)


@dataclass
class Breaking:
    """Fulfils the port LLM: breaks off, the first time that it is asked, after so many words."""

    words: int
    error: Exception
    asked: int = 0

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        self.asked += 1
        for i in range(5):
            if self.asked == 1 and i == self.words:
                raise self.error
            await asyncio.sleep(0.3)
            yield Piece(f"Word {i}. ", model="m", provider="p")
        yield Piece(finish="stop", model="m", provider="p")


def test_a_model_that_failed_before_its_first_word_is_asked_again() -> None:
    llm = Breaking(0, ModelUnavailable("down"))
    answer = turn(Told(), llm=llm)
    assert (answer.status, llm.asked) == ("complete", 2)
    assert answer.timing.last_token == 2.0
    assert [row.call.purpose for row in answer.cost.rows] == ["reply", "guess"]


def test_a_model_that_breaks_off_in_the_right_guess_has_broken_off() -> None:
    llm = Breaking(2, StreamBroken("cut", service="model"))
    answer = turn(Told(), llm=llm)
    assert (answer.status, llm.asked) == ("partial", 1)
    assert answer.text == "Word 0. Word 1. "
    assert answer.code == "model.stream_broken"


def test_a_model_that_breaks_off_in_the_wrong_guess_is_forgotten() -> None:
    llm = Breaking(1, StreamBroken("cut", service="model"))
    answer = turn(Told(WRONG), llm=llm)
    assert (answer.status, llm.asked) == ("complete", 2)


@dataclass
class Deaf:
    """Fulfils the port LLM: its first call does not obey its cancellation."""

    asked: int = 0

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        self.asked += 1
        until = asyncio.get_running_loop().time() + (3.0 if self.asked == 1 else 1.5)
        while (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                if self.asked > 1:
                    raise
        yield Piece("It fell.", model="m", provider="p", finish="stop")


def test_a_wrong_guess_that_does_not_stop_is_left_behind() -> None:
    answer = turn(Told(WRONG), llm=Deaf())
    assert answer.status == "complete"
    assert answer.timing.last_token == pytest.approx(2.05)  # its grace, and no more
    assert not answer.degraded


def test_where_a_person_decides_nothing_is_begun() -> None:
    async def one() -> Answer:
        services = replace(scripted(**{**SEED, "suggest": (0.3, ToolSuggestions())}), foresight=Told())
        return await Mode1ManualWorkflow(services, watchers=(), speculation="auto").execute(QUESTION)

    answer = run_virtual(one())
    assert (answer.status, answer.timing.last_token) == ("complete", 2.0)
    assert "ahead" not in answer.outcomes


@pytest.mark.parametrize(("utilisation", "share", "admitted"), [
    (0.6, 0.3, True), (0.75, 0.3, False), (0.75, 0.6, True), (0.9, 0.9, False), (0.1, 0.1, False),
])  # fmt: skip
def test_how_busy_the_model_may_be(utilisation: float, share: float, admitted: bool) -> None:
    async def check() -> None:
        load = Load(100, seconds=1.0)
        speculation = Speculation(load)
        for i in range(400):
            speculation.learn("told", right=i % 10 < 10 * share)
        calls = [load.call() for _ in range(round(100 * utilisation))]
        for one in calls:
            one.__enter__()
        await asyncio.sleep(20.0)
        assert load.utilisation == pytest.approx(utilisation, abs=1e-6)
        assert speculation.admits("told") is admitted
        for one in calls:
            one.__exit__(None, None, None)

    run_virtual(check())


def test_nothing_is_begun_where_another_would_wait() -> None:
    async def check() -> None:
        load = Load(1, seconds=1000.0)
        speculation = Speculation(load)
        for _ in range(20):
            speculation.learn("told", right=True)
        assert speculation.admits("told")
        await asyncio.sleep(1.0)
        with load.call():
            assert not speculation.admits("told")

    run_virtual(check())


def test_a_call_on_a_guess_gives_way_to_one_that_is_wanted() -> None:
    """Two turns and one slot: the second is asked of the model while the first still speaks on its guess."""

    async def both() -> tuple[Answer, Answer]:
        slot, told = OneSlot(), Told()
        services = replace(scripted(**SEED), foresight=told, llm=slot)
        first = Mode2AutomaticWorkflow(services, watchers=(), speculation="auto")
        second = Mode2AutomaticWorkflow(
            replace(services, foresight=None, retriever=scripted(retrieve=0.1).retriever, tool_suggester=scripted().tool_suggester,
                    memory=scripted().memory), watchers=(),
        )  # fmt: skip
        for _ in range(20):
            first.early.speculation.learn("told", right=True)
        turns = first.start(QUESTION), second.start(QUESTION)
        return await turns[0].answer(), await turns[1].answer()

    guessing, other = run_virtual(both())
    assert other.timing.last_token == 1.6  # it did not wait for a guess
    assert guessing.timing.last_token == 3.1  # as it would have been without one: the other was there before it
    assert guessing.text == other.text == "It fell."
    assert [row.call.purpose for row in guessing.cost.rows] == ["reply", "guess"]


class OneSlot:
    """Fulfils the port LLM: one answer at a time, 1.5 s each."""

    capacity = 1

    def __init__(self) -> None:
        self.slot = asyncio.Semaphore()

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        async with self.slot:
            await asyncio.sleep(1.5)
            yield Piece("It fell.", model="m", provider="p", finish="stop")
