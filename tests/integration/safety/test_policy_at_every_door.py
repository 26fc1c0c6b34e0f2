"""Each rule of the policy refuses through each door, in both automatic modes, and its reason is in the receipt."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from vital_engine.nouns import Brief, Effect, Limits, Question
from vital_engine.testing.scripted import EXPERT

from .conftest import Clinic, Door, Foreign

QUESTION = Question("Please look at record, number 7.", "t1", "u1")
PERSON = ": a person must approve it"

#: rule -> the tool, the settings, the expert, the limits, what is proposed; and what is said
RULES: dict[str, tuple[dict[str, Any], str]] = {
    "allow-list": ({"expert": {"tools": ("other",)}}, "scripted may not use it"),
    "never automatic": ({"settings": {"never_automatic": ("record",)}}, f"on the never-automatic list{PERSON}"),
    "effect": ({"tool": {"effect": Effect.EFFECT}}, f"it has effects outside of the engine{PERSON}"),
    "consent": ({"tool": {"consent": True}}, f"its tool demands consent to each call{PERSON}"),
    "taint": ({"arguments": {"number": 8.0}}, f"its arguments do not come from the question alone{PERSON}"),
    "ceiling": (
        {"settings": {"tool_cost_ceiling_usd": Decimal("0.02")}},
        "it costs $0.03, more than the $0.02 that are left of this turn's ceiling",
    ),
    "question's ceiling": (
        {"limits": {"cost_usd": Decimal("0.01")}},
        "it costs $0.03, more than the $0.01 that are left of this turn's ceiling",
    ),
}


class Named:
    """Fulfils the port Roster: one expert."""

    def __init__(self, **more: Any) -> None:
        self.expert = replace(EXPERT, **more)

    async def route(self, question: Question, *, mode: int) -> Brief:
        return Brief(self.expert)


async def decisions(door: Door, mode: int, broken: dict[str, Any], calls: int = 1) -> tuple[list[Any], Clinic]:
    made = Clinic()
    made.add("record", **{"cost_usd": "0.03", **broken.get("tool", {})})
    tool_suggester = Foreign(broken.get("arguments", {"number": 7.0}), calls=calls)
    services = made.services(tool_suggester=tool_suggester, router=Named(**broken.get("expert", {})))
    question = replace(QUESTION, limits=Limits(**broken.get("limits", {})))
    receipt = await door(services, question, mode=mode, **broken.get("settings", {}))
    assert receipt["status"] == "complete"
    return receipt["approvals"], made


@pytest.mark.parametrize("mode", [2, 4])
@pytest.mark.parametrize("rule", RULES)
async def test_each_rule_refuses(door: Door, mode: int, rule: str) -> None:
    broken, said = RULES[rule]
    (decision,), made = await decisions(door, mode, broken)
    assert (decision["approved"], decision["by"], decision["reason"]) == (False, "policy", said)
    assert made.asked == []


@pytest.mark.parametrize("mode", [2, 4])
async def test_what_breaks_none_is_called_until_the_ceiling_is_spent(door: Door, mode: int) -> None:
    found, made = await decisions(door, mode, {}, calls=5)
    assert [d["approved"] for d in found] == [True, True, True, False, False]
    assert found[0]["reason"] == "allowed to scripted, read, within $0.10 for this turn"
    assert found[3]["reason"] == "it costs $0.03, more than the $0.01 that are left of this turn's ceiling"
    assert made.asked == [("record", 7.0)] * 3


async def test_all_rules_broken_at_once(door: Door) -> None:
    together: dict[str, Any] = {}
    for change, _ in RULES.values():
        for what, value in change.items():
            together[what] = {**together.get(what, {}), **value}
    (decision,), made = await decisions(door, 2, together)
    assert (decision["approved"], decision["reason"], made.asked) == (False, RULES["allow-list"][1], [])
