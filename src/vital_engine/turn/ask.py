"""Check a question: its text, its identity, and its limits. Every entrance calls this; nothing is checked elsewhere."""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal
from math import inf

from vital_engine.errors import InvalidQuestion
from vital_engine.nouns import Limits, Memory, Question
from vital_engine.nouns.asked import MOST_PASSAGES

LONGEST = 20_000
"""Characters of a question. Longer text belongs into a document."""
LONGEST_NAME = 200
"""Characters of the name of a conversation, an expert or a run."""


def ask(question: Question) -> Question:
    """Check *question*, and give it a run id.

    :param question: as it came.
    :returns: the question with a run id.
    :raises InvalidQuestion: no text, too much of it, no identity, a field that is not of its type, or an impossible
        limit.
    """
    if not isinstance(question, Question):
        raise InvalidQuestion(f"expected a Question, got {type(question).__name__}")
    for name in ("text", "tenant", "user"):
        value = getattr(question, name)
        if not isinstance(value, str) or not value.strip():
            raise InvalidQuestion(f"{name!r} must be a text that is not empty, not {value!r}")
    text = question.text.strip().replace("\x00", "")
    if len(text) > LONGEST:
        raise InvalidQuestion(f"the question has {len(text)} characters, more than {LONGEST}")
    if question.memory is not None and not isinstance(question.memory, Memory):
        raise InvalidQuestion(f"memory must be a Memory, not {type(question.memory).__name__}")
    for name in ("conversation", "expert", "run_id"):
        value = getattr(question, name)
        if not (value is None and name != "run_id") and not (isinstance(value, str) and len(value) <= LONGEST_NAME):
            raise InvalidQuestion(f"{name!r} must be a name of at most {LONGEST_NAME} characters, not {value!r:.99}")
    if question.conversation == "":
        raise InvalidQuestion("'conversation' must be a name that is not empty; None: there is none")
    limits = question.limits if question.limits is _NONE else _checked(question.limits)
    return replace(question, text=text, limits=limits, run_id=question.run_id or uuid.uuid4().hex)


_NONE = Question("", "", "").limits


def _checked(limits: Limits) -> Limits:
    """*limits*, with a whole number of dollars as a Decimal."""
    if not isinstance(limits, Limits):
        raise InvalidQuestion(f"limits must be Limits, not {type(limits).__name__}")
    seconds, tokens, cost, passages = limits.seconds, limits.output_tokens, limits.cost_usd, limits.passages
    if seconds is not None and not (_is(seconds, int, float) and 0 < seconds < inf):
        raise InvalidQuestion(f"limits.seconds must be a number of seconds above 0, not {seconds!r}")
    if tokens is not None and not (_is(tokens, int) and tokens >= 1):
        raise InvalidQuestion(f"limits.output_tokens must be a whole number of at least 1, not {tokens!r}")
    if not (_is(passages, int) and 1 <= passages <= MOST_PASSAGES):
        raise InvalidQuestion(f"limits.passages must be a whole number from 1 to {MOST_PASSAGES}, not {passages!r}")
    if cost is None:
        return limits
    if not (_is(cost, int, Decimal) and (usd := Decimal(cost)).is_finite() and usd >= 0):
        raise InvalidQuestion(f"limits.cost_usd must be an amount of money (Decimal) of 0 or more, not {cost!r}")
    return replace(limits, cost_usd=usd)


def _is(value: object, *kinds: type) -> bool:
    """Whether *value* is of one of *kinds*; true and false are no numbers."""
    return isinstance(value, kinds) and not isinstance(value, bool)
