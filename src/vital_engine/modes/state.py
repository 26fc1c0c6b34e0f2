"""A turn as a graph sees it: one key per noun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from vital_engine.nouns.answer import Answer, Timing
from vital_engine.nouns import (
    Brief,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    Memory,
    Question,
    Support,
    ToolResults,
    ToolSuggestions,
)


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the outcomes of several nodes come together: by the step's name."""
    return {**old, **new}


class TurnState(TypedDict, total=False):
    """``question`` is given; each other key is written by the node that makes it, and read by a later one.

    ``brief`` and ``draft`` are None where their step made nothing; ``outcomes`` says why, by the step's name.
    """

    question: Question
    brief: Brief | None
    evidence: Evidence
    suggestions: ToolSuggestions
    memory: Memory
    consent: Consent
    tool_results: ToolResults
    draft: Draft | None
    timing: Timing
    citations: Citations
    support: Support
    cost: Cost
    outcomes: Annotated[Mapping[str, Any], merged]
    answer: Answer


Update = TurnState
"""What a node returns: the keys that it made."""
