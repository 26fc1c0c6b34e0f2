"""A receipt tells the whole turn: the answer that is made of it has the same receipt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from seed_profile import SEED
from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow
from vital_engine.errors import ModelUnavailable, NotFound, RateLimited, RetrievalError, WrongType
from vital_engine.flow import Skipped, run_virtual
from vital_engine.nouns import (
    CACHE,
    Answer,
    Evidence,
    Memory,
    Passage,
    PastTurn,
    Piece,
    Question,
    ToolSuggestions,
    Usage,
)
from vital_engine.nouns.answer import RECEIPT_VERSION
from vital_engine.ports import Replicas
from vital_engine.testing import ScriptedServices, scripted

QUESTION = Question("Does it lower HbA1c?", tenant="t1", user="u1", run_id="r1")


async def ask(services: ScriptedServices, question: Question = QUESTION, **settings: Any) -> Answer:
    return await Mode2AutomaticWorkflow(services, watchers=(), **settings).execute(question)


async def decided(**decisions: Any) -> Answer:
    workflow = Mode1ManualWorkflow(scripted(**SEED), watchers=())
    paused = await workflow.execute(QUESTION)
    return await workflow.resume("r1", {a.id: decisions["say"] for a in paused.approvals}) if decisions else paused


class Cached:
    """Fulfils the ports LLM, Retriever and ToolSuggester with what was known before."""

    async def stream(self, prompt: Any) -> Any:
        yield Piece("It fell [1].", Usage(), "m", CACHE, "stop")

    async def search(self, query: str, *, k: int, scope: Any) -> Evidence:
        await asyncio.sleep(0.2)  # after the suggester
        return Evidence((Passage("p", "It fell."),), index_version="7", cached=True)

    async def suggest(self, question: Question, brief: Any) -> ToolSuggestions:
        return ToolSuggestions(cached=True)


def known() -> ScriptedServices:
    cached = Cached()
    return replace(scripted(), llm=cached, retriever=cached, tool_suggester=cached)


def hedged() -> tuple[ScriptedServices, Callable[[Any], None]]:
    second = scripted(**SEED)
    services = replace(scripted(**SEED | {"reply": "hang"}), replicas=Replicas(llm=second.llm))

    def impatient(workflow: Any) -> None:
        hedge = workflow.runner.segments.hedges.of["reply"]
        hedge.after, hedge._tokens = 0.1, 10.0

    return services, impatient


async def sent_twice() -> Answer:
    services, impatient = hedged()
    workflow = Mode2AutomaticWorkflow(services, watchers=())
    impatient(workflow)
    return await workflow.execute(QUESTION)


async def cancelled() -> Answer:
    services = scripted(**SEED)
    workflow = Mode2AutomaticWorkflow(services, watchers=())
    turn = workflow.start(QUESTION)
    await asyncio.sleep(1.0)
    turn.cancel()
    await asyncio.sleep(1.0)
    (kept,) = services.kept
    return Answer.from_receipt(kept.receipt)


ANSWERS: dict[str, Callable[[], Awaitable[Answer]]] = {
    "complete": lambda: ask(scripted(**SEED)),
    "tiers": lambda: ask(scripted(**SEED), profile="tiers"),
    "paused": decided,
    "approved": lambda: decided(say="approve"),
    "edited": lambda: decided(say=("edit", {"x": 7}, "rather this")),
    "rejected": lambda: decided(say=("reject", "no")),
    "degraded": lambda: ask(scripted(retrieve=RetrievalError("down"), recall="hang", suggest=ValueError("x"))),
    "reviews failed": lambda: ask(scripted(cite=(0.1, 3), assess="hang", tally=TypeError("x"))),
    "partial": lambda: ask(scripted(reply=(0.5, "It fell [1]. It", RateLimited("later", retry_after=3.0)))),
    "failed": lambda: ask(scripted(reply=ModelUnavailable("down"))),
    "failed by a foreign error": lambda: ask(scripted(reply=ZeroDivisionError("x"))),
    "no expert": lambda: ask(scripted(brief=NotFound("no such expert"))),
    "out of time": lambda: ask(scripted(reply=(9.0, "Late.")), reply_timeout_ms=100),
    "switched off": lambda: ask(scripted(**SEED), enable_rag=False, enable_tools=False, enable_memory=False),
    "memory handed in": lambda: ask(scripted(**SEED), replace(QUESTION, memory=Memory((PastTurn("Who?", "She."),)))),
    "not saved": lambda: ask(scripted(save=OSError("disk"), register=OSError("disk"))),
    "read ahead": lambda: ask(scripted(reply=1.5, retrieve=0.5, prefill={"instructions": 0.15, "evidence": 0.1})),
    "from the cache": lambda: ask(known()),
    "sent twice": sent_twice,
    "cancelled": cancelled,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_of_a_receipt_has_that_receipt(name: str) -> None:
    receipt = run_virtual(ANSWERS[name]()).receipt()  # type: ignore[arg-type]
    kept = json.loads(json.dumps(receipt))
    assert kept == receipt
    assert Answer.from_receipt(kept).receipt() == receipt
    by_key = json.loads(json.dumps(receipt, sort_keys=True))  # as a database gives it back
    assert Answer.from_receipt(by_key).receipt() == receipt


def test_why_a_step_was_skipped_stays_also_where_that_took_time() -> None:
    answer = run_virtual(ask(scripted()))
    outcomes = {**answer.outcomes, "cite": Skipped("'reply' made nothing", None, False, 0.0, 1.0, 2.0)}
    receipt = replace(answer, outcomes=outcomes).receipt()
    assert receipt["steps"]["cite"]["outcome"] == "skipped"
    assert receipt["skipped"] == {"cite": "'reply' made nothing"}
    kept = Answer.from_receipt(json.loads(json.dumps(receipt)))
    assert (kept.receipt(), kept.outcomes["cite"]) == (receipt, outcomes["cite"])


def test_what_the_turns_differ_in_is_in_their_receipts() -> None:
    of: dict[str, Answer] = {name: run_virtual(make()) for name, make in ANSWERS.items()}  # type: ignore[arg-type]
    assert {name: a.status for name, a in of.items() if a.status != "complete"} == {
        "paused": "paused",
        "partial": "partial",
        "cancelled": "partial",
        **dict.fromkeys(["failed", "failed by a foreign error", "no expert", "out of time"], "failed"),
    }
    assert of["degraded"].degraded == {"retrieve": "error", "suggest": "error", "recall": "timeout"}
    assert set(of["reviews failed"].degraded) == {"cite", "assess", "tally"}
    assert set(of["not saved"].degraded) == {"register", "save"}
    assert of["from the cache"].cached == ("retrieve", "suggest", "reply")
    assert of["read ahead"].prefilled.computed > 0
    assert set(of["sent twice"].hedges) == {"reply"}
    assert [row.call.status for row in of["sent twice"].cost.rows] == ["done", "discarded"]
    assert {name for name, o in of["switched off"].outcomes.items() if o.kind == "skipped"} >= {"retrieve", "suggest"}


@pytest.mark.parametrize("name", ["complete", "degraded", "partial", "failed", "sent twice", "edited"])
def test_what_a_receipt_holds_comes_back_as_it_was(name: str) -> None:
    answer = run_virtual(ANSWERS[name]())  # type: ignore[arg-type]
    brief, evidence = answer.brief, answer.evidence
    kept = Answer.from_receipt(answer.receipt(), question=QUESTION, brief=brief, evidence=evidence)
    lost = {"outcomes", "error"}  # see below
    for field in {f.name for f in fields(Answer)} - lost | {"code"}:
        assert getattr(kept, field) == getattr(answer, field), field
    assert {n: (o.kind, o.code, o.seconds) for n, o in kept.outcomes.items()} == {
        n: (o.kind, o.code, o.seconds) for n, o in answer.outcomes.items()
    }


@pytest.mark.parametrize(
    "wrong", [{}, {"version": RECEIPT_VERSION + 1}, {"version": None}, {"version": RECEIPT_VERSION, "steps": []}]
)
def test_what_is_no_receipt_is_refused(wrong: Any) -> None:
    with pytest.raises(WrongType):
        Answer.from_receipt(wrong)
