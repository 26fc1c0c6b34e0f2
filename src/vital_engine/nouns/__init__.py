"""What a turn makes, in the order in which it comes about. Frozen, plain, and nothing else.

Question -> Brief -> Evidence, Menu, Memory -> Consent -> Findings -> Prompt -> Draft
-> Citations, Support, Cost -> Quality -> Answer (in :mod:`vital_engine.turn`).

Each type is a wire between two steps: a step says in its signature which it needs and which it makes.
``X.missing()`` is the stand-in of a step that failed; it is never equal to "looked, and found nothing".
All offsets are counted in Unicode characters, half open; all times are seconds; all money is USD in Decimal.
"""

from .approved import Approval, ApprovalDecision, ApprovalStatus, Claim, Lease, PastStep, Paused, PausedTurn
from .asked import Brief, Expert, Limits, Question, Scope
from .gathered import (
    Consent,
    Decision,
    Effect,
    Evidence,
    Guess,
    Guessed,
    Memory,
    Passage,
    PastTurn,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSuggestions,
    passages_of,
)
from .paid import Call, Usage
from .replied import Discarded, Draft, FunctionCall, FunctionCalls, Piece, Prefilled, Prompt, Segment
from .reviewed import Citation, Citations, Cost, LedgerRow, Quality, Sentence, SentenceSupport, Support, TurnRecord

__all__ = [
    "Approval",
    "ApprovalDecision",
    "ApprovalStatus",
    "Brief",
    "Call",
    "Citation",
    "Citations",
    "Claim",
    "Consent",
    "Cost",
    "Decision",
    "Discarded",
    "Draft",
    "Effect",
    "Evidence",
    "Expert",
    "FunctionCall",
    "FunctionCalls",
    "Guess",
    "Guessed",
    "Lease",
    "LedgerRow",
    "Limits",
    "Memory",
    "Passage",
    "PastStep",
    "PastTurn",
    "Paused",
    "PausedTurn",
    "Piece",
    "Prefilled",
    "Prompt",
    "Quality",
    "Question",
    "Scope",
    "Segment",
    "Sentence",
    "SentenceSupport",
    "Support",
    "ToolCall",
    "ToolResult",
    "ToolResults",
    "ToolSuggestions",
    "TurnRecord",
    "Usage",
    "passages_of",
]
