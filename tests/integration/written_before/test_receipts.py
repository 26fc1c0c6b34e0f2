"""Receipts that an earlier version gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vital_engine import Answer
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
    if (read_back := getattr(Answer, "from_receipt", None)) is not None:
        answer = read_back(receipt)
        assert said(answer.receipt()) == expected
        assert (answer.text, answer.status, answer.degraded) == (
            receipt["text"],
            receipt["status"],
            receipt["degraded"],
        )
        assert answer.timing.total == receipt["timing"]["total"]
        assert list(answer.critical_path) == receipt["critical_path"]
