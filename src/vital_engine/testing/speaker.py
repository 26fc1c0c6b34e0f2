"""The scripted model: its text comes evenly over its time, and stops when nobody listens any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from vital_engine.errors import ConfigError
from vital_engine.nouns import Piece, Prefilled, Prompt, Usage

from .material import spoken, words
from .script import BLOCKED_SECONDS, NOTHING, Act, Recorded, Stage

MODEL = "scripted"


@dataclass(frozen=True, slots=True)
class Text:
    """How an answer is cut that the script does not spell out."""

    tokens: int
    sentences: int


class Speaker:
    """Fulfils the port LLM. It says all of its text, or as many tokens of it as the question's own limits allow."""

    model = provider = MODEL

    def __init__(self, act: Act, stage: Stage, prompts: list[Prompt], text: Text, prefill: float) -> None:
        self._act, self._stage, self._prompts = act, stage, prompts
        self._prefill = min(prefill, act.seconds)
        said = act.said if act.said is not None else act.value if isinstance(act.value, str) else None
        self._pieces = spoken(text.tokens, text.sentences) if said is None else words(said)
        if act.error is not None and act.said is None:
            self._pieces = []

    async def stream(self, prompt: Prompt) -> AsyncIterator[Any]:
        act, loop = self._act, asyncio.get_running_loop()
        self._prompts.append(prompt)
        call = Recorded("reply", "stream", {"prompt": prompt}, self._stage.now())
        self._stage.calls.append(call)
        try:
            if act.word == "block":
                await asyncio.to_thread(time.sleep, BLOCKED_SECONDS)
            elif act.word:
                await act.play(0.0)
            if act.value is not NOTHING and not isinstance(act.value, str):
                await asyncio.sleep(act.seconds)
                yield act.value
                return
            await self._read(prompt)
            began, speaking = loop.time(), act.seconds - self._prefill
            each = speaking / max(1, len(self._pieces))
            limits = prompt.question.limits
            bounded = limits.output_tokens is not None or limits.cost_usd is not None
            said = self._pieces[: prompt.max_output_tokens] if bounded else self._pieces
            for i, text in enumerate(said, start=1):
                await _until(began + i * each)
                yield Piece(text, model=MODEL, provider=MODEL)
            cut = len(said) < len(self._pieces)
            if not cut:
                await _until(began + speaking)
            if act.error is not None:
                raise act.error
            used = Usage(input=len(str(prompt).split()), output=len(said))
            yield Piece(usage=used, model=MODEL, provider=MODEL, finish="length" if cut else "stop")
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.end = self._stage.now()

    async def _read(self, prompt: Prompt) -> int:  # noqa: ARG002
        """Take the time that reading *prompt* takes. :returns: how many words of it were read now."""
        await asyncio.sleep(self._prefill)
        return 0


class ReadingSpeaker(Speaker):
    """Fulfils the port Prefiller as well: it keeps the beginnings that it has read for a turn, and reads on from there.

    :param segments: seconds that it takes to read a segment, by its kind.
    :raises ConfigError: they are more than the model's whole time.
    """

    def __init__(
        self, act: Act, stage: Stage, prompts: list[Prompt], text: Text, segments: Mapping[str, float]
    ) -> None:
        whole = round(sum(segments.values()), 9)
        if whole > act.seconds and not act.word:
            raise ConfigError(f"the model cannot read for {whole} s of its {act.seconds} s")
        super().__init__(act, stage, prompts, text, whole)
        self._segments = dict(segments)
        self._held: dict[str, set[tuple[str, ...]]] = {}

    async def prefill(self, prompt: Prompt) -> Prefilled:
        call = Recorded("reply", "prefill", {"prompt": prompt}, self._stage.now())
        self._stage.calls.append(call)
        try:
            computed = await self._read(prompt)
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.end = self._stage.now()
        return Prefilled(computed, len(str(prompt).split()) - computed)

    async def _read(self, prompt: Prompt) -> int:
        held = self._held.setdefault(prompt.question.run_id, set())
        begun, seconds, computed = asyncio.get_running_loop().time(), 0.0, 0
        beginning: tuple[str, ...] = ()
        for segment in prompt.segments:
            if not segment.text:
                continue
            beginning = (*beginning, segment.text)
            if beginning not in held:
                seconds += self._segments.get(segment.kind, 0.0)
                computed += len(segment.text.split())
                await _until(begun + seconds)
                held.add(beginning)
        return computed


async def _until(when: float) -> None:
    # To the nanosecond, as the virtual clock is: what a sum of floats is off by must not become a tick of its own.
    left = round(when - asyncio.get_running_loop().time(), 9)
    if left > 0:
        await asyncio.sleep(left)
