"""``vital ask``: one question, answered as it comes."""

from __future__ import annotations

import json
import sys
from typing import Any

from vital_engine.answer import Answer
from vital_engine.app import open_app
from vital_engine.modes import Finished, Token
from vital_engine.nouns import Limits, Question
from vital_engine.settings import Settings
from vital_engine.visible import safe

from . import render
from .exits import code_of
from .terminal import show_log
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
    async with open_app(settings) as app:
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
