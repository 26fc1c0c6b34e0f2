"""The ports: Protocols for the services that a turn needs.

Any object with the methods of a port is a service; there is nothing to inherit. Most ports have one method. A method
may be ``async def``, or a plain ``def``: the engine runs a plain one in a thread, so it may block. An exception of a
service becomes the outcome of its step and affects no other step. :mod:`vital_engine.testing` has a deterministic
service for each port.

:class:`Approvals` and :class:`ConversationLock` have several methods, because what they store outlives a turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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
    FunctionCalls,
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
    """Chooses the expert who answers."""

    async def route(self, question: Question, *, mode: int) -> Brief:
        """Choose an expert for *question*.

        :param question: if ``question.expert`` is set, that expert is chosen.
        :param mode: 1 to 4.
        :returns: the expert, the reason and the scores of all candidates.
        :raises NotFound: ``question.expert`` names no expert.
        """


@runtime_checkable
class Retriever(Protocol):
    """Finds passages for a query."""

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage] | Evidence:
        """Search the documents of *scope*.

        :param query: the text of the question.
        :param k: the largest number of passages to return.
        :param scope: tenant, user and domains; only their documents may be searched.
        :returns: passages, best first; empty if nothing fits. Return :class:`Evidence` to add notes or the version of
            the index.
        :raises RetrievalError: the search failed.
        """


@runtime_checkable
class ToolSuggester(Protocol):
    """Suggests tool calls that are worth making for a question."""

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """Suggest tool calls for *question*.

        :param question: the question.
        :param brief: the expert who answers; only tools that the expert allows may be suggested.
        :returns: calls with all their arguments, best first. Each call of a run has an id of its own.
            ``ToolCall.sources`` says where the arguments come from; without it, a value that is not in the question's
            own text taints the call (:mod:`vital_engine.nouns.provenance`).
        """


@runtime_checkable
class EarlySuggester(ToolSuggester, Protocol):
    """A :class:`ToolSuggester` that has suggestions immediately, and better ones later."""

    def suggestions(self, question: Question, brief: Brief) -> AsyncIterator[ToolSuggestions]:
        """Suggest tool calls for *question*, several times.

        Each item replaces the one before. If the time is up, or this raises, the last item counts; its ``calls`` say
        what was paid for by then.

        :param question: the question.
        :param brief: the expert.
        """
        ...


@runtime_checkable
class FunctionCalling(Protocol):
    """A model that can ask for functions to be called. Cancelling a call stops the model."""

    @property
    def model(self) -> str:
        """Name of the model."""

    @property
    def provider(self) -> str:
        """Name of the provider."""

    async def function_calls(
        self, messages: Sequence[Mapping[str, str]], functions: Sequence[Mapping[str, Any]]
    ) -> FunctionCalls:
        """Ask the model which functions to call.

        :param messages: chat messages.
        :param functions: each with ``name``, ``description`` and ``parameters`` (a JSON schema).
        :returns: the calls in the model's order; none if it asks for none.
        :raises ModelError: the model failed.
        """
        ...


@runtime_checkable
class MemoryStore(Protocol):
    """Recalls earlier turns of a conversation."""

    async def recall(self, question: Question) -> Memory:
        """Recall what was said before in ``question.conversation``.

        :param question: the question; without a conversation the result is empty.
        :returns: earlier turns, oldest first, a summary of older ones, and facts about the user.
        """


@runtime_checkable
class Caller(Protocol):
    """Calls tools."""

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:
        """Make one approved call.

        :param tool_call: the call; its id is the idempotency key.
        :param scope: tenant and user for whom the call is made.
        :returns: the result.
        :raises ToolError: the tool failed.
        """


@runtime_checkable
class Declaring(Protocol):
    """A :class:`Caller` that may also know the declarations of its tools, whichever service suggests them."""

    def declared(self, tool_call: ToolCall) -> ToolCall:
        """*tool_call* with no less of effect, cost and consent than its tool has. At once, and without waiting."""


@runtime_checkable
class LLM(Protocol):
    """A language model."""

    def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        """Generate an answer to *prompt*. Closing the iterator must stop the model.

        :param prompt: the segments that the model reads, and the nouns behind them.
        :returns: pieces of text as the model produces them; the last piece has usage, model, provider and finish
            reason.
        :raises ModelError: the model failed.
        """


@runtime_checkable
class Prefiller(Protocol):
    """An :class:`LLM` whose server can read the beginning of a prompt before the rest is known."""

    # A server that reads in between what it writes, and holds no place for it, may say ``reads_between = True``: then it
    # is read to ahead also where all its places are taken.
    async def prefill(self, prompt: Prompt) -> Prefilled:
        """Read the first segments of a prompt into the server's cache; this produces no output tokens.

        A later ``stream`` of the whole prompt, with the same ``question.run_id``, need not read them again. Cancelling
        this call leaves the server usable.

        :param prompt: a prompt of which only the first segments are filled.
        :returns: how many tokens the server computed and how many it found in its cache.
        :raises ModelError: the server failed.
        """


@runtime_checkable
class CitationChecker(Protocol):
    """Checks the citations of an answer, sentence by sentence."""

    async def check(self, sentence: Sentence, evidence: Evidence, *, scope: Scope | None = None) -> Sequence[Citation]:
        """Check each citation marker of *sentence*.

        :param sentence: one sentence of the answer.
        :param evidence: passage *i* (from 0) is cited as ``[i + 1]``.
        :param scope: whose documents these are, for a checker that reads the stored text.
        :returns: one citation for each marker, with passage, quote and verdict.
        """


@runtime_checkable
class Judge(Protocol):
    """Assesses how well the evidence supports an answer, sentence by sentence."""

    async def support(self, sentence: Sentence, evidence: Evidence) -> SentenceSupport:
        """Assess one sentence.

        :param sentence: one sentence of the answer.
        :param evidence: what was retrieved.
        :returns: a score from 0 to 1; None if it cannot be assessed.
        """


@runtime_checkable
class Accountant(Protocol):
    """Prices model calls."""

    async def price(self, call: Call) -> LedgerRow:
        """Price one call by its usage, model and date.

        :param call: the call.
        :returns: the price in USD; None if the model or the usage is unknown.
        """


class Grader(Protocol):
    """Grades an answer: a pure function that does not wait."""

    def __call__(
        self,
        citations: Citations,
        support: Support,
        evidence: Evidence,
        draft: Draft,
        steps: float,
    ) -> Quality:
        """Grade an answer.

        :param citations: its checked citations.
        :param support: its support by the evidence.
        :param evidence: what was retrieved.
        :param draft: the text of the model.
        :param steps: which share of the steps that run beside others did their part, 0 to 1.
        :returns: a score from 0 to 1, and its parts.
        """


@runtime_checkable
class TurnStore(Protocol):
    """Stores turns: once when they begin, and exactly once when they end."""

    async def begin(self, question: Question, *, mode: int) -> None:
        """Store that a turn has begun, before its first event is sent.

        :param question: the question, with its run id.
        :param mode: 1 to 4.
        :raises StoreError: the database failed.
        """

    async def save(self, turn: TurnRecord) -> None:
        """Store a finished turn: the answer, its ledger and its receipt in one transaction. A second call for the same
        run changes nothing.

        :param turn: the finished turn.
        :raises StoreError: the database failed.
        """


@runtime_checkable
class ArgumentValidator(Protocol):
    """Validates the arguments of a tool call."""

    async def validate(self, tool_call: ToolCall) -> ToolCall:
        """Bring a call's arguments into normal form.

        :param tool_call: the call, with arguments as a person or a model gave them.
        :returns: the call as its tool would receive it.
        :raises InvalidArguments: the tool does not accept the arguments.
        :raises ToolError: there is no such tool any more, or its definition has changed.
        """


@runtime_checkable
class Approvals(Protocol):
    """Stores paused turns and the calls that wait for a decision. Each approval is decided once, and its call starts
    once.

    Each method compares and sets in one transaction that is committed before it returns.
    :mod:`vital_engine.nouns.transitions` defines the transitions.

    :raises NotFound: each method: there is no such turn, or it is not that of ``scope``'s user.
    """

    async def pause(self, paused: Paused, *, seconds: float) -> PausedTurn:
        """Store a paused turn, with one approval for each suggested call that was not refused.

        :param paused: what the turn has made so far.
        :param seconds: how long a person may take to decide.
        :returns: the turn and its approvals; if the run was paused before, what was stored then.
        """

    async def look(self, run_id: str, scope: Scope) -> PausedTurn:
        """Read a paused turn.

        :param run_id: the turn.
        :param scope: tenant and user.
        :returns: the turn and its approvals as they stand now.
        """

    async def pending(self, scope: Scope, *, limit: int = 50) -> Sequence[PausedTurn]:
        """List turns of *scope*'s user that are not yet answered, oldest first.

        :param scope: tenant and user.
        :param limit: the largest number of turns to return.
        :returns: the turns and their approvals.
        """

    async def decide(
        self, run_id: str, decisions: Mapping[str, ApprovalDecision], scope: Scope, *, by: str
    ) -> PausedTurn:
        """Apply all of *decisions*, or none of them.

        :param run_id: the paused turn.
        :param decisions: approval id -> decision.
        :param scope: tenant and user.
        :param by: the person who decides.
        :returns: the turn and its approvals after the decisions.
        :raises Conflict: an approval was decided differently before.
        :raises Expired: the time to decide has passed.
        :raises NotFound: there is no such turn or approval.
        """

    async def claim(self, run_id: str, scope: Scope, *, seconds: float) -> Claim | None:
        """Claim the right to continue a paused turn.

        :param run_id: the paused turn.
        :param scope: tenant and user.
        :param seconds: how long the claim lasts without :meth:`hold`.
        :returns: the claim; None while another process holds it, or if the turn has been answered.
        """

    async def hold(self, claim: Claim, *, seconds: float) -> bool:
        """Extend a claim.

        :param claim: the claim.
        :param seconds: from now.
        :returns: False if another process holds the claim now.
        """

    async def start(self, claim: Claim, approval: str) -> tuple[Approval, bool]:
        """Record that the call of an approval begins, before it is made.

        :param claim: the claim under which the turn continues.
        :param approval: the approval's id.
        :returns: the approval, and whether the call is to be made now.
        :raises Conflict: the claim was lost.
        """

    async def finish(self, claim: Claim, approval: str, tool_result: ToolResult) -> Approval:
        """Record the result of a call.

        :param claim: the claim under which the turn continues.
        :param approval: the approval's id.
        :param tool_result: what the call returned.
        :returns: the approval with its result; the first result counts.
        :raises Conflict: the claim was lost.
        """


@runtime_checkable
class ConversationLock(Protocol):
    """Lets one turn of a conversation run at a time, in the order of their arrival."""

    async def ask(self, question: Question, *, seconds: float) -> Lease:
        """Take a place in the queue of the conversation.

        :param question: the question; the same run gets its old place back if that still exists.
        :param seconds: how long the place lasts without :meth:`hold`.
        :returns: the place.
        """

    async def wait(self, lease: Lease, *, within: float) -> bool:
        """Wait until this turn is the first in the queue.

        :param lease: the place.
        :param within: the longest wait, in seconds.
        :returns: False if the time was not enough.
        """

    async def hold(self, lease: Lease, *, seconds: float) -> bool:
        """Extend a place.

        :param lease: the place.
        :param seconds: from now.
        :returns: False if the place was lost.
        """

    async def leave(self, lease: Lease) -> None:
        """Give a place up.

        :param lease: the place.
        """


@runtime_checkable
class Summarizer(Protocol):
    """Keeps the summary of a conversation up to date."""

    async def summarize(self, question: Question) -> None:
        """Add the turns that no longer fit the window of ``question.conversation`` to its summary.

        :param question: a question of the conversation.
        """


@runtime_checkable
class Embedder(Protocol):
    """Embeds texts. ``model`` identifies the vector space; ``dimensions`` is the length of a vector."""

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed *texts*; may block.

        :param texts: n texts.
        :returns: float32 array of shape (n, ``dimensions``), one unit vector per row.
        """


