"""What a user writes, right: both checkers accept it, and know what comes out. Never run; see test_typing.py."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, assert_type

from vital_engine import (
    Answer,
    ApprovalDecision,
    Citation,
    Engine,
    Finished,
    Limits,
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Question,
    Settings,
    Token,
    tool,
)
from vital_engine.flow import Outcome, Reason
from vital_engine.nouns import Receipt
from vital_engine.testing import ScriptedServices, run_virtual, scripted

QUESTION = Question("Why?", tenant="t", user="u", limits=Limits(seconds=5, cost_usd=Decimal("0.01")))


@tool(effect="read")
async def half_life_left(dose_mg: float, half_lives: int) -> float:
    """What is left of a dose."""
    return dose_mg * 0.5**half_lives


async def ask() -> None:
    async with Engine(Settings(), tools=[half_life_left]) as engine:
        answer = await engine.ask("Why?", mode=1, expert="regulatory", parallel_timeout_ms=2000, profile="tiers")
        assert_type(answer, Answer)
        assert_type(answer.status, Literal["complete", "paused", "partial", "failed"])
        assert_type(answer.degraded, Mapping[str, Reason])
        assert_type(answer.receipt(), Receipt)
        assert_type(answer.cost.usd, Decimal | None)
        resumed = await engine.resume(answer, {"call": "approve", "other": ("reject", "not needed")})
        assert_type(resumed, Answer)
        async for event in engine.stream("Why?", hedging=False):
            if event.kind == "token":
                assert_type(event, Token)
                print(event.text)
            elif event.kind == "finished":
                assert_type(event, Finished)
                print(event.answer)
        chat = engine.chat(mode=3)
        assert_type(await chat.ask("And for children?"), Answer)
    with Engine() as engine:
        assert_type(engine.ask_sync("Why?", never_automatic=("half_life_left",)), Answer)


async def workflows() -> None:
    services = scripted(retrieve=0.5, reply=(1.5, "text"), cite="hang", assess=RuntimeError("down"))
    assert_type(services, ScriptedServices)
    workflow = Mode2AutomaticWorkflow(services, enable_rag=True, config={"profile": "dataflow"})
    answer = run_virtual(workflow.execute(QUESTION, turn_timeout_ms=500))
    assert_type(answer, Answer)
    manual = Mode1ManualWorkflow(services)
    await manual.resume("run", {"id": ("edit", {"dose_mg": 5.0}), "id2": ApprovalDecision("reject", "why")})
    for name, outcome in answer.outcomes.items():
        print(name, outcome.seconds, outcome.error, outcome.kind)
    assert_type(answer.citations[0], Citation)
    assert_type(answer.citations[0].verdict, Literal["verified", "weak", "mismatch", "dangling"])


def told(outcome: Outcome[object]) -> str:
    return outcome.reason or outcome.kind
