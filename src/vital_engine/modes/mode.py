"""The 2 x 2 of the modes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mode:
    """A row of the 2 x 2: who approves tools ("user" by a pause, or the "policy"), and one question or a chat."""

    number: int
    name: str
    approves: str
    talk: str
