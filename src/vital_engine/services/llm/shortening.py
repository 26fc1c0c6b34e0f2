"""Evidence cut to what a small local model can read in a few seconds, and said to be cut.

On two cores a 135M model reads 300 tokens in a second and a 1.5B model 60, so that eight abstracts would take
half a minute before the first word.
"""

from __future__ import annotations

from dataclasses import replace

from vital_engine.nouns import Passage, Prompt, Segment
from vital_engine.sentences import split
from vital_engine.tokens import estimate_tokens

__all__ = ["LEFT_OUT", "shorten"]

LEFT_OUT = "(left out)"
"""What stands in the place of a passage that is not shown at all."""


def shorten(prompt: Prompt, tokens: int) -> tuple[Prompt, str]:
    """*prompt* with at most about *tokens* tokens of passages, and what was done, in a sentence; "" for nothing.

    Passages are kept in their order, best first, as long as there is room; the one at the edge is cut at the
    end of a sentence, the others are left out. Numbers stay as they are, so that ``[n]`` is still passage *n*.
    """
    room, cut, dropped = tokens, list[int](), list[int]()
    segments = prompt.segments
    for number, passage in enumerate(prompt.evidence.passages, start=1):
        cost = estimate_tokens(passage.text)
        if cost <= room:
            room -= cost
            continue
        head = _head(passage.text, room)
        room = 0  # a later, shorter passage must not overtake a better one
        (cut if head else dropped).append(number)
        segments = _replaced(segments, passage, f"{head} (cut)" if head else LEFT_OUT)
    if not cut and not dropped:
        return prompt, ""
    note = " ".join(_said(numbers, what) for numbers, what in ((cut, "cut"), (dropped, "left out")) if numbers)
    note = f"Shortened for a small model: {note.rstrip(',')}."
    return replace(prompt, segments=_noted(segments, note)), note


def _said(numbers: list[int], what: str) -> str:
    noun = "passage" if len(numbers) == 1 else "passages"
    return f"{noun} {', '.join(map(str, numbers))} {what},"


def _head(text: str, tokens: int) -> str:
    """As many whole sentences from the beginning of *text* as fit."""
    end = 0
    for sentence in split(text):
        if estimate_tokens(text[: sentence.end]) > tokens:
            break
        end = sentence.end
    return text[:end]


def _replaced(segments: tuple[Segment, ...], passage: Passage, text: str) -> tuple[Segment, ...]:
    return tuple(
        replace(s, text=s.text.replace(passage.text, text, 1)) if s.kind == "evidence" and passage.text else s
        for s in segments
    )


def _noted(segments: tuple[Segment, ...], note: str) -> tuple[Segment, ...]:
    """The note behind the evidence, where the model reads it."""
    return tuple(replace(s, text=f"{s.text}\n\n({note})") if s.kind == "evidence" else s for s in segments)
