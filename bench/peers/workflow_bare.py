"""This engine's whole turn, see :mod:`.workflow`, with an answer in one piece and checks that do nothing: what is left is
the engine's own work on a turn, on as many pieces as the others' steps give.
"""

from __future__ import annotations

from functools import partial

from vital_engine.nouns import Citations, SentenceSupport, Support

from .shapes import Turn
from .workflow import IDLE, scripted_turn

_bare = partial(
    scripted_turn,
    tokens=1,
    sentences=1,
    values={"cite": Citations(()), "assess": Support((SentenceSupport(0, None),))},
)


def seed() -> Turn:
    return _bare()


def ten() -> Turn:
    """Its services take no time of their own."""
    return _bare(IDLE)
