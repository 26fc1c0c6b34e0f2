"""Exit codes: 0 ok, 2 usage, 3 degraded, 4 refused, 5 failed."""

from __future__ import annotations

from typing import Final

from vital_engine.errors import (
    Conflict,
    ConversationBusy,
    Expired,
    InvalidArguments,
    InvalidQuestion,
    NotFound,
    Refused,
    SetupError,
    VitalError,
)
from vital_engine.nouns import Answer

OK: Final = 0
USAGE: Final = 2
DEGRADED: Final = 3
REFUSED: Final = 4
FAILED: Final = 5


def code_of(answer: Answer) -> int:
    """Degraded: the answer is there, but a step did not do its part."""
    if answer.status == "failed":
        return code_of_error(answer.error)
    return DEGRADED if answer.degraded or answer.status != "complete" else OK


def code_of_error(error: BaseException | None) -> int:
    match error:
        case SetupError() | InvalidQuestion() | InvalidArguments():
            return USAGE
        case NotFound() | Refused() | Conflict() | Expired() | ConversationBusy():
            return REFUSED
        case VitalError() | _:
            return FAILED
