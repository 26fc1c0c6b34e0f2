"""Take a question in: its text, who asks, and what it may use."""

from __future__ import annotations

import uuid
from dataclasses import replace

from vital_engine.errors import InvalidQuestion
from vital_engine.nouns import Memory, Question

LONGEST = 20_000
"""Characters of a question. Longer text belongs into a document."""


def ask(question: Question) -> Question:
    """*question*, checked and with a run id.

    :raises InvalidQuestion: no text, too much of it, no identity, or a memory that is none.
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
    seconds = question.limits.seconds
    if seconds is not None and not seconds > 0:
        raise InvalidQuestion(f"limits.seconds must be positive, not {seconds!r}")
    return replace(question, text=text, run_id=question.run_id or uuid.uuid4().hex)
