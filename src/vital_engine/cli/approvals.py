"""``vital approvals``: the calls that wait for a decision, and deciding them."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

from vital_engine.answer import Answer
from vital_engine.app import open_app
from vital_engine.modes import Finished, Token
from vital_engine.nouns import ApprovalDecision
from vital_engine.receipt import as_json as plain
from vital_engine.settings import Settings
from vital_engine.visible import arguments, exact, safe

from . import render, screen
from .exits import FAILED, OK, code_of


async def show_approvals(settings: Settings, *, limit: int, as_json: bool) -> int:
    """What waits: calls without a decision, and turns that were decided but have not gone on."""
    async with open_app(settings, watchers=()) as app:
        turns = await app.approvals.pending(app.scope(), limit=limit)
    if as_json:
        rows = [plain(a) | {"question": t.paused.question.text} for t in turns for a in t.approvals]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return OK
    if not turns:
        print("Nothing waits for a decision.")
    for turn in turns:
        print(safe(render.shorten(turn.paused.question.text)), f"(run {turn.paused.question.run_id})")
        for a in turn.approvals:
            lines = "\n      ".join((*arguments(a.call.arguments).splitlines(), *render.cautions(a.call)))
            print(f"  {a.id}  {a.status}  until {a.expires_at:%Y-%m-%d %H:%M} UTC")
            print(f"      {exact(a.call.tool)}: {a.call.effect.value}, {render.money(a.call.cost_usd)}\n      {lines}")
        if not turn.pending:
            print("  all decided: approve or reject one of them again, and the turn goes on")
    return OK


async def decide(approval: str, decision: ApprovalDecision, settings: Settings, *, as_json: bool) -> int:
    """Settle one call; when its turn has no other that waits, the rest of the turn runs, and is shown."""
    console = Console(highlight=False)
    async with open_app(settings) as app:
        found = await app.approvals.find(approval, app.scope())
        workflow = app.workflow(found.paused.mode)
        turn = await workflow.start_resumed(found.paused.question.run_id, {approval: decision}, scope=app.scope())
        answer: Answer | None = None
        words = screen.Words(console)
        async for event in turn.events.reader():
            if isinstance(event, Token) and not as_json:
                words.feed(event.text)
            elif isinstance(event, Finished):
                answer = event.answer
        if answer is None:
            await turn.answer()  # raises what broke it
            return FAILED
    if as_json:
        print(json.dumps(answer.receipt(), ensure_ascii=False, indent=2))
        return code_of(answer)
    words.close()
    if answer.status == "paused":
        console.print(Text(f"Decided. {answer.warnings[-1]}"))
        return OK
    if not any(isinstance(event, Token) for event in turn.events.items):  # it was answered before
        words.feed(answer.text)
        words.close()
    console.print()
    console.print(Text(safe(render.report(answer))), soft_wrap=True)
    return code_of(answer)
