"""What the next turn will find is foreseen from what was found, and never for somebody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vital_engine.flow import run_virtual
from vital_engine.nouns import (
    Brief,
    Evidence,
    Expert,
    Guess,
    Limits,
    Memory,
    Passage,
    PastTurn,
    Question,
    ToolSuggestions,
    TurnRecord,
)
from vital_engine.ports import Foresight, Keeper
from vital_engine.services.foresight import Recollection

EXPERT = Expert("e1", "Expert", "All.", "Answer.", domains=("oncology",))
QUESTION = Question("Does it help?", tenant="t1", user="u1", run_id="r1")
TALK = replace(QUESTION, conversation="c1")
EVIDENCE = Evidence((Passage("d1#0", "It helps."),), index_version="1/m")
FOUND = Guess(EVIDENCE, ToolSuggestions(), Memory())
EARLIER = Memory((PastTurn("Hello?", "Yes.", "r0"),), summary="Greetings.", facts=("likes brevity",))


def latest(turns: Any) -> tuple[PastTurn, ...]:
    """The window of a store that shows two turns."""
    return tuple(reversed(turns[:2]))


def make(entries: int = 8) -> Recollection:
    return Recollection(entries=entries, window=latest)


def learn(of: Recollection, question: Question = QUESTION, found: Guess = FOUND, expert: Expert = EXPERT) -> None:
    run_virtual(of.learn(question, Brief(expert), found))


def guess(of: Recollection, question: Question = QUESTION, expert: Expert = EXPERT) -> Guess | None:
    return run_virtual(of.guess(question, Brief(expert)))


def kept(question: Question, status: str = "complete", text: str = "It does.") -> TurnRecord:
    return TurnRecord(question.run_id, question, 2, status, text, EXPERT.id, {})


def test_the_same_question_is_guessed_to_find_the_same_though_it_is_written_otherwise() -> None:
    recollection = make()
    assert isinstance(recollection, Foresight)
    assert guess(recollection) is None
    learn(recollection)
    for text in (QUESTION.text, " does   it HELP? "):
        found = guess(recollection, replace(QUESTION, text=text, run_id="r2"))
        assert found == Guess(EVIDENCE, ToolSuggestions(), Memory(), source="recollection")


@pytest.mark.parametrize(
    ("question", "expert"),
    [
        (replace(QUESTION, tenant="t2"), EXPERT),
        (replace(QUESTION, text="Does it harm?"), EXPERT),
        (replace(QUESTION, limits=Limits(passages=3)), EXPERT),
        (QUESTION, replace(EXPERT, id="e2")),
        (QUESTION, replace(EXPERT, domains=("cardiology",))),
        (QUESTION, replace(EXPERT, tools=("calculator",))),
    ],
)
def test_nothing_is_guessed_from_what_another_one_found(question: Question, expert: Expert) -> None:
    recollection = make()
    learn(recollection)
    assert guess(recollection, question, expert) is None


@pytest.mark.parametrize(
    "found",
    [
        replace(FOUND, evidence=Evidence.missing()),
        replace(FOUND, suggestions=ToolSuggestions.missing()),
    ],
)
def test_what_failed_is_not_learned(found: Guess) -> None:
    recollection = make()
    learn(recollection, found=found)
    assert guess(recollection) is None


def test_the_latest_finding_counts_and_only_so_many_questions_are_remembered() -> None:
    recollection = make(entries=2)
    newer = replace(EVIDENCE, index_version="2/m")
    learn(recollection)
    learn(recollection, found=replace(FOUND, evidence=newer))
    found = guess(recollection)
    assert found is not None and found.evidence == newer
    for text in ("b", "c"):
        learn(recollection, replace(QUESTION, text=text))
    assert guess(recollection) is None


def test_a_conversations_memory_is_what_it_recalled_and_then_said() -> None:
    recollection = make()
    learn(recollection, TALK, replace(FOUND, memory=EARLIER))
    assert guess(recollection, TALK) is None  # the turn is not kept yet: what will be recalled is not known
    recollection.kept(kept(TALK))
    following = replace(TALK, run_id="r2")
    found = guess(recollection, following)
    assert found is not None
    said = PastTurn(TALK.text, "It does.", "r1")
    assert found.memory == Memory((*EARLIER.turns, said), "Greetings.", ("likes brevity",))


def test_a_conversation_that_outgrows_its_window_is_not_guessed_as_its_summary_will_change() -> None:
    recollection = make()
    memory = replace(EARLIER, turns=(*EARLIER.turns, PastTurn("And?", "So.", "r00")))
    learn(recollection, TALK, replace(FOUND, memory=memory))
    recollection.kept(kept(TALK))
    assert guess(recollection, replace(TALK, run_id="r2")) is None


def test_a_turn_of_another_process_between_says_nothing_of_what_is_recalled_next() -> None:
    recollection = make()
    learn(recollection, TALK, replace(FOUND, memory=EARLIER))
    recollection.kept(kept(replace(TALK, run_id="r9")))
    assert guess(recollection, replace(TALK, run_id="r2")) is None


def test_a_turn_that_was_not_completed_is_not_recalled() -> None:
    recollection = make()
    learn(recollection, TALK, replace(FOUND, memory=EARLIER))
    recollection.kept(kept(TALK, status="partial"))
    found = guess(recollection, replace(TALK, run_id="r2"))
    assert found is not None
    assert found.memory == EARLIER


@pytest.mark.parametrize("other", [{"tenant": "t2"}, {"user": "u2"}, {"conversation": "c2"}])
def test_a_conversation_that_this_process_does_not_know_is_not_guessed(other: dict[str, Any]) -> None:
    recollection = make()
    learn(recollection, TALK, replace(FOUND, memory=EARLIER))
    recollection.kept(kept(TALK))
    learn(recollection, replace(QUESTION, tenant=other.get("tenant", "t1")))  # the question itself is known
    assert guess(recollection, replace(TALK, **other)) is None


def test_what_was_recalled_by_the_question_is_not_guessed_for_another_one() -> None:
    recollection = make()
    learn(recollection, TALK, replace(FOUND, memory=replace(EARLIER, by_question=True)))
    recollection.kept(kept(TALK, status="partial"))
    assert guess(recollection, replace(TALK, run_id="r2")) is None


def test_a_memory_that_is_handed_in_is_no_guess_and_says_nothing_of_the_next() -> None:
    recollection = make()
    given = replace(TALK, memory=EARLIER)
    learn(recollection, given, replace(FOUND, memory=EARLIER))
    recollection.kept(kept(given))
    found = guess(recollection, replace(QUESTION, memory=EARLIER))
    assert found is not None and found.memory == EARLIER
    assert guess(recollection, replace(TALK, run_id="r2")) is None


def test_it_learns_what_is_kept_beside_the_keeper_and_only_once_that_has_kept_it() -> None:
    written: list[TurnRecord] = []

    class Book:
        async def keep(self, turn: TurnRecord) -> None:
            if turn.text == "too long":
                raise OSError("full")
            written.append(turn)

    recollection = make()
    keeper = recollection.beside(Book())
    assert isinstance(keeper, Keeper)
    learn(recollection, TALK, replace(FOUND, memory=EARLIER))
    with pytest.raises(OSError, match="full"):
        run_virtual(keeper.keep(kept(TALK, text="too long")))
    assert guess(recollection, TALK) is None
    run_virtual(keeper.keep(kept(TALK)))
    assert [turn.run_id for turn in written] == ["r1"]
    assert guess(recollection, TALK) is not None
