"""What is said when a step did not do its part: to the model, in the prompt, and to the user, in the answer.

One table, so that both are told the same. "Nobody could look" is never worded like "nothing was found".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOTHING_FOUND: Final = "No passage that fits the question was found in the documents."

TOOL_RESULT: Final = "Result of the tool"
"""How an answer that only quotes begins what a tool has said: no claim that a passage could carry."""

#: step -> (line in the prompt, warning to the user)
NOTICES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "brief": ("", "No expert could be chosen ({reason})."),
        "retrieve": (
            (
                "The search of the documents failed: nobody could look. This is not the same as finding nothing. "
                "Say that the documents could not be searched, and claim nothing that would need them."
            ),
            "The documents could not be searched ({reason}). The answer does not rest on them.",
        ),
        "suggest": (
            "The choice of tools failed: no tool was considered.",
            "Tools could not be suggested ({reason}); none was considered.",
        ),
        "recall": (
            "The earlier conversation could not be recalled; do not assume that there was none.",
            "The earlier conversation could not be recalled ({reason}).",
        ),
        "consent": (
            "Tool calls could not be approved; none was made.",
            "Tool calls could not be approved ({reason}); none was made.",
        ),
        "invoke": (
            "The approved tools could not be called; their results are missing.",
            "The approved tools could not be called ({reason}).",
        ),
        "reply": ("", "The answer was cut off before its end ({reason}); what came is kept."),
        "cite": ("", "The citations could not be checked ({reason})."),
        "assess": ("", "How well the evidence supports the answer could not be assessed ({reason})."),
        "tally": ("", "The cost could not be worked out ({reason}); it is unknown."),
        "register": ("", "The beginning of this turn could not be written down ({reason})."),
        "save": ("", "This answer could not be saved ({reason})."),
    }
)

_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timeout": "it took too long",
        "error": "it failed",
        "cancelled": "it was cancelled",
        "wrong_type": "it gave something unusable",
        "breaker_open": "it has failed repeatedly and is resting",
        "shed": "too much is running",
        "abandoned": "it took too long and would not stop",
        "skipped": "what it needs was missing",
    }
)


def for_model(step: str) -> str:
    return NOTICES[step][0] if step in NOTICES else ""


def tools_matched(reason: str) -> str:
    """For the user, where the model that suggests tools gave nothing, and what the question spells out stands instead."""
    because = _REASONS.get(reason, reason)
    return f"The model that suggests tools did not answer ({because}); tools were matched to the question by rule."


def for_user(step: str, reason: str) -> str:
    because = _REASONS.get(reason, reason)
    if step not in NOTICES:
        return f"The step {step!r} did not do its part ({because})."
    return NOTICES[step][1].format(reason=because)
