"""Runs :mod:`.child` on a file from a stranger: a process of its own, with limits, without our environment.

It stands alone because it is the one place that starts a process on what a stranger has sent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vital_engine.errors import UnreadableDocument

from .document import Problem

__all__ = ["Limits", "Parsed", "parse"]

_CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one document may use. ``bytes`` is also the longest line of a JSON Lines corpus."""

    bytes: int = 64 * 2**20
    pages: int = 3000
    characters: int = 20_000_000
    seconds: float = 60.0
    memory: int = 2**30
    unpacked: int = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the child process read: title, parts of the text, metadata, and problems."""

    title: str
    parts: tuple[str, ...]
    metadata: dict[str, int]
    problems: tuple[Problem, ...]


def parse(data: bytes, kind: str, limits: Limits) -> Parsed:
    """The text of a "pdf" (one part a page) or a "docx" (one part).

    Blocks for at most ``limits.seconds`` and the time to end a process.

    :raises UnreadableDocument: encrypted, broken, without text, or too much for the limits.
    """
    output = 6 * limits.characters + 2**20  # JSON in ASCII: at most six bytes for a character
    handed = {
        "pages": limits.pages,
        "characters": limits.characters,
        "seconds": max(1, int(limits.seconds)),
        "memory": limits.memory,
        "unpacked": limits.unpacked,
        "output": output,
    }
    command = [sys.executable, "-I", "-X", "utf8", str(_CHILD), kind, json.dumps(handed)]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        given.write(data)
        given.seek(0)
        try:
            # S603: the command is ours; nothing of the document is in it
            done = subprocess.run(  # noqa: S603
                command,
                stdin=given,
                stdout=said,
                stderr=complained,
                env=_environment(),
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnreadableDocument(f"reading it took more than {limits.seconds} s", service="reading") from error
        said.seek(0)
        complained.seek(0)
        result, complaint = said.read(output + 1), complained.read(4096).decode("utf-8", "replace")
    try:
        found = json.loads(result) if done.returncode == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        last = complaint.strip().rpartition("\n")[2] or f"the reader ended with {done.returncode}"
        raise UnreadableDocument(f"the {kind} could not be read within its limits: {last}", service="reading")
    if "error" in found:
        raise UnreadableDocument(str(found["error"]), service="reading")
    problems = tuple(Problem(where, what) for where, what in found["problems"])
    return Parsed(found["title"], tuple(found["parts"]), found["metadata"], problems)


def _environment() -> dict[str, str]:
    """What Python itself may need to start, and no secret of ours."""
    return {
        name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ
    }
