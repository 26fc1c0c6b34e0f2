"""A public web service is asked no faster than was agreed, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from vital_engine.errors import ConfigError, ToolUnavailable
from vital_engine.flow import run_virtual
from vital_engine.services.tools.web import WebSource


class Source(WebSource):
    """Answers at once, and remembers when it was asked. ``statuses``: of its answers, the last one again and again."""

    def __init__(self, *statuses: int, seconds: float = 0.0, after: str = "", **more: Any) -> None:
        super().__init__("test", "https://test.invalid", **more)
        self.statuses, self.seconds, self.after = list(statuses or (200,)), seconds, after
        self.begun: list[float] = []

    async def _once(self, path: str, parameters: Mapping[str, str]) -> tuple[int, httpx2.Headers, bytes]:
        self.begun.append(round(asyncio.get_running_loop().time(), 6))
        await asyncio.sleep(self.seconds)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return status, httpx2.Headers({"retry-after": self.after} if self.after else {}), b"{}"


async def asked(source: Source, *pauses: float) -> list[float]:
    """Requests that come with *pauses* between them, and when each was begun."""
    tasks = []
    for pause in pauses:
        await asyncio.sleep(pause)
        tasks.append(asyncio.ensure_future(source.get("x", {})))
    await asyncio.gather(*tasks)
    return source.begun


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_requests_that_come_at_once_begin_one_after_another(seconds: float) -> None:
    begun = run_virtual(asked(Source(per_second=4.0, seconds=seconds), 0, 0, 0, 0, 0))
    assert begun == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_one_that_comes_later_waits_only_for_what_is_left_and_rest_is_not_saved_up() -> None:
    begun = run_virtual(asked(Source(per_second=2.0), 0, 0.1, 5.0, 0, 0))
    assert begun == [0.0, 0.5, 5.1, 5.6, 6.1]


def test_a_try_again_keeps_the_pace_too() -> None:
    begun = run_virtual(asked(Source(503, 200, per_second=2.0, tries=2), 0, 0))
    assert all(later - before >= 0.5 for before, later in pairwise(begun))
    assert len(begun) == 3


def test_retry_after_is_obeyed_up_to_a_bound() -> None:
    assert run_virtual(asked(Source(429, 200, after="3", per_second=2.0), 0)) == [0.0, 3.0]
    source = Source(429, after="60", per_second=2.0, tries=5)
    with pytest.raises(ToolUnavailable) as refused:
        run_virtual(asked(source, 0))
    assert (source.begun, refused.value.retry_after) == ([0.0], 60.0)


@pytest.mark.parametrize("wrong", [{"per_second": 0.0}, {"tries": 0}, {"timeout": 0.0}])
def test_a_pace_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Source(**wrong)
