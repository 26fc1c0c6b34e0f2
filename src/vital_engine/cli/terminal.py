"""What the commands share: exit codes, and what may be expected of the terminal or pipe that is written to.

Exit codes: 0 ok, 2 usage, 3 degraded, 4 refused, 5 failed.
"""

from __future__ import annotations

import codecs
import io
import logging
import sys
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
from vital_engine.monitoring import configure
from vital_engine.nouns import Answer
from vital_engine.settings import Settings

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
    """The exit code for an error; None: no error."""
    match error:
        case SetupError() | InvalidQuestion() | InvalidArguments():
            return USAGE
        case NotFound() | Refused() | Conflict() | Expired() | ConversationBusy():
            return REFUSED
        case VitalError() | _:
            return FAILED


_ESCAPES = "vital_escapes"


def prepare_terminal() -> None:
    """What the terminal's encoding lacks is written as ``\\u2014``: readable, and still JSON where JSON is printed.

    Log records go nowhere unless :func:`show_log` says so: a command shows by itself what its reader must know.
    """
    codecs.register_error(_ESCAPES, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPES)
    if isinstance(logging.lastResort, logging.Handler):
        logging.lastResort.setLevel(logging.CRITICAL)


def show_log(settings: Settings) -> None:
    """The log on standard error, if ``log_level`` is debug."""
    if settings.log_level == "debug":
        configure("json" if settings.log_format == "json" else "console", settings.log_level)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[i : i + 2].hex() for i in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
