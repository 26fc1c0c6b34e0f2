"""Scripted services on the real store: what outlives a process is real, and the model takes no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vital_engine.nouns import Effect, Question, ToolCall, ToolSuggestions
from vital_engine.store import Conversations, Store, StoredApprovals, StoredConversationLock, Summaries, Turns
from vital_engine.testing import ScriptedServices, scripted

Make = Callable[..., ScriptedServices]


def suggestions(run_id: str, *effects: Effect) -> ToolSuggestions:
    calls = [
        ToolCall(f"{run_id}-{i}", "send_report", {"to": "board", "dose": 1.0, "note": "ä\u202e\0"}, "asked", effect=e)
        for i, e in enumerate(effects, start=1)
    ]
    return ToolSuggestions(tuple(calls))


class Suggesting:
    """Proposes calls whose ids are the run's own, as a real suggester's are."""

    def __init__(self, *effects: Effect) -> None:
        self.effects = effects

    async def suggest(self, question: Question, brief: Any) -> ToolSuggestions:
        return suggestions(question.run_id, *self.effects)


def services_on(store: Store, *effects: Effect, **script: Any) -> ScriptedServices:
    turns, conversations = Turns(store), Conversations(store, turns=4, tokens=400)
    return replace(
        scripted(tokens=24, sentences=3, **script),
        tool_suggester=Suggesting(*effects),
        memory=conversations,
        turns=turns,
        approvals=StoredApprovals(store),
        conversation_lock=StoredConversationLock(store),
        summarizer=Summaries(store, conversations, tokens=200),
    )


@pytest.fixture
def question() -> Question:
    return Question("Does it lower HbA1c?", "t1", "u1", run_id="r1")


@pytest.fixture
def services(store: Store) -> Make:
    def make(*effects: Effect, **script: Any) -> ScriptedServices:
        return services_on(store, *effects, **script)

    return make
