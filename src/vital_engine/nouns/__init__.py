"""What a turn makes, in the order in which it is made. Every noun is a frozen dataclass, without behaviour of its own.

Question -> Brief -> Evidence, ToolSuggestions, Memory -> Consent -> ToolResults -> Prompt -> Draft -> Citations,
Support, Cost -> Quality -> Answer. :mod:`.codec` writes nouns as versioned JSON and reads them back;
:mod:`.transitions` has the states of an approval.

Each type is a wire between two steps: a step's signature says which nouns it needs and which one it makes.
``X.missing()`` is the fallback of a step that failed; it never equals the result of a step that found nothing. Offsets
count Unicode characters, half open; times are seconds; money is USD, as Decimal.

May import: flow (for outcomes), errors.
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
