"""What a user writes, wrong: both checkers refuse each marked line, and no other. Never run; see test_typing.py."""

from __future__ import annotations

from vital_engine import Answer, Citation, Engine, Limits, Mode1ManualWorkflow, Mode2AutomaticWorkflow, Question, tool
from vital_engine.testing import scripted

QUESTION = Question("Why?", tenant="t", user="u")
SERVICES = scripted()

scripted(rply=3)  # wrong: misspelt
scripted(retrieve="slow")  # wrong: no such word
Question("Why?", tenant="t")  # wrong: no user
Question("Why?", tenant="t", user="u", limits=5)  # wrong: no limits
Limits(second=5)  # wrong: misspelt
Citation(1, "verifed", 0)  # wrong: misspelt verdict
Mode2AutomaticWorkflow(None)  # wrong: no services
Mode2AutomaticWorkflow(SERVICES, enable_ragg=True)  # wrong: misspelt
Mode2AutomaticWorkflow(SERVICES, turn_timeout_ms="soon")  # wrong: no number
Mode2AutomaticWorkflow(SERVICES, profile="fast")  # wrong: no such profile


@tool(effect="raed")  # wrong: misspelt effect
def looked_up(code: str) -> str:
    """Look up."""
    return code


async def workflows() -> None:
    workflow = Mode2AutomaticWorkflow(SERVICES)
    await workflow.execute("Why?")  # wrong: no question
    await workflow.execute(QUESTION, profle="dataflow")  # wrong: misspelt
    await Mode1ManualWorkflow(SERVICES).resume("x", {"id": "aprove"})  # wrong: misspelt
    await Mode1ManualWorkflow(SERVICES).resume("x", {"id": ("edit", "5 mg")})  # wrong: no arguments


async def engines() -> None:
    async with Engine() as engine:
        await engine.ask("Why?", mode=5)  # wrong: no such mode
        await engine.ask("Why?", enable_ragg=True)  # wrong: misspelt
        await engine.ask("Why?", limits={"seconds": 5})  # wrong: no limits
        engine.chat(mode=2)  # wrong: no conversation
        answer: Answer = engine.ask("Why?")  # wrong: not awaited
        print(answer.txt)  # wrong: misspelt
        async for event in engine.stream("Why?"):
            if event.kind == "token":
                print(event.answer)  # wrong: a token has none
        engine.ask_sync("Why?", profile="fast")  # wrong: no such profile
