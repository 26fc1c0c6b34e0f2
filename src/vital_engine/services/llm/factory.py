"""From a setting to a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vital_engine.errors import ConfigError
from vital_engine.ports import LLM, Embedder

from .extractive import Extractive, SentenceSource
from .fallback import Fallback
from .patience import Patience

__all__ = ["POSSIBLE", "open_llm"]

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
