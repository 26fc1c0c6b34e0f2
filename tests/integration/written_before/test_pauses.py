"""Turns that an earlier version paused: each is decided, or gone on with, as if nothing had happened in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from vital_engine.errors import Conflict, Expired
from vital_engine.modes import Decisions
from written_before import RUNS, Shop, account, engine, events, http, question_of, said

both = pytest.mark.parametrize("mode", [1, 3])


def calls(run_id: str) -> list[str]:
    """The ids of a turn's calls."""
    return [each["id"] for each in RUNS[run_id]["approvals"]]


def made(answer: Any) -> list[tuple[str, str, str]]:
    return [(each["tool"], each["status"], each["text"]) for each in said(answer.receipt())["calls_made"]]


def test_the_tools_are_defined_as_they_were(shop: Shop) -> None:
    """Or else what was approved is void: a definition's hash is part of what is written down."""
    assert {each.name: each.definition for each in shop.tools()} == account()["definitions"]


@both
@pytest.mark.parametrize(
    ("kind", "decision", "called", "found"),
    [
        ("approve", "approve", [("order", 3)], [("order", "done", "ordered 3")]),
        ("reject", ("reject", "we have enough"), [], []),
        ("edit", ("edit", {"kits": 7}), [("order", 7)], [("order", "done", "ordered 7")]),
    ],
)
async def test_a_pending_call_is_decided_once(
    home: Path, shop: Shop, mode: int, kind: str, decision: Any, called: Any, found: Any
) -> None:
    run_id = f"m{mode}-{kind}"
    (call,) = RUNS[run_id]["approvals"]
    async with engine(home, shop) as app:
        paused = await app.workflow(mode).execute(question_of(RUNS[run_id]))  # asked once more
        assert paused.status == "paused"
        answer = await app.workflow(mode).resume(run_id, {call["id"]: decision})
        assert (answer.status, made(answer)) == ("complete", found)
        assert "3 test kits" in answer.text and answer.citations
        assert answer.outcomes["retrieve"].seconds == paused.outcomes["retrieve"].seconds  # it was not run again
    async with engine(home, shop) as app:
        again = await app.workflow(mode).resume(run_id, {call["id"]: decision})
        assert said(again.receipt()) == said(answer.receipt())
        with pytest.raises(Conflict):
            await app.workflow(mode).resume(run_id, {call["id"]: "reject" if called else "approve"})
    assert shop.calls == called
    assert shop.keys == [call["key"]] * len(called)


@both
async def test_a_pending_call_is_approved_over_http(home: Path, shop: Shop, mode: int) -> None:
    run_id = f"m{mode}-http"
    (call,) = calls(run_id)
    async with engine(home, shop) as app, http(app) as client:
        shown = (await client.get(f"/v1/approvals/{call}")).json()
        assert (shown["tool"], shown["arguments"], shown["effect"]) == ("order", {"kits": 3}, "keyed_write")
        settled = await client.post(f"/v1/approvals/{call}", json={"decision": "approve"})
        assert settled.status_code == 200 and settled.json()["runs_on"]
        happened = events((await client.get(f"/v1/turns/{run_id}/events")).text)
        assert happened[-1]["event"] == "finished" and happened[-1]["data"]["turn"]["status"] == "complete"
    assert shop.calls == [("order", 3)]


@both
async def test_a_turn_that_was_partly_decided_waits_for_the_rest_alone(home: Path, shop: Shop, mode: int) -> None:
    run_id = f"m{mode}-partly"
    first, second, third, open_one = calls(run_id)
    async with engine(home, shop) as app:
        others: list[Decisions] = [{first: "reject"}, {second: "approve"}, {third: ("edit", {"kits": 9})}]
        for other in others:
            with pytest.raises(Conflict):
                await app.workflow(mode).resume(run_id, other)
        assert shop.calls == []
        answer = await app.workflow(mode).resume(run_id, {open_one: "approve"})
    assert answer.status == "complete"
    assert sorted(shop.calls) == [("notify", "board"), ("order", 1), ("order", 6)]
    decided = said(answer.receipt())["decisions"]
    assert [each["approved"] for each in decided] == [True, False, True, True]
    assert {each["by"] for each in decided} == {"local"}


