"""Prompts as the reply step builds them, for tests of what answers them."""

from __future__ import annotations

from typing import Any

from vital_engine.nouns import Brief, Evidence, Expert, Passage, Piece, Prompt, Question, Segment
from vital_engine.ports import LLM

EXPERT = Expert(id="general", name="General", description="", instructions="Answer from the evidence only.")


def prompt_of(text: str = "Does aspirin inhibit platelets?", *passages: Passage, **more: Any) -> Prompt:
    """Instructions, the evidence with its markers, the question."""
    shown = "\n\n".join(f"[{i}] {p.title}\n{p.text}" for i, p in enumerate(passages, 1))
    segments = (
        Segment("instructions", EXPERT.instructions),
        Segment("evidence", f"Evidence:\n{shown}" if passages else ""),
        Segment("question", text),
    )
    fields: dict[str, Any] = {"evidence": Evidence(passages), "max_output_tokens": 64, **more}
    return Prompt(segments, Question(text=text, tenant="t1", user="u1"), Brief(EXPERT), **fields)


async def answer_of(model: LLM, prompt: Prompt) -> tuple[str, Piece]:
    """All that *model* said, and its last piece."""
    pieces = [piece async for piece in model.stream(prompt)]
    return "".join(piece.text for piece in pieces), pieces[-1]
