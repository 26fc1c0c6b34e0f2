"""``vital ask``: one question, answered as it comes. ``vital approvals``: the calls that wait for a decision, and
deciding them, which lets the rest of a turn run.

It stands alone because it loads the engine, which ``vital --help`` must not.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from vital_engine.engine import Engine
from vital_engine.modes import Finished, Token
from vital_engine.nouns import Answer, ApprovalDecision, Limits, Question
from vital_engine.nouns.codec import to_json as plain
from vital_engine.settings import Settings
from vital_engine.text.visible import arguments, exact, safe

from . import render, screen
from .terminal import FAILED, OK, code_of, show_log
from .timeline import time_line


async def ask(
    text: str,
    settings: Settings,
    *,
    mode: int,
    expert: str | None,
    changes: dict[str, Any],
    limits: Limits | None = None,
    as_json: bool,
    timeline: bool,
    sources: bool,
) -> int:
    """Ask, and print. Returns the exit code."""
    show_log(settings)
    async with Engine(settings) as app:
        for note in app.notes:
            print(f"note: {note}", file=sys.stderr)
        question = Question(
            text, settings.tenant, settings.user, expert=expert or settings.expert, limits=limits or Limits()
        )
        workflow = app.workflow(mode)
        answer: Answer | None = None
        async for event in workflow.stream(question, **changes):
            if isinstance(event, Token) and not as_json:
                print(safe(event.text), end="", flush=True)
            elif isinstance(event, Finished):
                answer = event.answer
        assert answer is not None  # a stream of a turn that was not cancelled ends in Finished
        if as_json:
            print(json.dumps(answer.receipt(), ensure_ascii=False, indent=2))
            return code_of(answer)
        print("\n" if answer.text else "")
        if sources:
            print(safe("\n".join(["Retrieved", *render.passages(answer.evidence)])), end="\n\n")
        print(safe(render.report(answer)))
        if timeline:
            print("\n" + time_line(answer))
        return code_of(answer)


async def show_approvals(settings: Settings, *, limit: int, as_json: bool) -> int:
    """What waits: calls without a decision, and turns that were decided but have not gone on."""
    async with Engine(settings, watchers=()) as app:
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
            lines = "\n      ".join(arguments(a.call.arguments).splitlines())
            print(f"  {a.id}  {a.status}  until {a.expires_at:%Y-%m-%d %H:%M} UTC")
            print(f"      {exact(a.call.tool)}: {a.call.effect.value}, {render.money(a.call.cost_usd)}\n      {lines}")
        if not turn.pending:
            print("  all decided: approve or reject one of them again, and the turn goes on")
    return OK


async def decide(approval: str, decision: ApprovalDecision, settings: Settings, *, as_json: bool) -> int:
    """Settle one call; when its turn has no other that waits, the rest of the turn runs, and is shown."""
    console = Console(highlight=False)
    async with Engine(settings) as app:
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
