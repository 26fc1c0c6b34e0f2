"""What a turn leans on: one page of Protocols, each with one method and nothing to inherit.

Two have more, since what they keep outlives a turn: :class:`Approvals` (a pause) and :class:`ConversationLock` (a conversation).

Any object with the method fulfils the port. The method may be ``async def``, or a plain ``def``: a plain
one may block, and is run in a thread. What it raises is an outcome of its own step and of nothing else.
A deterministic fulfilment of each ships in :mod:`vital_engine.testing`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .nouns import (
    Approval,
    ApprovalDecision,
    Brief,
    Call,
    Citation,
    Citations,
    Claim,
    Draft,
    Evidence,
    Lease,
    LedgerRow,
    Memory,
    Passage,
    Paused,
    PausedTurn,
    Piece,
    Prefilled,
    Prompt,
    Quality,
    Question,
    Scope,
    Sentence,
    SentenceSupport,
    Support,
    ToolCall,
    ToolResult,
    ToolSuggestions,
    TurnRecord,
)


@runtime_checkable
class Router(Protocol):
    """Who answers. Obeys ``question.expert`` if it is set (NotFound if there is none of that name)."""

    async def route(self, question: Question, *, mode: int) -> Brief: ...


@runtime_checkable
class Retriever(Protocol):
    """Passages for a query, best first, at most *k*; an empty sequence if there is nothing. May return Evidence."""

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage] | Evidence: ...


@runtime_checkable
class ToolSuggester(Protocol):
    """Tool calls worth making for this question, best first, only from the expert's allowed tools."""

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions: ...


@runtime_checkable
class MemoryStore(Protocol):
    """Earlier turns of the question's conversation, and what is known of its user."""

    async def recall(self, question: Question) -> Memory: ...


@runtime_checkable
class Caller(Protocol):
    """Makes one approved call. Raises ToolError where the tool fails."""

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult: ...


@runtime_checkable
class LLM(Protocol):
    """A model's answer as it comes. Raises ModelError; closing the iterator must stop the model."""

    def stream(self, prompt: Prompt) -> AsyncIterator[Piece]: ...


@runtime_checkable
class Prefiller(Protocol):
    """What an :class:`LLM` may also be: one whose server can read the beginning of a prompt before the rest is known."""

    # A server that reads in between what it writes, and holds no place for it, may say ``reads_between = True``: then it
    # is read to ahead also where all its places are taken.
    async def prefill(self, prompt: Prompt) -> Prefilled:
        """Read *prompt*, of which only the first segments are there, so that ``stream`` of the whole one, with the same
        ``question.run_id``, need not read them again. Costs no output. Raises ModelError; a reading that is cancelled
        leaves the server as usable as before."""


@runtime_checkable
class CitationChecker(Protocol):
    """The citations of one sentence, each marker tied to a passage and a span, with a verdict.

    *scope*: whose documents they are, for a checker that looks the quote up in the stored text.
    """

    async def check(
        self, sentence: Sentence, evidence: Evidence, *, scope: Scope | None = None
    ) -> Sequence[Citation]: ...


@runtime_checkable
class Judge(Protocol):
    """How well the evidence carries one sentence."""

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport: ...


@runtime_checkable
class Accountant(Protocol):
    """The price of one call, from its usage, model and date; unknown stays None."""

    async def price(self, call: Call) -> LedgerRow: ...


class Grader(Protocol):
    """How good an answer is: a pure function, without waiting. ``steps``: which share of the steps that run beside others
    did their part, 0 to 1."""

    def __call__(
        self,
        citations: Citations,
        support: Support,
        evidence: Evidence,
        draft: Draft,
        steps: float,
    ) -> Quality: ...


@runtime_checkable
class TurnStore(Protocol):
    """Keeps turns: written down when they begin, kept exactly once when they end."""

    async def begin(self, question: Question, *, mode: int) -> None:
        """Write down that a turn has begun, before its first event is sent."""

    async def save(self, turn: TurnRecord) -> None:
        """Keep a finished turn: the answer, its ledger and its receipt in one transaction."""


@runtime_checkable
class ArgumentValidator(Protocol):
    """The call as its tool would take it, its arguments in normal form.

    Raises InvalidArguments where the tool refuses them, ToolError where it is gone or its definition has changed.
    """

    async def validate(self, tool_call: ToolCall) -> ToolCall: ...


