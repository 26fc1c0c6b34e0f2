"""What is counted and logged of decisions."""

from __future__ import annotations

import asyncio
from typing import Any

from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow
from vital_engine.flow import run_virtual
from vital_engine.modes import Decisions
from vital_engine.monitoring import log_turn, registry
from vital_engine.nouns import Effect
from vital_engine.testing import scripted


def counted() -> dict[tuple[str, ...], float]:
    samples = [s for family in registry.collect() if family.name == "vital_approvals" for s in family.samples]
    return {
        (s.labels["mode"], s.labels["decision"], s.labels["by"]): s.value for s in samples if "created" not in s.name
    }


def grown(work: Any) -> dict[tuple[str, ...], float]:
    before = counted()
    run_virtual(work)
    return {key: value - before.get(key, 0) for key, value in counted().items() if value != before.get(key, 0)}


def test_each_decision_is_counted_once_when_its_turn_has_ended(question: Any, menu_of: Any) -> None:
    suggestions = menu_of(Effect.PURE, Effect.READ, Effect.KEYED_WRITE)
    workflow = Mode1ManualWorkflow(scripted(suggest=(0.0, suggestions)))
    said: Decisions = {"call-1": "approve", "call-2": ("reject", "no"), "call-3": ("edit", {"to": "x"})}
    assert grown(workflow.execute(question)) == {}
    assert grown(workflow.resume("r1", said)) == {
        ("1", "approved", "person"): 1,
        ("1", "rejected", "person"): 1,
        ("1", "edited", "person"): 1,
    }
    assert grown(workflow.resume("r1", said)) == {}

    async def too_late() -> None:
        other = Mode1ManualWorkflow(scripted(), approval_seconds=5)
        await other.execute(question)
        await asyncio.sleep(5)
        await other.resume("r1")

    assert grown(too_late()) == {("1", "expired", "nobody"): 1}


def test_the_policys_decisions_are_counted(question: Any, menu_of: Any) -> None:
    services = scripted(suggest=(0.0, menu_of(Effect.PURE, Effect.EFFECT)))
    decided = grown(Mode2AutomaticWorkflow(services).execute(question))
    assert decided == {("2", "approved", "policy"): 1, ("2", "rejected", "policy"): 1}


def test_a_person_s_words_and_arguments_are_not_logged(question: Any, menu_of: Any) -> None:
    import io
    import json

    from vital_engine.monitoring.logs import configure

    out = io.StringIO()
    writer = configure("json", "info", out)
    services = scripted(suggest=(0.0, menu_of(Effect.PURE, Effect.EFFECT)), invoke=OSError("down"))
    workflow = Mode1ManualWorkflow(services, watchers=[log_turn])
    run_virtual(workflow.execute(question))
    run_virtual(workflow.resume("r1", {"call-1": ("reject", "patient Smith"), "call-2": "approve"}))
    run_virtual(Mode2AutomaticWorkflow(services, watchers=[log_turn]).execute(question))
    writer.stop()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    decided = [(r["mode"], r["decision"], r["by"], "reason" in r) for r in lines if r["event"] == "call decided"]
    assert decided == [
        (1, "rejected", "person", False),
        (1, "approved", "person", False),
        (2, "approved", "policy", True),
        (2, "rejected", "policy", True),
    ]
    assert [(r["mode"], r["reason"]) for r in lines if r["event"] == "call failed"] == [
        (1, "outcome_unknown"),
        (2, "error"),
    ]
    assert "Smith" not in out.getvalue()
    assert "board" not in out.getvalue()
