"""Choose who answers, and write the brief."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vital_engine.flow import call
from vital_engine.nouns import Brief, Question
from vital_engine.ports import Router


def briefing(router: Router, *, mode: int) -> Callable[..., Awaitable[Brief]]:
    async def brief(question: Question) -> Brief:
        return await call(router.route, question, mode=mode)

    return brief
