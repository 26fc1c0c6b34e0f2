"""How much of a conversation is shown: whole turns, within a number of tokens."""

from __future__ import annotations

from collections.abc import Sequence

from vital_engine.nouns import PastTurn

__all__ = ["CUT", "TOKENS", "TURNS", "estimated_tokens", "fitting"]

TURNS, TOKENS = 10, 2000
"""What a conversation's window has at most, unless somebody says otherwise."""

CUT = " […]"
"""Ends an answer that was too long for the window on its own."""


def estimated_tokens(text: str) -> int:
    """About how many tokens *text* is: a quarter of its UTF-8 bytes, rounded up.

    English has four to five characters to a token; scripts with three bytes a character have about one character to
    a token, of which this counts three quarters. No tokenizer is asked: the model that will read it is not known here.
    """
    return -(-len(text.encode(errors="replace")) // 4)


def fitting(first: Sequence[PastTurn], budget: int) -> tuple[PastTurn, ...]:
    """As many of *first*, from the first on, as fit *budget* tokens, in reverse order: of the newest first, oldest first.

    Whole turns; only the first one, if it alone is too long, has its answer cut, which shows.
    """
    kept: list[PastTurn] = []
    for turn in first:
        size = estimated_tokens(turn.question) + estimated_tokens(turn.answer)
        if size > budget:
            if not kept and (room := 4 * (budget - estimated_tokens(turn.question) - estimated_tokens(CUT))) > 0:
                answer = turn.answer.encode(errors="replace")[:room].decode(errors="ignore")
                kept.append(PastTurn(turn.question, answer + CUT, turn.run_id))
            break
        kept.append(turn)
        budget -= size
    return tuple(reversed(kept))
