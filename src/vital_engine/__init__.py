"""VITAL Engine: a whole expert-assistant turn in the time of its model call.

The public names, loaded when they are first used: importing this package starts nothing and loads nothing heavy.
The tree reads from the top down: :mod:`.nouns` (what a turn makes), :mod:`.turn` (what it does, in order),
:mod:`.flow` (how steps run together), :mod:`.services` (who does it), :mod:`.modes` (which turn).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Engine
    from .modes import (
        Broken,
        Cited,
        Event,
        Finished,
        Mode1ManualWorkflow,
        Mode2AutomaticWorkflow,
        Mode3ChatManualWorkflow,
        Mode4ChatAutomaticWorkflow,
        ParallelBaseWorkflow,
        Spent,
        Started,
        StepEvent,
        Token,
    )
    from .nouns import Answer, ApprovalDecision, Citation, Effect, Limits, Question, Receipt
    from .ports import Services
    from .services.tools.tool import tool
    from .settings import Settings

__version__ = "0.1.0"

_HOMES = {
    "Answer": ".nouns",
    "ApprovalDecision": ".nouns",
    "Broken": ".modes",
    "Citation": ".nouns",
    "Cited": ".modes",
    "Effect": ".nouns",
    "Engine": ".engine",
    "Event": ".modes",
    "Finished": ".modes",
    "Limits": ".nouns",
    "Mode1ManualWorkflow": ".modes",
    "Mode2AutomaticWorkflow": ".modes",
    "Mode3ChatManualWorkflow": ".modes",
    "Mode4ChatAutomaticWorkflow": ".modes",
    "ParallelBaseWorkflow": ".modes",
    "Question": ".nouns",
    "Receipt": ".nouns",
    "Services": ".ports",
    "Settings": ".settings",
    "Spent": ".modes",
    "Started": ".modes",
    "StepEvent": ".modes",
    "Token": ".modes",
    "tool": ".services.tools",
}

__all__ = [
    "Answer",
    "ApprovalDecision",
    "Broken",
    "Citation",
    "Cited",
    "Effect",
    "Engine",
    "Event",
    "Finished",
    "Limits",
    "Mode1ManualWorkflow",
    "Mode2AutomaticWorkflow",
    "Mode3ChatManualWorkflow",
    "Mode4ChatAutomaticWorkflow",
    "ParallelBaseWorkflow",
    "Question",
    "Receipt",
    "Services",
    "Settings",
    "Spent",
    "Started",
    "StepEvent",
    "Token",
    "__version__",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
