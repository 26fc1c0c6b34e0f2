"""One model after another, until one speaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from vital_engine.errors import ConfigError, ServiceError
from vital_engine.nouns import Discarded, Piece, Prompt
from vital_engine.ports import LLM, prefiller

__all__ = ["Fallback"]

log = logging.getLogger(__name__)


class Fallback:
    """Asks *models* in their order. The next one is asked only if the one before failed and had said nothing: a
    reader never sees one answer continued by another model. Fulfils :class:`vital_engine.ports.LLM`.

    The last piece says who spoke, as each model says it of itself. ``Extractive`` as the last one makes a floor
    that cannot be out of order. It can read ahead if the first model can.
    """

    def __init__(self, *models: LLM) -> None:
        if not models:
            raise ConfigError("a fallback needs a model")
        self.models = models
        self.capacity: int | None = getattr(models[0], "capacity", None)
        self.model, self.provider = (getattr(models[0], name, "") for name in ("model", "provider"))
        if (first := prefiller(models[0])) is not None:  # the others are asked only where it fails
            self.prefill = first.prefill

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """The answer of the first model that gives one. What a model that failed had used by then, as far as it said so,
        is told as ``discarded``.

        :raises ServiceError: of the model that broke off, or of the last one.
        """
        for index, model in enumerate(self.models):
            begun = False
            silent: list[Piece] = []  # what came before the first word is not another model's
            try:
                async with aclosing(_asked(model, prompt)) as pieces:
                    async for piece in pieces:
                        begun = begun or bool(piece.text)
                        silent.append(piece)
                        if begun or piece.finish or piece.discarded is not None:
                            for said in silent:
                                yield said
                            silent.clear()
                for said in silent:
                    yield said
            except ServiceError as error:
                if begun or index == len(self.models) - 1:
                    raise
                log.warning("model failed, asking the next", extra={"code": error.code, "model": type(model).__name__})
                if (paid := _paid(silent)) is not None:
                    yield Piece(discarded=paid)
                # the name that the prompt wishes for is one of the first model's server
                prompt = replace(prompt, model=None)
            else:
                return

    async def aclose(self) -> None:
        """Close those models that can be closed."""
        for model in self.models:
            close = getattr(model, "aclose", None)
            if close is not None:
                await close()


def _paid(pieces: Sequence[Piece]) -> Discarded | None:
    """What the call that gave *pieces*, and no word, has used; None where it did not say."""
    usage = next((p.usage for p in reversed(pieces) if p.usage is not None), None)
    if usage is None:
        return None
    model = next((p.model for p in reversed(pieces) if p.model), "")
    provider = next((p.provider for p in reversed(pieces) if p.provider), "")
    return Discarded("fallback", usage, model, provider)


async def _asked(model: LLM, prompt: Prompt) -> AsyncGenerator[Piece, None]:
    """The model's stream as a generator, which can be closed, whatever kind of iterator it is."""
    stream = model.stream(prompt)
    try:
        async for piece in stream:
            yield piece
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
