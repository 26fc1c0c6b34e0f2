"""Choose who answers, and write the brief."""

from __future__ import annotations

from vital_engine.flow import call
from vital_engine.nouns import Brief, Question
from vital_engine.ports import Router


async def brief(router: Router, mode: int, question: Question) -> Brief:
    """The expert for *question* in *mode*. NotFound if the question names one that there is not."""
    return await call(router.route, question, mode=mode)