class Vectors(Protocol):
    """A two-dimensional float32 array, for example of numpy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def __getitem__(self, index: int, /) -> Sequence[float]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Replicas:
    """For each step that only reads, a second service for hedged calls; None: there is no second service.

    A replica must fail and stall independently of the first service; one behind the same server does not help. The
    engine calls ``checker``, ``judge`` and ``accountant`` once for each sentence.

    :param retriever: see :class:`Retriever`.
    :param tool_suggester: see :class:`ToolSuggester`.
    :param memory: see :class:`MemoryStore`.
    :param llm: see :class:`LLM`.
    :param checker: see :class:`CitationChecker`.
    :param judge: see :class:`Judge`.
    :param accountant: see :class:`Accountant`.
    """

    retriever: Retriever | None = None
    tool_suggester: ToolSuggester | None = None
    memory: MemoryStore | None = None
    llm: LLM | None = None
    checker: CitationChecker | None = None
    judge: Judge | None = None
    accountant: Accountant | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """The service for each port.

    :param router: chooses the expert.
    :param retriever: finds passages.
    :param tool_suggester: suggests tool calls.
    :param memory: recalls earlier turns.
    :param caller: calls tools.
    :param llm: answers.
    :param checker: checks citations.
    :param judge: assesses support.
    :param accountant: prices calls.
    :param grader: grades the answer.
    :param turns: stores turns; None: nothing is stored.
    :param approvals: stores pauses; modes 1 and 3 need it.
    :param argument_validator: None: a person may approve and reject, but not edit.
    :param conversation_lock: None: turns of one conversation may overlap.
    :param summarizer: None: conversations have no summary.
    :param replicas: services for hedged calls.
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
    """*llm* as a :class:`Prefiller`.

    :param llm: a model service.
    :returns: *llm* if it can read the beginning of a prompt before the rest is known, else None.
    """
    return llm if isinstance(llm, Prefiller) and callable(llm.prefill) else None
