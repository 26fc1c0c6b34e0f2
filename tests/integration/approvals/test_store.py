"""Approvals in the database: the same transitions, for all processes that share it, and for one tenant and user."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from vital_engine import Mode1ManualWorkflow, Mode3ChatManualWorkflow
from vital_engine.errors import Conflict, Expired, NotFound, Refused, StoreError
from vital_engine.modes import Decisions
from vital_engine.nouns import Approval, ApprovalDecision, Effect, Paused, Question, Scope, ToolResult
from vital_engine.store import Store, StoredApprovals, Turns
from vital_engine.store.plain import noun_from, noun_text

MINE = Scope("t1", "u1")
YES: Decisions = {"r1-1": "approve"}


async def row_of(store: Store, query: str) -> Any:
    async with store.transaction("t1") as conn:
        return await (await conn.execute(query.encode())).fetchone()


async def test_a_pause_outlives_the_process_and_is_read_back_as_it_was(services: Any, question: Question) -> None:
    before = services(Effect.KEYED_WRITE, retrieve=0.01, recall=RuntimeError("secret"))
    paused = await Mode1ManualWorkflow(before).execute(question)
    assert paused.status == "paused"
    after = services(Effect.KEYED_WRITE)
    turn = await after.approvals.look("r1", MINE)
    assert turn.paused.evidence == paused.evidence
    assert turn.paused.brief == paused.brief
    assert turn.approvals == paused.approvals
    assert turn.approvals[0].tool_call.effect is Effect.KEYED_WRITE
    answer = await Mode1ManualWorkflow(after).resume("r1", YES, scope=MINE)
    assert answer.status == "complete"
    assert answer.degraded == {}  # recall fails with what is now another service's; this one's memory is the store
    assert [c.port for c in after.calls if c.port in {"retrieve", "suggest", "recall"}] == []
    assert len([c for c in after.calls if c.port == "invoke"]) == 1


async def test_the_turn_is_paused_in_the_store_and_complete_afterwards(
    services: Any, question: Question, store: Store
) -> None:
    workflow = Mode1ManualWorkflow(services(Effect.EFFECT))
    await workflow.execute(question)
    assert (await Turns(store).show("r1", MINE)).line.status == "paused"
    answer = await workflow.resume("r1", YES)
    kept = await Turns(store).show("r1", MINE)
    assert (kept.line.status, kept.text) == ("complete", answer.text)
    assert kept.receipt is not None
    assert kept.receipt["approvals"][0]["by"] == "u1"
    assert kept.receipt["proposed"][0]["status"] == "done"
    assert kept.receipt["proposed"][0]["decided_at"].endswith("+00:00")
    assert await row_of(store, "select status, attempts, decided_by from approvals") == ("done", 1, "u1")


async def test_eight_clients_of_two_processes_approve_and_the_call_is_made_once(
    services: Any, question: Question
) -> None:
    ours, theirs = services(Effect.EFFECT, invoke=0.05), services(Effect.EFFECT, invoke=0.05)
    first, second = Mode1ManualWorkflow(ours), Mode1ManualWorkflow(theirs)
    await first.execute(question)
    clients = [w.resume("r1", YES, scope=MINE) for w in (first, second) for _ in range(4)]
    answers = await asyncio.gather(*clients)
    assert {a.status for a in answers} == {"complete"}
    assert len({(a.text, a.citations.items, a.cost.usd) for a in answers}) == 1
    calls = [c.port for s in (ours, theirs) for c in s.calls if c.port in {"invoke", "retrieve"}]
    assert sorted(calls) == ["invoke", "retrieve"]
    assert len(ours.prompts) + len(theirs.prompts) == 1


async def test_of_two_who_decide_differently_at_once_one_is_told(services: Any, question: Question) -> None:
    made = services(Effect.PURE)
    await Mode1ManualWorkflow(made).execute(question)
    book: Any = made.approvals
    decisions = [book.decide("r1", {"r1-1": ApprovalDecision(a)}, MINE, by=a) for a in ("approve", "reject") * 4]
    outcomes = await asyncio.gather(*decisions, return_exceptions=True)
    assert sum(isinstance(o, Conflict) for o in outcomes) == 4
    assert len({o.approvals[0].by for o in outcomes if not isinstance(o, Conflict)}) == 1


async def test_who_decides_waits_for_one_who_is_deciding(services: Any, question: Question, store: Store) -> None:
    made = services(Effect.PURE)
    await Mode1ManualWorkflow(made).execute(question)
    async with store.transaction("t1") as conn:
        await conn.execute("select from paused_turns where run_id = 'r1' for update")
        decision = {"r1-1": ApprovalDecision("approve")}
        deciding = asyncio.create_task(made.approvals.decide("r1", decision, MINE, by="u1"))
        await asyncio.sleep(0.1)
        assert not deciding.done()
    assert (await deciding).approvals[0].status == "approved"


async def test_what_is_anothers_is_not_found(services: Any, question: Question) -> None:
    made = services(Effect.PURE)
    workflow = Mode1ManualWorkflow(made)
    await workflow.execute(question)
    book: Any = made.approvals
    for scope in (Scope("t1", "u2"), Scope("t2", "u1")):
        for attempt in (
            book.look("r1", scope),
            book.decide("r1", {"r1-1": ApprovalDecision("approve")}, scope, by="x"),
            book.claim("r1", scope, seconds=5),
            book.find("r1-1", scope),
            workflow.resume("r1", YES, scope=scope),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert await book.pending(scope) == []
    assert [t.paused.question.run_id for t in await book.pending(MINE)] == ["r1"]
    assert (await book.find("r1-1", MINE)).paused.question.run_id == "r1"


async def test_a_claim_is_given_to_one_and_passes_on_when_its_lease_has_run_out(
    services: Any, question: Question
) -> None:
    made = services(Effect.KEYED_WRITE)
    await Mode1ManualWorkflow(made).execute(question)
    book: Any = made.approvals
    await book.decide("r1", {"r1-1": ApprovalDecision("approve")}, MINE, by="u1")
    first = await book.claim("r1", MINE, seconds=60)
    assert await book.claim("r1", MINE, seconds=0.2) is None
    assert await book.hold(first, seconds=0.05)
    await asyncio.sleep(0.1)
    second = await book.claim("r1", MINE, seconds=60)
    assert second.fence == first.fence + 1
    assert not await book.hold(first, seconds=5)
    with pytest.raises(Conflict):
        await book.start(first, "r1-1")
    approval, now = await book.start(second, "r1-1")
    assert (approval.status, now) == ("started", True)
    with pytest.raises(Conflict):
        await book.finish(first, "r1-1", ToolResult(approval.call, "done"))
    assert (await book.finish(second, "r1-1", ToolResult(approval.call, "done", "ok", {"n": 1}))).status == "done"
    assert (await book.start(second, "r1-1"))[1] is False
    with pytest.raises(NotFound):
        await book.start(second, "r1-9")


async def test_a_turn_that_has_ended_is_claimed_by_nobody(services: Any, question: Question) -> None:
    made = services(Effect.PURE)
    workflow, book = Mode1ManualWorkflow(made, lease_seconds=0.05), made.approvals
    await workflow.execute(question)
    answer = await workflow.resume("r1", YES)
    assert answer.status == "complete"
    await asyncio.sleep(0.1)  # the lease of the claim that it was resumed under has run out as well
    assert await book.claim("r1", MINE, seconds=5) is None
    assert (await book.look("r1", MINE)).receipt is not None
    again = await workflow.resume("r1", YES, scope=MINE)
    assert (again.text, [c.port for c in made.calls].count("invoke")) == (answer.text, 1)


async def test_time_to_decide_ends_by_the_databases_clock(services: Any, question: Question) -> None:
    made = services(Effect.PURE)
    workflow = Mode1ManualWorkflow(made, approval_seconds=0.05)
    await workflow.execute(question)
    await asyncio.sleep(0.06)
    assert [a.status for a in (await made.approvals.look("r1", MINE)).approvals] == ["expired"]
    with pytest.raises(Expired):
        await workflow.resume("r1", YES)
    answer = await workflow.resume("r1")
    assert answer.status == "complete"
    assert [c for c in made.calls if c.port == "invoke"] == []


async def test_a_pause_again_is_the_first_and_an_ended_turn_is_not_paused(services: Any, question: Question) -> None:
    made = services(Effect.PURE)
    workflow = Mode1ManualWorkflow(made)
    first = await workflow.execute(question)
    again = await workflow.execute(question)
    assert again.approvals == first.approvals
    await workflow.resume("r1", YES)
    turn = await made.approvals.look("r1", MINE)
    with pytest.raises(Refused):
        await made.approvals.pause(turn.paused, seconds=5)
    with pytest.raises(Refused):
        await made.approvals.pause(replace(turn.paused, question=replace(question, text="other")), seconds=5)
    assert await made.approvals.claim("r1", MINE, seconds=5) is None


async def test_one_key_is_never_two_calls(services: Any, question: Question, store: Store) -> None:
    made = services(Effect.KEYED_WRITE)
    await Mode1ManualWorkflow(made).execute(question)
    turn = await made.approvals.look("r1", MINE)
    stolen = replace(turn.paused, question=replace(question, run_id="r2"))
    with pytest.raises(StoreError):
        await made.approvals.pause(stolen, seconds=5)


async def test_a_pause_goes_with_its_conversation(services: Any, question: Question, store: Store) -> None:
    made = services(Effect.PURE)
    talk = replace(question, conversation="c1")
    await Mode3ChatManualWorkflow(made).execute(talk)
    await made.memory.delete("c1", MINE)
    with pytest.raises(NotFound):
        await made.approvals.look("r1", MINE)
    assert await row_of(store, "select count(*) from approvals") == (0,)


async def test_what_was_kept_is_read_only_in_its_form(services: Any, question: Question, store: Store) -> None:
    made = services(Effect.PURE)
    await Mode1ManualWorkflow(made).execute(question)
    for state in ('{"version": 2, "value": {}}', '{"version": 1, "value": {"mode": "one"}}', "[]"):
        async with store.transaction("t1") as conn:
            await conn.execute("update paused_turns set state = %s", [state])
        with pytest.raises(StoreError):
            await StoredApprovals(store).look("r1", MINE)


async def test_the_written_form_is_read_back_equal(services: Any, question: Question) -> None:
    import json

    made = services(Effect.EFFECT, Effect.READ)
    await Mode1ManualWorkflow(made, profile="sequential").execute(question)
    turn = await made.approvals.look("r1", MINE)
    assert noun_from(Paused, json.loads(noun_text(turn.paused))) == turn.paused
    for approval in turn.approvals:
        assert noun_from(Approval, json.loads(noun_text(approval))) == approval
