"""Which model speaks: from a setting to a model, and one model after another until one speaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from vital_engine.errors import ConfigError, ServiceError
from vital_engine.nouns import Discarded, Piece, Prompt
from vital_engine.ports import LLM, Embedder, prefiller

from .extractive import Extractive, SentenceSource
from .patience import Patience

__all__ = ["POSSIBLE", "Fallback", "open_llm"]

POSSIBLE = (
    '"extractive" (the default: sentences of the documents, no model), "smollm2" (a very small model in this process, '
    "for demonstrations), a path that ends in .gguf, or any name together with the base_url of an OpenAI-compatible server"
)


def open_llm(
    model: str | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    provider: str | None = None,
    patience: Patience | None = None,
    embedder: Embedder | None = None,
    vectors: SentenceSource | None = None,
    floor: bool = False,
    prefill: str = "off",
) -> LLM:
    """The model that a setting means. Nothing is loaded and nothing connected before the first call.

    :param model: ``extractive`` or None, ``smollm2``, a ``.gguf`` path, or the name of a model at *base_url*.
    :param patience: limits in seconds, for models other than the extractive one.
    :param embedder, vectors: what the extractive answerer ranks sentences with; words alone where None.
    :param floor: whether the extractive answerer speaks when the model fails before its first token.
    :param prefill: how the server at *base_url* can read ahead: ``vllm``, ``llama.cpp``, or ``off``: it cannot.
    :raises ConfigError: *model* is none of these, or what it needs is not installed.
    """
    extractive = Extractive(embedder, vectors=vectors)
    name = (model or "").strip()
    if base_url is None and name.lower() in ("", "extractive"):
        return extractive
    if base_url is None:
        chosen = _local(name, patience)
    else:
        chosen = _remote(name, base_url, api_key, headers, provider, patience, prefill)
    return Fallback(chosen, extractive) if floor else chosen


def _remote(
    name: str,
    base_url: str,
    api_key: str | None,
    headers: Mapping[str, str] | None,
    provider: str | None,
    patience: Patience | None,
    prefill: str,
) -> LLM:
    if not name:
        raise ConfigError(f"which model at {base_url}? A name is needed beside base_url")
    from .openai_compatible import OpenAICompatible
    from .reading_ahead import LlamaServer, Vllm

    kinds = {"off": OpenAICompatible, "vllm": Vllm, "llama.cpp": LlamaServer}
    if prefill not in kinds:
        raise ConfigError(f"prefill must be one of {', '.join(kinds)}, not {prefill!r}")
    return kinds[prefill](
        name, base_url=base_url, api_key=api_key, headers=headers, provider=provider, patience=patience
    )


def _local(name: str, patience: Patience | None) -> LLM:
    if name.lower() != "smollm2" and not name.lower().endswith(".gguf"):
        raise ConfigError(f"unknown model {name!r} without a base_url. Possible: {POSSIBLE}")
    from .local import Local

    return Local(None if name.lower() == "smollm2" else Path(name).expanduser(), patience=patience)


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
        """The answer of the first model that gives one.

        The usage of a model that failed, if it reported any, is passed on as ``discarded``.

        :param prompt: see :meth:`vital_engine.ports.LLM.stream`.
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
