"""What a turn makes, in the order in which it comes about. Frozen, plain, and nothing else.

Question -> Brief -> Evidence, ToolSuggestions, Memory -> Consent -> ToolResults -> Prompt -> Draft
-> Citations, Support, Cost -> Quality -> Answer. :mod:`.codec` writes them as versioned JSON and reads them back;
:mod:`.transitions` is the life of an approval. May import: flow (for outcomes), errors.

Each type is a wire between two steps: a step says in its signature which it needs and which it makes.
``X.missing()`` is the fallback of a step that failed; it is never equal to "looked, and found nothing".
All offsets are counted in Unicode characters, half open; all times are seconds; all money is USD in Decimal.

May import: errors.
"""

from .answer import Answer, HedgeFacts, Receipt, Status, StepRow, TierFacts, Timing, TurnEnded
from .approved import Action, Approval, ApprovalDecision, ApprovalStatus, Claim, Lease, Paused, PausedTurn
from .asked import Brief, Expert, Limits, Question, Scope
from .gathered import (
    ArgumentSource,
    Consent,
    Decision,
    Effect,
    Evidence,
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
from .replied import (
    CACHE,
    NOTHING_FOUND,
    TOOL_RESULT,
    Discarded,
    Draft,
    FunctionCall,
    FunctionCalls,
    Piece,
    Prefilled,
    Prompt,
    ReadConversation,
    ReadInstructions,
    ReadTools,
    Segment,
)
from .reviewed import (
    Citation,
    Citations,
    Cost,
    LedgerRow,
    Quality,
    Registered,
    Saved,
    Sentence,
    SentenceSupport,
    Support,
    TurnRecord,
)

__all__ = [
    "CACHE",
    "NOTHING_FOUND",
    "TOOL_RESULT",
    "Action",
    "Answer",
    "Approval",
    "ApprovalDecision",
    "ApprovalStatus",
    "ArgumentSource",
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
    "HedgeFacts",
    "Lease",
    "LedgerRow",
    "Limits",
    "Memory",
    "Passage",
    "PastTurn",
    "Paused",
    "PausedTurn",
    "Piece",
    "Prefilled",
    "Prompt",
    "Quality",
    "Question",
    "ReadConversation",
    "ReadInstructions",
    "ReadTools",
    "Receipt",
    "Registered",
    "Saved",
    "Scope",
    "Segment",
    "Sentence",
    "SentenceSupport",
    "Status",
    "StepRow",
    "Support",
    "TierFacts",
    "Timing",
    "ToolCall",
    "ToolResult",
    "ToolResults",
    "ToolSuggestions",
    "TurnEnded",
    "TurnRecord",
    "Usage",
    "passages_of",
]
