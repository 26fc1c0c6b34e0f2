"""What a command may expect of the terminal or pipe that it writes to."""

from __future__ import annotations

import codecs
import io
import logging
import sys

from vital_engine.monitoring import configure
from vital_engine.settings import Settings

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