@both
async def test_a_turn_that_was_decided_and_then_left_is_gone_on_with(home: Path, shop: Shop, mode: int) -> None:
    run_id = f"m{mode}-decided"
    async with engine(home, shop) as app:
        answer = await app.workflow(mode).resume(run_id, {})
    assert answer.status == "complete"
    assert sorted(shop.calls) == [("notify", "sponsor"), ("order", 2)]


@both
async def test_what_has_expired_cannot_be_approved_and_is_not_called(home: Path, shop: Shop, mode: int) -> None:
    run_id = f"m{mode}-expired"
    (call,) = calls(run_id)
    async with engine(home, shop) as app, http(app) as client:
        with pytest.raises(Expired):
            await app.workflow(mode).resume(run_id, {call: "approve"})
        assert (await client.post(f"/v1/approvals/{call}", json={"decision": "approve"})).status_code == 410
        await client.get(f"/v1/turns/{run_id}/events")  # the 410 lets its turn go on
        turn = (await client.get(f"/v1/turns/{run_id}")).json()
    assert (turn["status"], "3 test kits" in turn["text"]) == ("complete", True)
    assert shop.calls == []


@both
async def test_an_effect_that_was_cut_is_not_known_and_not_repeated(home: Path, shop: Shop, mode: int) -> None:
    async with engine(home, shop) as app:
        answer = await app.workflow(mode).resume(f"m{mode}-cut-effect", {})
    assert (answer.status, [each[:2] for each in made(answer)]) == ("complete", [("notify", "outcome_unknown")])
    assert any("not known" in warning for warning in answer.warnings)
    assert shop.calls == []


async def test_a_keyed_write_that_was_cut_is_made_again_with_its_key(home: Path, shop: Shop) -> None:
    (call,) = RUNS["m1-cut-keyed"]["approvals"]
    async with engine(home, shop) as app:
        answer = await app.workflow(1).resume("m1-cut-keyed", {})
    assert (answer.status, made(answer)) == ("complete", [("order", "done", "ordered 3")])
    assert (shop.calls, shop.keys) == ([("order", 3)], [call["key"]])


@pytest.mark.parametrize("run_id", ["m1-answered", "m3-answered", "m1-lapsed", "m1-tool-failed", "m1-cut-known"])
async def test_a_turn_that_was_answered_gives_its_answer_again_from_what_was_kept(
    home: Path, shop: Shop, run_id: str
) -> None:
    run = RUNS[run_id]
    async with engine(home, shop) as app:
        answer = await app.workflow(run["mode"]).resume(run_id, {})
        assert said(answer.receipt()) == run["said"]
        repeated = await app.workflow(run["mode"]).execute(question_of(run))
        assert (repeated.run_id, repeated.text) == (run_id, run["said"]["text"])
    assert shop.calls == []


async def test_a_message_that_waited_behind_a_pause_is_there_and_is_answered_after_it(home: Path, shop: Shop) -> None:
    queued, (call,) = RUNS["m3-queued"], calls("m3-pending")
    async with engine(home, shop) as app, http(app) as client:
        talk = (await client.get("/v1/conversations/talk-pending")).json()
        assert talk["turns"][-1]["question"] == queued["question"]
        # Its process died: its client sends it once more.
        waiting = asyncio.create_task(app.workflow(3).execute(question_of(queued)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await app.workflow(3).resume("m3-pending", {call: "approve"})
        answer = await waiting
        assert answer.status == "complete" and "central laboratory" in answer.text
        talk = (await client.get("/v1/conversations/talk-pending")).json()
        assert [turn["run_id"] for turn in talk["turns"]] == ["m3-before", "m3-pending", "m3-queued"]
        assert all(turn["text"] for turn in talk["turns"])
