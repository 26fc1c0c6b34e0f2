"""What the model reads and says: the nouns of reply."""

from __future__ import annotations

from dataclasses import dataclass

from .asked import Brief, Question
from .gathered import Evidence, Memory, ToolResults

CACHE = "cache"
"""The provider of an answer that was given before, or to another at the same time: nobody was paid for it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A typed part of a prompt. ``kind`` fixes its place: instructions, conversation, tools, evidence, question."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads, as segments in a fixed order, and the nouns behind it for models that can use them."""

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
        """The chat form: instructions as the system message, all else as one user message."""
        system = "\n\n".join(s.text for s in self.segments if s.kind == "instructions")
        user = "\n\n".join(s.text for s in self.segments if s.kind != "instructions" and s.text)
        return [{"role": "system", "content": system}, {"role": "user", "content": user}]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by class, as the server reported them. ``cached`` is part of ``input``, ``reasoning`` of ``output``."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Prefilled:
    """What a model's server read of a prompt before the rest of it was known: tokens ``computed`` now, and tokens that
    it found in its ``cached`` prefix. ``failed``: it could not, or not in time."""

    computed: int = 0
    cached: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Discarded:
    """A call whose words nobody was shown: it is paid for all the same. ``why``: guess (the inputs turned out to be
    others), copy (another replica was faster) or fallback (it failed before its first word)."""

    why: str
    usage: Usage | None = None
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One element of a model's stream: text and who speaks, or (usually last) what it used and why it stopped, or a
    call beside it that was ``discarded``."""

    text: str = ""
    usage: Usage | None = None
    model: str = ""
    provider: str = ""
    finish: str = ""
    discarded: Discarded | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model said. ``finish``: stop, length, error or cancelled; ``error`` is the code of what broke.
    ``output_limit``: tokens that the question's cost limit left for it, where those are fewer than it might have had."""

    text: str = ""
    model: str = ""
    provider: str = ""
    finish: str = "stop"
    usage: Usage | None = None
    error: str = ""
    call_id: str = ""
    discarded: tuple[Discarded, ...] = ()
    output_limit: int | None = None
