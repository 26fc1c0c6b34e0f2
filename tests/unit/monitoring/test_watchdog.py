"""In real time, since a virtual clock knows no blocking."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from vital_engine.monitoring import Watchdog, registry

STALL = 0.4
"""Seconds: longer than a busy machine keeps a process from running, which a watchdog takes for a block."""


class TurnRecord(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, dict)
        self.events.append(record.msg)


@pytest.fixture
def kept() -> Iterator[TurnRecord]:
    handler, log = TurnRecord(), logging.getLogger("vital_engine.watchdog")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def blocked() -> tuple[float, float]:
    values = (registry.get_sample_value(f"vital_loop_blocked_seconds_{what}") for what in ("count", "sum"))
    count, total = (value or 0.0 for value in values)
    return count, total


def grinds(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        json.dumps(list(range(100)))


async def test_a_block_is_measured_and_its_frame_named(kept: TurnRecord) -> None:
    before = blocked()
    with Watchdog(STALL) as dog:
        await asyncio.sleep(STALL)
        task = asyncio.get_running_loop().create_task(_grinding(3 * STALL), name="retrieve")
        await task
        await asyncio.sleep(STALL)
    count, total = blocked()
    assert count == before[0] + 1
    assert 2 * STALL <= total - before[1] <= 60.0
    assert dog.seen is not None
    assert dog.seen.where.startswith("test_watchdog.py:") and dog.seen.where.endswith(" grinds")
    assert dog.seen.task == "retrieve"
    during, after = kept.events
    assert during["event"] == "the event loop is blocked" and during["stack"]
    assert after["event"] == "the event loop was blocked" and after["where"] == dog.seen.where


async def _grinding(seconds: float) -> None:
    grinds(seconds)


async def test_what_lasts_no_longer_than_the_threshold_is_let_pass(kept: TurnRecord) -> None:
    before = blocked()
    with Watchdog(30.0, interval=0.02):
        for _ in range(5):
            grinds(0.02)
            await asyncio.sleep(0.02)
    assert blocked() == before and kept.events == []


async def test_two_blocks_are_two(kept: TurnRecord) -> None:
    before = blocked()
    with Watchdog(STALL):
        for _ in range(2):
            grinds(2 * STALL)
            await asyncio.sleep(STALL)
    assert blocked()[0] == before[0] + 2
    assert [e["event"] for e in kept.events].count("the event loop is blocked") == 2


async def test_it_leaves_no_thread_and_no_timer_behind() -> None:
    def threads() -> int:
        return sum(t.name == "vital-watchdog" for t in threading.enumerate())

    dog = Watchdog(0.05)
    dog.start()
    dog.start()
    assert threads() == 1
    dog.stop()
    dog.stop()
    assert threads() == 0


async def test_idle_it_is_cheap() -> None:
    with Watchdog(0.1):
        before = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - before < 0.05


@pytest.mark.parametrize("settings", [{"threshold": 0.0}, {"threshold": 0.1, "interval": -1.0}])
def test_times_above_nought(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Watchdog(**settings)
