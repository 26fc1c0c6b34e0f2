"""Answers that were given before: the same prompt, of the same tenant, over the same index, is not paid for twice.

An exact cache at the model's door. What makes two turns the same is in the prompt itself: its key carries the tenant,
the expert, the model and its settings, the domains, the version of the index, and every character that the model would
read, and with them whatever flags shaped it. Kept is only what came to its own end and rests on no failed step.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from vital_engine.notices import NOTHING_FOUND
from vital_engine.nouns import Piece, Prompt, Usage
from vital_engine.ports import LLM

__all__ = ["PROVIDER", "Remembered", "key_of"]

PROVIDER = "cache"
"""Who "spoke" when an answer is given again: nobody is paid, and the answer says so."""


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    model: str


class Remembered:
    """Fulfils :class:`~vital_engine.ports.LLM` by another one, and gives again what it has said to the same prompt.

    In the memory of one process: a restart forgets. Whoever asks while the first answer is still being made gets one
    of their own; the later one is kept.

    :param entries: answers kept; beyond that the one that was asked for least recently goes.
    """

    def __init__(self, llm: LLM, *, entries: int) -> None:
        if entries < 1:
            raise ValueError(f"entries must be at least 1, not {entries}")
        self._llm, self._entries = llm, entries
        self._said: OrderedDict[str, _Said] = OrderedDict()

    def __len__(self) -> int:
        return len(self._said)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """What was said before, as one piece, at no cost; else what the model says. Raises as the model does."""
        key = key_of(prompt)
        if (said := self._said.get(key)) is not None:
            self._said.move_to_end(key)
            yield Piece(said.text, model=said.model, provider=PROVIDER)
            yield Piece(usage=Usage(), model=said.model, provider=PROVIDER, finish="stop")
            return
        text, model, finish = [], "", ""
        async with aclosing(self._llm.stream(prompt)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                text.append(piece.text)
                model, finish = piece.model or model, piece.finish or finish
                yield piece
        if finish == "stop" and sound(prompt):
            self._said[key] = _Said("".join(text), model)
            self._said.move_to_end(key)
            while len(self._said) > self._entries:
                self._said.popitem(last=False)

    async def warm(self) -> None:
        """Whatever the model does before its first call."""
        if (warm := getattr(self._llm, "warm", None)) is not None:
            await warm()

    async def aclose(self) -> None:
        if (close := getattr(self._llm, "aclose", None)) is not None:
            await close()


def sound(prompt: Prompt) -> bool:
    """Whether no step before the model failed: a degraded answer must not outlive what degraded it."""
    notes = next((s.text for s in prompt.segments if s.kind == "notes"), "")
    told = notes.replace(f"- {NOTHING_FOUND}", "").removeprefix("Notes:").strip()
    called = all(finding.status == "done" for finding in prompt.findings.results)
    return not told and called and not prompt.evidence.notes


def key_of(prompt: Prompt) -> str:
    """A hash of all that the answer depends on. Two tenants never share one."""
    expert = prompt.brief.expert
    parts = [
        prompt.question.tenant,
        expert.id,
        prompt.model or "",
        repr(prompt.temperature),
        prompt.max_output_tokens,
        sorted(expert.domains),
        prompt.evidence.index_version,
        [p.id for p in prompt.evidence.passages],
        [(s.kind, s.text) for s in prompt.segments],
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode("ascii")).hexdigest()
