"""What these tests share: the question, the seed's times, and proposals of each effect."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from seed_profile import SEED
from vital_engine.nouns import Effect, Question, ToolCall, ToolSuggestions

QUESTION = Question(text="Does the scripted drug lower HbA1c?", tenant="t1", user="u1", run_id="r1")


@pytest.fixture
def question() -> Question:
    return QUESTION


@pytest.fixture
def seed() -> dict[str, Any]:
    return dict(SEED)


def tool_call(effect: Effect = Effect.PURE, call_id: str = "call-1", **more: Any) -> ToolCall:
    return ToolCall(call_id, "send_report", {"to": "board", "copies": 2}, "asked for", 1.0, Decimal(0), effect, **more)


@pytest.fixture
def menu_of() -> Any:
    def make(*effects: Effect) -> ToolSuggestions:
        return ToolSuggestions(tuple(tool_call(effect, f"call-{i}") for i, effect in enumerate(effects, start=1)))

    return make
