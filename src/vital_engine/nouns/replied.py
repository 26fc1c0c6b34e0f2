"""What the model reads and writes: nouns of the step ``reply``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .asked import Brief, Question
from .gathered import Evidence, Memory, ToolResults
from .paid import Usage

NOTHING_FOUND: Final = "No passage that fits the question was found in the documents."
"""Said to the model and to the user. A search that failed is never worded like one that found nothing."""
TOOL_RESULT: Final = "Result of the tool"
"""How an answer that only quotes begins what a tool has said: no claim that a passage could carry."""
CACHE = "cache"
"""The provider of an answer that came from the cache or from a turn at the same time: it costs nothing."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt. ``kind`` fixes its place: instructions, conversation, tools, evidence, question."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads: segments in a fixed order, and the nouns behind them for services that can use them.

    :param segments: in the order in which the model reads them.
    :param question: the question.
    :param brief: the expert.
    :param evidence: what was retrieved.
    :param memory: what was recalled.
    :param tool_results: what the tools returned.
    :param model: name of the model; None: the deployment's.
    :param temperature: sampling temperature.
    :param max_output_tokens: output tokens of the answer.
    """

    segments: tuple[Segment, ...]
    question: Question
    brief: Brief
    evidence: Evidence = Evidence()
    memory: Memory = Memory()
    tool_results: ToolResults = ToolResults()
    model: str | None = None
    temperature: float = 0.0
    max_output_tokens: int = 1024

    def __str__(self) -> str:
        return "\n\n".join(s.text for s in self.segments if s.text)

    def __contains__(self, text: str) -> bool:
        return text in str(self)

    def messages(self) -> list[dict[str, str]]:
        """The prompt as chat messages.

        :returns: the instructions as the system message, all other segments as one user message.
        """
        system = "\n\n".join(s.text for s in self.segments if s.kind == "instructions")
        user = "\n\n".join(s.text for s in self.segments if s.kind != "instructions" and s.text)
        return [{"role": "system", "content": system}, {"role": "user", "content": user}]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function that a model asks for.

    :param name: of the function.
    :param arguments: JSON, as the model wrote it; it may be invalid.
    """

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class FunctionCalls:
    """The answer of a model that was given functions to call.

    :param calls: in the model's order.
    :param usage: tokens of the call; None: the server reported nothing.
    :param model: name of the model.
    :param provider: name of the provider.
    """

    calls: tuple[FunctionCall, ...] = ()
    usage: Usage | None = None
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """What a model server read of a prompt before the rest of it was known.

    :param computed: tokens that the server computed.
    :param cached: tokens that the server found in its cache.
    :param failed: prefilling failed, or did not end in time.
    """

    computed: int = 0
    cached: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ReadInstructions(Prefilled):
    """The server has read the instructions, or prefill was not tried."""


@dataclass(frozen=True, slots=True)
class ReadConversation(Prefilled):
    """The server has also read the earlier conversation."""


@dataclass(frozen=True, slots=True)
class ReadTools(Prefilled):
    """The server has also read the tool results."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """A paid call whose words are not part of the answer.

    :param why: ``copy`` (a hedged call that lost) or ``fallback`` (the model failed before its first word).
    :param usage: its tokens; None: unknown.
    :param model: name of the model.
    :param provider: name of the provider.
    """

    why: str
    usage: Usage | None = None
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One element of a model's stream: text, or usage and finish reason (usually the last piece), or a ``discarded``
    call.

    :param text: the next part of the answer.
    :param usage: tokens of the call.
    :param model: name of the model.
    :param provider: name of the provider.
    :param finish: why the model stopped; empty: it goes on.
    :param discarded: a call beside this one whose words are not used.
    """

    text: str = ""
    usage: Usage | None = None
    model: str = ""
    provider: str = ""
    finish: str = ""
    discarded: Discarded | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model wrote.

    :param text: the answer.
    :param model: name of the model.
    :param provider: name of the provider.
    :param finish: stop, length, error or cancelled.
    :param usage: tokens of the call; None: unknown.
    :param error: code of the error that ended the stream; empty: none.
    :param discarded: paid calls whose words are not used.
    :param output_limit: output tokens that the question's cost limit left, if they are fewer than the model's own limit;
        else None.
    """

    text: str = ""
    model: str = ""
    provider: str = ""
    finish: str = "stop"
    usage: Usage | None = None
    error: str = ""
    discarded: tuple[Discarded, ...] = ()
    output_limit: int | None = None
