"""The steps of a turn, each once: what it makes, in which tier, what happens when it fails, and how that is said.

Everything that lists steps is derived from this table: the flows, the state of a graph, the notices, the labels of metrics,
the table in docs/design.md. A new step is one entry here, one function and one test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from vital_engine.errors import FlowError
from vital_engine.flow import Outcome, Policy, Reason, Step, step
from vital_engine.nouns import (
    Brief,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    Memory,
    Question,
    ReadConversation,
    ReadInstructions,
    ReadTools,
    Registered,
    Saved,
    Support,
    ToolResults,
    ToolSuggestions,
)

T = TypeVar("T")

TIER1: Final = "tier1"
TIER2: Final = "tier2"
Effect: TypeAlias = Literal["pure", "read", "write", "call"]
"""What a step does to the world: nothing, it reads, it writes to the store, it calls tools that may have effects."""


@dataclass(frozen=True, slots=True)
class PlannedStep(Generic[T]):
    """One row of the table.

    :param name: of the function, in logs, and the label of metrics.
    :param makes: type of its product.
    :param key: of the product in a graph's state and in the answer; empty: none.
    :param tier: the group that barriers, limits and metrics refer to.
    :param fallback: makes the product if it fails; None: the turn needs the step.
    :param for_model: the line in the prompt if it fails.
    :param for_user: the warning in the answer if it fails; ``{reason}`` is replaced.
    :param effect: see :data:`Effect`.
    :param optional: a turn under load may leave it out.
    :param early: it adds nothing to the answer, and its failure degrades nothing.
    """

    name: str
    makes: type[T]
    key: str = ""
    tier: str = ""
    fallback: Callable[[], T] | None = None
    for_model: str = ""
    for_user: str = ""
    effect: Effect = "read"
    optional: bool = False
    early: bool = False

    @property
    def required(self) -> bool:
        """Whether the turn fails without it."""
        return self.fallback is None

    @property
    def hedgeable(self) -> bool:
        """Whether it may be sent twice: it is pure, or only reads."""
        return self.effect in ("pure", "read")

    def of(self, work: Callable[..., Awaitable[T]], *, within: float | None = None) -> Step[T]:
        """*work* as this step of a flow, with its fallback.

        :param work: the function, its ports bound.
        :param within: seconds that it may take; None: only the turn's deadline counts.
        :raises FlowError: *work* is another step's.
        """
        made = step(work)
        if made.name != self.name or made.makes is not self.makes:
            raise FlowError(
                f"{made.name!r} makes {made.makes.__name__}; the plan has {self.name!r} for {self.makes.__name__}"
            )
        made = made.under(Policy(within, tier=self.tier))
        return made if self.fallback is None else made.fallback(self.fallback())

    def outcome(self, outcomes: Mapping[str, Outcome[Any]]) -> Outcome[T] | None:
        """Its outcome among those of a turn; None: it did not come to that."""
        return outcomes.get(self.name)

    def made(self, outcomes: Mapping[str, Outcome[Any]], otherwise: T) -> T:
        """What it made, or its fallback; *otherwise* where there is neither, or it was not kept."""
        outcome = outcomes.get(self.name)
        return outcome.value if outcome is not None and isinstance(outcome.value, self.makes) else otherwise


ASK: Final = PlannedStep("ask", Question, key="question", effect="pure")
REGISTER: Final = PlannedStep(
    "register",
    Registered,
    fallback=Registered,
    for_user="The beginning of this turn could not be written down ({reason}).",
    effect="write",
)
BRIEF: Final = PlannedStep("brief", Brief, key="brief", tier="brief", for_user="No expert could be chosen ({reason}).")
RETRIEVE: Final = PlannedStep(
    "retrieve",
    Evidence,
    key="evidence",
    tier=TIER1,
    fallback=Evidence.missing,
    for_model=(
        "The search of the documents failed: nobody could look. This is not the same as finding nothing. "
        "Say that the documents could not be searched, and claim nothing that would need them."
    ),
    for_user="The documents could not be searched ({reason}). The answer does not rest on them.",
)
SUGGEST: Final = PlannedStep(
    "suggest",
    ToolSuggestions,
    key="suggestions",
    tier=TIER1,
    fallback=ToolSuggestions.missing,
    for_model="The choice of tools failed: no tool was considered.",
    for_user="Tools could not be suggested ({reason}); none was considered.",
    optional=True,
)
RECALL: Final = PlannedStep(
    "recall",
    Memory,
    key="memory",
    tier=TIER1,
    fallback=Memory.missing,
    for_model="The earlier conversation could not be recalled; do not assume that there was none.",
    for_user="The earlier conversation could not be recalled ({reason}).",
    optional=True,
)
CONSENT: Final = PlannedStep(
    "consent",
    Consent,
    key="consent",
    tier="consent",
    fallback=Consent.missing,
    for_model="Tool calls could not be approved; none was made.",
    for_user="Tool calls could not be approved ({reason}); none was made.",
    effect="pure",
)
INVOKE: Final = PlannedStep(
    "invoke",
    ToolResults,
    key="tool_results",
    tier="invoke",
    fallback=ToolResults.missing,
    for_model="The approved tools could not be called; their results are missing.",
    for_user="The approved tools could not be called ({reason}).",
    effect="call",
)
READ_INSTRUCTIONS: Final = PlannedStep(
    "read_instructions",
    ReadInstructions,
    tier="prefill",
    fallback=lambda: ReadInstructions(failed=True),
    optional=True,
    early=True,
)
READ_CONVERSATION: Final = PlannedStep(
    "read_conversation",
    ReadConversation,
    tier="prefill",
    fallback=lambda: ReadConversation(failed=True),
    optional=True,
    early=True,
)
READ_TOOLS: Final = PlannedStep(
    "read_tools", ReadTools, tier="prefill", fallback=lambda: ReadTools(failed=True), optional=True, early=True
)
REPLY: Final = PlannedStep(
    "reply",
    Draft,
    key="draft",
    tier="reply",
    for_user="The answer was cut off before its end ({reason}); what came is kept.",
)
CITE: Final = PlannedStep(
    "cite",
    Citations,
    key="citations",
    tier=TIER2,
    fallback=Citations.missing,
    for_user="The citations could not be checked ({reason}).",
    optional=True,
)
ASSESS: Final = PlannedStep(
    "assess",
    Support,
    key="support",
    tier=TIER2,
    fallback=Support.missing,
    for_user="How well the evidence supports the answer could not be assessed ({reason}).",
    optional=True,
)
TALLY: Final = PlannedStep(
    "tally",
    Cost,
    key="cost",
    tier=TIER2,
    fallback=Cost.missing,
    for_user="The cost could not be worked out ({reason}); it is unknown.",
    effect="pure",
)
SAVE: Final = PlannedStep("save", Saved, for_user="This answer could not be saved ({reason}).", effect="write")

STEPS: Final[tuple[PlannedStep[Any], ...]] = (
    ASK, REGISTER, BRIEF, RETRIEVE, SUGGEST, RECALL, CONSENT, INVOKE, READ_INSTRUCTIONS, READ_CONVERSATION, READ_TOOLS,
    REPLY, CITE, ASSESS, TALLY, SAVE,
)  # fmt: skip
"""In the order of a turn."""
BY_NAME: Final[Mapping[str, PlannedStep[Any]]] = MappingProxyType({s.name: s for s in STEPS})
KEYS: Final[Mapping[type, str]] = MappingProxyType({s.makes: s.key for s in STEPS if s.key})
"""Type of a product -> its key in a graph's state."""
TIERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {tier: tuple(s.name for s in STEPS if s.tier == tier) for tier in (TIER1, TIER2)}
)
"""The two wide tiers, and the names of their steps."""
EARLY: Final = frozenset(s.name for s in STEPS if s.early)

