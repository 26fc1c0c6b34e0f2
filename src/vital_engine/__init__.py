"""VITAL Engine: a whole expert-assistant turn in the time of its model call.

The public names, loaded when they are first used: importing this package starts nothing and loads nothing heavy.
The tree reads from the top down: :mod:`.nouns` (what a turn makes), :mod:`.turn` (what it does, in order),
:mod:`.flow` (how steps run together), :mod:`.services` (who does it), :mod:`.modes` (which turn).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answer import Answer
    from .app import open_app
    from .modes import (
        Mode1ManualWorkflow,
        Mode2AutomaticWorkflow,
        Mode3ChatManualWorkflow,
        Mode4ChatAutomaticWorkflow,
        ParallelBaseWorkflow,
    )
    from .nouns import ApprovalDecision, Limits, Question
    from .ports import Services
    from .services.tools import tool

__version__ = "0.1.0"

_HOMES = {
    "Answer": ".answer",
    "Limits": ".nouns",
    "Mode1ManualWorkflow": ".modes",
    "Mode2AutomaticWorkflow": ".modes",
    "Mode3ChatManualWorkflow": ".modes",
    "Mode4ChatAutomaticWorkflow": ".modes",
    "ParallelBaseWorkflow": ".modes",
    "Question": ".nouns",
    "ApprovalDecision": ".nouns",
    "Services": ".ports",
    "open_app": ".app",
    "tool": ".services.tools",
}

__all__ = [
    "Answer",
    "ApprovalDecision",
    "Limits",
    "Mode1ManualWorkflow",
    "Mode2AutomaticWorkflow",
    "Mode3ChatManualWorkflow",
    "Mode4ChatAutomaticWorkflow",
    "ParallelBaseWorkflow",
    "Question",
    "Services",
    "__version__",
    "open_app",
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
