"""Receipts that an earlier version gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vital_engine import Answer
from vital_engine.nouns.answer import receipt_today
from written_before import RUNS, engine, http, receipts, said

RECEIPTS = receipts()


def test_they_are_of_several_kinds() -> None:
    assert len(RECEIPTS) == 5
    assert {receipt["mode"] for receipt in RECEIPTS} == {1, 2, 4}
    assert {receipt["status"] for receipt in RECEIPTS} == {"complete", "partial"}
    assert any(receipt["degraded"] for receipt in RECEIPTS) and any(receipt["proposed"] for receipt in RECEIPTS)


@pytest.mark.parametrize("receipt", RECEIPTS, ids=[receipt["run_id"] for receipt in RECEIPTS])
async def test_a_receipt_says_what_it_said(home: Path, receipt: dict[str, Any]) -> None:
    expected = RUNS[receipt["run_id"]]["said"]
    assert said(receipt) == expected
    async with engine(home) as app, http(app) as client:
        assert said((await client.get(f"/v1/turns/{receipt['run_id']}/receipt")).json()) == expected


def holds(whole: Any, part: Any) -> bool:
    """Whether *whole* says all that *part* says; what was added since then may stand beside it."""
    match part:
        case dict():
            return all(name in whole and holds(whole[name], each) for name, each in part.items())
        case list():
            return len(whole) == len(part) and all(map(holds, whole, part))
        case _:
            return bool(whole == part)


@pytest.mark.parametrize("receipt", RECEIPTS, ids=[receipt["run_id"] for receipt in RECEIPTS])
def test_the_answer_that_a_receipt_tells_of_says_the_same(receipt: dict[str, Any]) -> None:
    answer = Answer.from_receipt(receipt)
    again = json.loads(json.dumps(answer.receipt()))
    assert said(again) == RUNS[receipt["run_id"]]["said"]
    assert (answer.text, answer.status, answer.degraded) == (receipt["text"], receipt["status"], receipt["degraded"])
    # The rest of it, in the names of today. The code of a step's error was not written down then.
    today = dict(receipt_today(receipt))
    for each in (again, today):
        each["cached"] = sorted(each["cached"])
        each["steps"] = {name: {**row, "code": ""} for name, row in each["steps"].items()}
    assert holds(again, today)