_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timeout": "it took too long",
        "error": "it failed",
        "cancelled": "it was cancelled",
        "wrong_type": "it gave something unusable",
        "abandoned": "it took too long and would not stop",
        "skipped": "what it needs was missing",
    }
)


def for_user(name: str, reason: Reason | str) -> str:
    """The warning in the answer where the step *name* failed for *reason*."""
    because = _REASONS.get(reason, reason)
    planned = BY_NAME.get(name)
    if planned is None or not planned.for_user:
        return f"The step {name!r} did not do its part ({because})."
    return planned.for_user.format(reason=because)


def tools_matched(reason: Reason | str) -> str:
    """The warning where the model that suggests tools gave nothing, and what the question spells out stands instead."""
    because = _REASONS.get(reason, reason)
    return f"The model that suggests tools did not answer ({because}); tools were matched to the question by rule."


def table() -> str:
    """The table as Markdown; docs/design.md holds it."""
    head = "| step | makes | tier | when it fails | effect | may be hedged | optional under load |\n|---|---|---|---|---|---|---|"
    rows = [
        f"| {s.name} | {s.makes.__name__} | {s.tier or '-'} | {_when_it_fails(s)} | {s.effect} "
        f"| {'yes' if s.hedgeable else 'no'} | {'yes' if s.optional else 'no'} |"
        for s in STEPS
    ]
    return "\n".join([head, *rows])


def _when_it_fails(planned: PlannedStep[Any]) -> str:
    if planned is SAVE:  # it has no fallback and follows the answer
        return "a warning in the answer"
    return "the turn fails" if planned.required else "fallback"
