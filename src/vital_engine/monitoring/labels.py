"""The closed sets that labels are taken from, so that no metric can grow without bound.

A label never holds a tenant, a user, a question or a run id. What stands outside a set is either folded into
``other`` (foreign step names) or refused and counted (all else); see :mod:`.track`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from vital_engine.flow import KINDS
from vital_engine.turn.plan import BY_NAME
from vital_engine.turn.plan import TIERS as PLANNED_TIERS

TIERS: Final = tuple(PLANNED_TIERS)
MODES: Final = ("1", "2", "3", "4")
STEPS: Final = frozenset(BY_NAME)
STATUSES: Final = ("complete", "paused", "partial", "failed", "cancelled")
OUTCOMES: Final = (*KINDS, "unknown")
DECISIONS: Final = ("approved", "edited", "rejected", "expired")
DECIDERS: Final = ("person", "policy", "nobody")
DISCARDED: Final = ("copy", "fallback")
TOKEN_CLASSES: Final = ("input", "cached", "output", "reasoning", "estimated_input", "estimated_output")
PROVIDER_KINDS: Final = ("extractive", "embedded", "cache", "scripted", "api", "unknown")
CACHES: Final = ("retrieval", "embedding", "suggestions", "answer")
CACHE_OUTCOMES: Final = ("hit", "miss", "shared")

#: Providers that run inside the engine, as their pieces name them; any other named provider is an ``api``.
_INSIDE: Final = {"vital": "extractive", "llama.cpp": "embedded", "scripted": "scripted", "cache": "cache"}


def one_of(value: object, allowed: Collection[str]) -> str:
    """*value* as a label.

    :raises ValueError: it is not one of *allowed*.
    """
    label = str(value)
    if label not in allowed:
        raise ValueError(f"{label!r} is not a known label value")
    return label


def step_label(name: str) -> str:
    """The step's own name if it is one of ours, else ``other``."""
    return name if name in STEPS else "other"


def provider_kind(provider: str) -> str:
    """Where the model ran: ``api`` is outside the engine, ``scripted`` is no model at all."""
    return _INSIDE.get(provider, "api") if provider else "unknown"
