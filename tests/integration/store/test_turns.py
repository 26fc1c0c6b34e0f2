"""A turn is begun once, kept once, and shown to whom it belongs."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vital_engine.errors import InvalidQuestion, NotFound, Refused, StoreError
from vital_engine.nouns import Call, Citation, Citations, Cost, LedgerRow, Question, Scope, TurnRecord, Usage
from vital_engine.ports import TurnStore
from vital_engine.store import Store, Turns
from vital_engine.store.embedded import EmbeddedServer
from vital_engine.store.migrate import ADMIN

ANNA = Scope("clinic", "anna")


def asked(run_id: str = "run-1", **changes: Any) -> Question:
    question = Question("Does it help?", tenant="clinic", user="anna", conversation="c1", run_id=run_id)
    return dataclasses.replace(question, **changes)


def kept(run_id: str = "run-1", **changes: Any) -> TurnRecord:
    question = changes.pop("question", asked(run_id))
    usage = Usage(input=1200, output=80, cached=1000, reasoning=20)
    rows = (
        LedgerRow(Call(f"{run_id}-reply", "reply", "m-1", "p", usage), Decimal("0.0031400"), "list of 2026-11"),
        LedgerRow(Call(f"{run_id}-title", "title", "m-2", "p", None, "failed"), None),
        LedgerRow(Call(f"{run_id}-judge", "judge", "m-1", "p", dataclasses.replace(usage, estimated=True)), Decimal(0)),
    )
    cited = Citation(1, "verified", 0, "p1", "d1", "Title", 3, 10, 20, "the quote", "file.pdf", 0.75, ("checked",))
    turn = TurnRecord(
        run_id=run_id,
        question=question,
        mode=2,
        status="complete",
        text="It helps [1].",
        expert="cardiology",
        receipt={"version": 2, "steps": {"retrieve": {"outcome": "done", "seconds": 0.5}}, "calls": [1, None, True]},
        citations=Citations((cited, Citation(9, "dangling", 0))),
        cost=Cost(rows),
        seconds=2.25,
    )
    return dataclasses.replace(turn, **changes)


@pytest.fixture
def turns(store: Store) -> Turns:
    return Turns(store)


async def test_it_fulfils_its_ports(turns: Turns) -> None:
    assert isinstance(turns, TurnStore) and isinstance(turns, TurnStore)


async def test_a_turn_comes_back_as_it_was_kept(turns: Turns) -> None:
    turn = kept()
    await turns.begin(turn.question, mode=2)
    running = await turns.show("run-1", ANNA)
    assert (running.line.status, running.receipt, running.line.seconds) == ("running", None, None)
    await turns.save(turn)
    shown = await turns.show("run-1", ANNA)
    assert (shown.text, shown.receipt) == (turn.text, turn.receipt)
    assert shown.citations == turn.citations
    assert shown.cost == turn.cost and shown.cost.at_least == Decimal("0.0031400") and shown.cost.usd is None
    assert str(shown.cost.rows[0].usd) == "0.0031400"
    line = shown.line
    assert (line.run_id, line.user, line.conversation, line.mode) == ("run-1", "anna", "c1", 2)
    assert (line.expert, line.question, line.status, line.seconds) == ("cardiology", "Does it help?", "complete", 2.25)
    assert line.begun_at.utcoffset() is not None and line.ended_at is not None and line.begun_at <= line.ended_at


async def test_what_could_not_be_looked_up_is_told_from_nothing_found(turns: Turns) -> None:
    await turns.save(kept(citations=Citations.missing(), cost=Cost.missing()))
    shown = await turns.show("run-1", ANNA)
    assert shown.citations.failed and shown.cost.failed and shown.cost.usd is None


async def test_a_turn_that_was_never_begun_is_kept_all_the_same(turns: Turns) -> None:
    await turns.save(kept())
    line = (await turns.show("run-1", ANNA)).line
    assert line.ended_at is not None and (line.ended_at - line.begun_at).total_seconds() == pytest.approx(2.25)


async def test_keeping_twice_keeps_the_first(turns: Turns) -> None:
    await turns.save(kept())
    first = await turns.show("run-1", ANNA)
    await turns.save(kept())
    assert await turns.show("run-1", ANNA) == first


@pytest.mark.parametrize(
    "change",
    [
        {"text": "It harms [1]."},
        {"status": "partial"},
        {"receipt": {}},
        {"seconds": 2.5},
        {"citations": Citations()},
        {"cost": Cost()},
        {"expert": "oncology"},
        {"question": asked(text="Something else?")},
        {"question": asked(user="bert")},
        {"question": asked(conversation=None)},
    ],
)
async def test_other_content_for_a_kept_run_is_an_error_and_changes_nothing(
    turns: Turns, change: dict[str, Any]
) -> None:
    await turns.save(kept())
    first = await turns.show("run-1", ANNA)
    with pytest.raises(StoreError, match="other content") as caught:
        await turns.save(kept(**change))
    assert not caught.value.retryable
    assert await turns.show("run-1", ANNA) == first


async def test_a_run_that_was_begun_with_another_question_is_not_kept(turns: Turns) -> None:
    await turns.begin(asked(), mode=2)
    with pytest.raises(StoreError, match="other content"):
        await turns.save(kept(question=asked(text="Something else?")))
    assert (await turns.show("run-1", ANNA)).line.status == "running"


async def test_many_keep_the_same_run_at_once(turns: Turns, store: Store) -> None:
    await asyncio.gather(*(turns.save(kept()) for _ in range(8)))
    answers = await asyncio.gather(*(turns.save(kept(text=f"{n}")) for n in range(4)), return_exceptions=True)
    assert all(isinstance(a, StoreError) for a in answers)
    async with store.transaction("clinic") as conn:
        assert await (await conn.execute("select count(*) from ledger")).fetchone() == (3,)
        assert await (await conn.execute("select count(*) from citations")).fetchone() == (2,)


async def test_all_or_nothing(turns: Turns) -> None:
    """A ledger row whose call is booked already: the whole turn is refused, also its answer."""
    await turns.save(kept("run-1"))
    await turns.begin(asked("run-2"), mode=2)
    with pytest.raises(StoreError, match="UniqueViolation"):
        await turns.save(kept("run-2", cost=kept("run-1").cost))
    shown = await turns.show("run-2", ANNA)
    assert (shown.line.status, shown.text, shown.citations, shown.cost) == ("running", "", Citations(), Cost())


async def test_beginning_again_changes_nothing(turns: Turns) -> None:
    await turns.begin(asked(), mode=2)
    first = await turns.show("run-1", ANNA)
    await turns.begin(asked(), mode=2)
    assert await turns.show("run-1", ANNA) == first
    await turns.save(kept())
    await turns.begin(asked(), mode=2)
    assert (await turns.show("run-1", ANNA)).line.status == "complete"


@pytest.mark.parametrize("change", [{"text": "Other?"}, {"user": "bert"}, {"conversation": "c2"}])
async def test_a_run_id_is_one_questions(turns: Turns, change: dict[str, Any]) -> None:
    await turns.begin(asked(), mode=2)
    with pytest.raises(Refused):
        await turns.begin(asked(**change), mode=2)


async def test_bad_input_is_refused(turns: Turns) -> None:
    with pytest.raises(InvalidQuestion):
        await turns.begin(asked(run_id=""), mode=2)
    with pytest.raises(InvalidQuestion):
        await turns.save(kept(run_id=""))
    with pytest.raises(StoreError, match="not ended"):
        await turns.save(kept(status="running"))
    for receipt in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(StoreError, match="JSON"):
            await turns.save(kept(receipt=receipt))


@pytest.mark.parametrize("scope", [Scope("rival", "anna"), Scope("clinic", "bert")])
async def test_nobody_else_sees_it(turns: Turns, scope: Scope) -> None:
    await turns.save(kept())
    with pytest.raises(NotFound):
        await turns.show("run-1", scope)
    assert await turns.list(scope) == ()


async def test_two_tenants_may_use_the_same_ids(turns: Turns) -> None:
    await turns.save(kept())
    await turns.save(kept(question=asked(tenant="rival"), text="Theirs."))
    assert (await turns.show("run-1", ANNA)).text == "It helps [1]."
    assert (await turns.show("run-1", Scope("rival", "anna"))).text == "Theirs."


async def test_lists_page_from_the_newest(turns: Turns) -> None:
    for n in range(7):
        await turns.begin(asked(f"run-{n}", conversation=f"c{n % 2}"), mode=2)
    pages, before = [], None
    while page := await turns.list(ANNA, limit=3, before=before):
        pages.append([line.run_id for line in page])
        before = page[-1].ordinal
    assert pages == [["run-6", "run-5", "run-4"], ["run-3", "run-2", "run-1"], ["run-0"]]
    assert [line.run_id for line in await turns.list(ANNA, conversation="c1")] == ["run-5", "run-3", "run-1"]


async def test_a_turn_costs_two_commits(database_server: EmbeddedServer, turns: Turns) -> None:
    """Counted by the server: every transaction that writes takes a number (autovacuum is off here)."""

    def numbered() -> int:
        with psycopg.connect(database_server.url(role=ADMIN), autocommit=True) as admin:
            return admin.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()[0]

    before = numbered()
    for n in range(5):
        await turns.begin(asked(f"run-{n}"), mode=2)
        await turns.save(kept(f"run-{n}"))
        await turns.show(f"run-{n}", ANNA)
    assert numbered() - before == 10


async def test_storage_grows_by_the_turn_not_by_the_conversation(
    database_server: EmbeddedServer, database: str, turns: Turns
) -> None:
    """The 200 turns after the first 200 take no more room than those did, within two pages a table."""

    def size() -> int:
        with psycopg.connect(database_server.url(role=ADMIN, database=database), autocommit=True) as admin:
            query = "select sum(pg_table_size(c)) from unnest('{turns,ledger,citations,conversations}'::regclass[]) c"
            return int(admin.execute(query).fetchone()[0])

    sizes = [size()]
    for half in range(2):
        for n in range(200):
            await turns.save(kept(f"run-{half}-{n}"))
        sizes.append(size())
    assert sizes[2] - sizes[1] <= sizes[1] - sizes[0] + 8 * 8192


any_text = st.text(st.characters(), max_size=20)  # with NUL and with halves of surrogate pairs
any_json = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | any_text, st.lists, max_leaves=6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=any_text, receipt=st.dictionaries(any_text, any_json, max_size=4))
async def test_any_text_and_any_json_is_kept(turns: Turns, text: str, receipt: dict[str, Any]) -> None:
    """Also what PostgreSQL cannot hold, which becomes U+FFFD: never a lost turn."""
    run_id = str(uuid.uuid4())
    turn = kept(run_id, text=text, receipt=receipt, cost=Cost())
    await turns.save(turn)
    await turns.save(turn)
    shown = await turns.show(run_id, ANNA)
    assert len(shown.text) == len(text)
    assert all(a == b or (b == "\ufffd" and not a.isprintable()) for a, b in zip(text, shown.text, strict=True))
