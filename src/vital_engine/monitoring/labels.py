"""The closed sets that labels are taken from, so that no metric can grow without bound.

A label never holds a tenant, a user, a question or a run id. What stands outside a set is either folded into
``other`` (foreign step names) or refused and counted (all else); see :mod:`.track`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from vital_engine.errors import VitalError
from vital_engine.flow import Degraded, Done, Failed, Outcome
from vital_engine.turn import EARLY

TIERS: Final = ("tier1", "tier2")
MODES: Final = ("1", "2", "3", "4")
STEPS: Final = EARLY | frozenset(
    {
        "ask",
        "register",
        "brief",
        "retrieve",
        "suggest",
        "recall",
        "consent",
        "invoke",
        "reply",
        "cite",
        "assess",
        "tally",
        "save",
    }
)
STATUSES: Final = ("complete", "paused", "partial", "failed", "cancelled")
OUTCOMES: Final = ("done", "degraded", "failed", "skipped", "unknown")
DECISIONS: Final = ("approved", "edited", "rejected", "expired")
DECIDERS: Final = ("person", "policy", "nobody")
DISCARDED: Final = ("guess", "copy", "fallback")
GUESSES: Final = ("accepted", "dropped", "right_unused", "wrong_unused")
TOKEN_CLASSES: Final = ("input", "cached", "output", "reasoning", "estimated_input", "estimated_output")
PROVIDER_KINDS: Final = ("extractive", "embedded", "cache", "scripted", "api", "unknown")
CACHES: Final = ("retrieval", "embedding", "suggestions", "answer")
CACHE_OUTCOMES: Final = ("hit", "miss", "shared")
SUGGESTIONS: Final = ("proposed", "unknown_tool", "invalid_arguments", "failed")

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


def outcome_label(outcome: Outcome[Any]) -> str:
    match outcome:
        case Done():
            return "done"
        case Degraded():
            return "degraded"
        case Failed():
            return "failed"
        case _:
            return "skipped"


def code_of(error: BaseException) -> str:
    """The stable code of one of our errors, the class name of a foreign one. Never its text, which may hold anything."""
    return error.code if isinstance(error, VitalError) else type(error).__name__
