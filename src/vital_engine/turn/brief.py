"""Choose the expert."""

from __future__ import annotations

from vital_engine.flow import call
from vital_engine.nouns import Brief, Question
from vital_engine.ports import Router


async def brief(router: Router, mode: int, question: Question) -> Brief:
    """Choose the expert for *question*.

    :param router: the service.
    :param mode: 1 to 4.
    :param question: the question.
    :returns: the expert, with a reason and scores.
    :raises NotFound: the question names an expert that does not exist.
    """
    return await call(router.route, question, mode=mode)