@runtime_checkable
class Approvals(Protocol):
    """Paused turns, and the calls that wait for a person: each is settled once, and started once.

    All of it is by compare-and-set, committed before it returns; ``scope``: NotFound for what is somebody else's.
    What each transition does is said in :mod:`vital_engine.nouns.transitions`.
    """

    async def pause(self, paused: Paused, *, seconds: float) -> PausedTurn:
        """Keep *paused* with one approval for each proposal that is not refused, open for *seconds*. Again: the first."""

    async def look(self, run_id: str, scope: Scope) -> PausedTurn: ...

    async def pending(self, scope: Scope, *, limit: int = 50) -> Sequence[PausedTurn]:
        """Turns of *scope*'s user that are not yet answered, oldest first."""

    async def decide(
        self, run_id: str, decisions: Mapping[str, ApprovalDecision], scope: Scope, *, by: str
    ) -> PausedTurn:
        """All of *rulings* (approval id -> ruling) or none. Raises Conflict, Expired, NotFound."""

    async def claim(self, run_id: str, scope: Scope, *, seconds: float) -> Claim | None:
        """The right to go on, for *seconds*; None while another has it, or if the turn has been answered."""

    async def hold(self, claim: Claim, *, seconds: float) -> bool:
        """Keep the claim for *seconds* more. False: another has it now."""

    async def start(self, claim: Claim, approval: str) -> tuple[Approval, bool]:
        """The approval, and whether its call is to be made now. Raises Conflict where *claim* was lost."""

    async def finish(self, claim: Claim, approval: str, tool_result: ToolResult) -> Approval:
        """Keep what became of the call. Raises Conflict where *claim* was lost."""


@runtime_checkable
class ConversationLock(Protocol):
    """Who speaks in a conversation: one turn at a time, in the order in which they came."""

    async def ask(self, question: Question, *, seconds: float) -> Lease:
        """A place in the line, held for *seconds*. The same run again: its old place, if that is still there."""

    async def wait(self, lease: Lease, *, within: float) -> bool:
        """Until it is this turn's time to speak. False: *within* seconds were not enough."""

    async def hold(self, lease: Lease, *, seconds: float) -> bool:
        """Keep the place for at least *seconds* more. False: it was lost."""

    async def leave(self, lease: Lease) -> None: ...


@runtime_checkable
class Summarizer(Protocol):
    """Brings a conversation's summary up to date with the turns that its window has dropped."""

    async def summarize(self, question: Question) -> None: ...


@runtime_checkable
class Embedder(Protocol):
    """Unit vectors of texts, one row each, float32; ``model`` names whose they are. May block."""

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class Vectors(Protocol):
    """A two-dimensional float32 array, as numpy makes it."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, index: int, /) -> Sequence[float]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Replicas:
    """For each step that only reads, a second service that fails and stalls independently of the first; None: there is
    no other. A copy that shares the first one's server is none. The last three are asked about each sentence by itself."""

    retriever: Retriever | None = None
    tool_suggester: ToolSuggester | None = None
    memory: MemoryStore | None = None
    llm: LLM | None = None
    checker: CitationChecker | None = None
    judge: Judge | None = None
    accountant: Accountant | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """Who fulfils each port. ``turns`` None: nothing is kept.

    ``approvals``: modes 1 and 3 need it. ``argument_validator`` None: a person may approve and reject, but not edit. ``conversation_lock``
    None: turns of one conversation are not kept from overlapping. ``summarizer`` None: no summary is kept. ``replicas``:
    whom a call may be sent to a second time.
    """

    router: Router
    retriever: Retriever
    tool_suggester: ToolSuggester
    memory: MemoryStore
    caller: Caller
    llm: LLM
    checker: CitationChecker
    judge: Judge
    accountant: Accountant
    grader: Grader
    turns: TurnStore | None = None
    approvals: Approvals | None = None
    argument_validator: ArgumentValidator | None = None
    conversation_lock: ConversationLock | None = None
    summarizer: Summarizer | None = None
    replicas: Replicas = Replicas()


def prefiller(llm: object) -> Prefiller | None:
    """*llm*, if it can read the beginning of a prompt before the rest of it is known."""
    return llm if isinstance(llm, Prefiller) and callable(llm.prefill) else None
