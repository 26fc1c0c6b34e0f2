"""A whole engine that is closed and opened again between a pause and its decision; its own toolbox and its own tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from vital_engine import Question
from vital_engine.engine import Engine
from vital_engine.errors import InvalidArguments, ToolError
from vital_engine.nouns import Effect, Expert, ToolCall
from vital_engine.services.tools import CallKey, Reading, ToolArgumentValidator, Toolbox, tool
from vital_engine.settings import Settings
from vital_engine.store.embedded import EmbeddedServer

QUESTION = Question("Please order 3 kits.", "local", "local", conversation="c1", expert="buyer")
BUYER = Expert("buyer", "Buyer", "Orders what is needed.", "You order what is needed.")  # may use every tool


class Shop:
    """Where kits are ordered: one order for each key, however often it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.orders: dict[str, int] = {}

    def app_state(self, words: str = "Order kits from the shop.") -> Any:
        async def order(kits: int, key: CallKey) -> str:
            self.told.append(key)
            self.orders.setdefault(key, kits)
            return f"ordered {kits}"

        order.__doc__ = words
        reads = lambda text: (Reading({"kits": 3}),) if "kits" in text else ()  # noqa: E731
        return tool(effect=Effect.KEYED_WRITE, reads=reads)(order)


@pytest.fixture
def engine(database_server: EmbeddedServer, database: str, tmp_path: Path) -> Any:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Engine]:
        url = database_server.url(database=database)
        async with Engine(Settings(home=tmp_path, database_url=url, embedder="none"), watchers=()) as app:
            await app.experts.add(BUYER, app.scope(), replace=True)
            yield app

    return opened


@pytest.mark.parametrize("mode", [1, 3])
async def test_a_pause_survives_a_restart_and_its_call_is_made_once(engine: Any, mode: int) -> None:
    shop = Shop()
    async with engine() as app:
        app.toolbox.add(shop.app_state())
        paused = await app.workflow(mode).execute(QUESTION)
        assert paused.status == "paused"
        (approval,) = paused.approvals
        assert (approval.call.tool, approval.call.effect) == ("order", Effect.KEYED_WRITE)
    assert shop.told == []
    async with engine() as app:
        app.toolbox.add(shop.app_state())
        (waiting,) = await app.approvals.pending(app.scope())
        assert waiting.approvals == paused.approvals
        answer = await app.workflow(mode).resume(paused.run_id, {approval.id: "approve"})
        assert (answer.status, [f.text for f in answer.tool_results.results]) == ("complete", ["ordered 3"])
        assert answer.outcomes["retrieve"] == paused.outcomes["retrieve"]
    async with engine() as app:
        again = await app.workflow(mode).resume(paused.run_id, {approval.id: "approve"})
        assert (again.text, again.citations, again.cost) == (answer.text, answer.citations, answer.cost)
        receipt = (await app.turns.show(paused.run_id, app.scope())).receipt
        assert receipt is not None
        assert receipt["proposed"][0]["attempts"] == 1
    assert shop.told == [approval.key]


async def test_a_tool_that_was_changed_meanwhile_is_not_called(engine: Any) -> None:
    shop = Shop()
    async with engine() as app:
        app.toolbox.add(shop.app_state())
        paused = await app.workflow(1).execute(QUESTION)
    async with engine() as app:
        app.toolbox.add(shop.app_state("Order kits, and pay for them."))
        answer = await app.workflow(1).resume(paused.run_id, {paused.approvals[0].id: "approve"})
    assert answer.status == "complete"
    assert [f.status for f in answer.tool_results.results] == ["void"]
    assert shop.told == []


async def test_in_the_automatic_modes_a_keyed_write_obeys_the_policy_and_says_why(engine: Any) -> None:
    shop = Shop()
    async with engine() as app:
        app.toolbox.add(shop.app_state())
        for mode in (2, 4):
            answer = await app.workflow(mode).execute(QUESTION, never_automatic=("order",))
            (decision,) = answer.consent.decisions
            assert (decision.approved, decision.by) == (False, "policy")
            assert "a person must approve it" in decision.reason
            stored = await app.turns.show(answer.run_id, app.scope())
            assert stored.receipt is not None
            assert stored.receipt["approvals"][0]["reason"] == decision.reason
    assert shop.told == []


async def test_a_call_is_vetted_against_its_tool_as_it_is_now() -> None:
    box = Toolbox([Shop().app_state()])
    argument_validator = ToolArgumentValidator(box)
    call = ToolCall("c", "order", {"kits": 3}, definition=box["order"].definition)
    assert (await argument_validator.validate(call)).arguments == {"kits": 3}
    with pytest.raises(InvalidArguments):
        await argument_validator.validate(ToolCall("c", "order", {"kits": "many"}))
    with pytest.raises(ToolError):
        await argument_validator.validate(ToolCall("c", "order", {"kits": 3}, definition="0" * 64))
    with pytest.raises(ToolError):
        await argument_validator.validate(ToolCall("c", "no_such_tool", {}))
