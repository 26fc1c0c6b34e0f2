"""The ways to run a turn that are measured side by side: this engine with its features switched off in turn, and what
one would write by hand. Data: each names what the oracle may allow it, and what its figures are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.modes.events import Token
from vital_engine.nouns import Answer, Question, ToolSuggestions
from vital_engine.ports import Services

from .handwritten import as_batch, by_hand, by_itself, in_turn, unlimited
from .times import Times, Turn

Label = Literal["lossless", "cached"]
"""``lossless``: every word was made of what this turn found. ``cached``: something was known from an earlier turn."""


@dataclass(frozen=True, slots=True)
class Variant:
    """``allows``: which of the oracle's policies it is the measure of. ``ours``: settings of this engine's workflow;
    else ``by_hand``. ``copies``: whether calls may be sent to a second, independent service."""

    name: str
    allows: str
    ours: Mapping[str, Any] | None = None
    by_hand: Callable[[Services], Turn] | None = None
    label: Label = "lossless"
    copies: bool = False
    says: str = ""

    def turn(self, services: Services) -> Turn:
        """Set up: one workflow for all turns, so that what it learns from one serves the next."""
        if self.by_hand is not None:
            return self.by_hand(services)
        workflow = Mode2AutomaticWorkflow(services, watchers=(), **(self.ours or {}))
        return engine(workflow, watched=self.copies)


def engine(workflow: Mode2AutomaticWorkflow, *, watched: bool = False) -> Turn:
    """*watched*: somebody reads the words as they come, and whether all of them are in the answer."""

    async def turn(question: Question) -> Times:
        if not watched:
            return times_of(await workflow.execute(question))
        running, shown = workflow.start(question), list[str]()
        async for event in running.events:
            if isinstance(event, Token):
                shown.append(event.text)
        answer = await running.answer()
        return replace(times_of(answer), retracted="".join(shown) != answer.text)

    return turn


def times_of(answer: Answer) -> Times:
    t = answer.timing
    known = [name for name, noun in (("retrieve", answer.evidence), ("suggest", _menu(answer))) if noun.cached]
    degraded = tuple(answer.degraded)
    return Times(t.first_token, t.last_token, t.total, answer.status, degraded, known=tuple(known))


def _menu(answer: Answer) -> ToolSuggestions:
    suggestions = getattr(answer.outcomes.get("suggest"), "value", None)
    return suggestions if isinstance(suggestions, ToolSuggestions) else ToolSuggestions()


_PLAIN: Mapping[str, Any] = {"hedging": False}

SEQUENTIAL = Variant("sequential", "sequential", {"profile": "sequential", **_PLAIN}, says="one step after another")
TIERS = Variant("tiers", "tiers", {"profile": "tiers", **_PLAIN}, says="two wide nodes with barriers")
STREAM = Variant("+ tier 2 reads along", "stream", {"prefill": "off", **_PLAIN}, says="no barriers")
PREFIX = Variant("+ prefix read ahead", "prefix", {"prefill": "prefix", **_PLAIN}, says="while retrieval runs")
SEGMENTS = Variant("+ segments read ahead", "segments", {"prefill": "segments", **_PLAIN}, says="as they arrive")
HEDGED = Variant("+ hedging", "segments", {}, copies=True, says="late calls are sent twice")
BY_HAND = (
    Variant("asyncio, one by one", "sequential", by_hand=lambda s: by_hand(s, in_turn), says="written by hand"),
    Variant("asyncio, gather", "tiers", by_hand=lambda s: by_hand(s, unlimited), says="two barriers, no limits"),
    Variant(
        "asyncio, the seed", "tiers", by_hand=lambda s: by_hand(s, as_batch), says="a gather per tier, 5 s and 2 s"
    ),
    Variant("asyncio, a limit each", "tiers", by_hand=lambda s: by_hand(s, by_itself), says="written by hand"),
)
LADDER = (SEQUENTIAL, TIERS, STREAM, PREFIX, SEGMENTS)
"""Each does what the one before it does, and one thing more."""
ALL = (*BY_HAND, *LADDER, HEDGED)
BY_NAME: Mapping[str, Variant] = {variant.name: variant for variant in ALL}
