"""What a person types: a line that can be edited, or one key without Enter where there is a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

END = "\x04"
"""The end of the input, as Ctrl-D types it."""


def read_key(source: TextIO | None = None) -> str:
    """The next key, in lower case; :data:`END` when there is no more. KeyboardInterrupt for Ctrl-C."""
    source = sys.stdin if source is None else source
    if not source.isatty():
        line = source.readline()
        return line.strip()[:1].lower() if line else END
    try:
        import termios
        import tty
    except ImportError:  # not a POSIX terminal
        return input().strip()[:1].lower()
    number = source.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)  # Ctrl-C still interrupts
        return source.read(1).lower() or END
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def read_line(prompt: str, *, prefilled: str = "") -> str:
    """A line. Where lines can be edited it begins with *prefilled*. EOFError at the end of the input."""
    try:
        import readline
    except ImportError:
        return input(prompt)
    readline.set_startup_hook(lambda: readline.insert_text(prefilled))
    try:
        return input(prompt)
    finally:
        readline.set_startup_hook()
