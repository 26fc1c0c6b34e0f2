"""A turn cut into parts, for those who run it node by node: the same steps, under the same limits and stand-ins.

What a part needs of an earlier one is in the state, with the outcomes of the steps before. Where the earlier step made
nothing, the part meets its failure as it would in one run, and gives the same stand-ins for the same reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from vital_engine.errors import StepFailed
from vital_engine.flow import Degraded, Done, Failed, Flow, Observer, Outcome, Skipped, Step, Stream
from vital_engine.flow.step import NOTHING
from vital_engine.nouns import (
    Brief,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    Memory,
    Piece,
    Question,
    Support,
    ToolResults,
    ToolSuggestions,
)

from .assemble import later
from .course import initial_values, limit
from .settings import TurnSettings
from .state import TurnState

KEYS: Final[Mapping[type, str]] = {
    Question: "question",
    Brief: "brief",
    Evidence: "evidence",
    ToolSuggestions: "suggestions",
    Memory: "memory",
    Consent: "consent",
    ToolResults: "tool_results",
    Draft: "draft",
    Citations: "citations",
    Support: "support",
    Cost: "cost",
}
"""Under which key of the state each noun stands."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some steps of a turn, by name. ``reads`` and ``writes``: keys of the state; outcomes are both. ``otherwise``: nouns
    that hold where the state has none of their class."""

    name: str
    steps: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    otherwise: tuple[object, ...] = ()


BRIEF: Final = Part("brief", ("register", "brief"), ("question",), ("question", "brief", "outcomes"))
RETRIEVAL: Final = Part(
    "parallel_retrieval",
    ("retrieve", "suggest", "recall"),
    ("question", "brief", "outcomes"),
    ("evidence", "suggestions", "memory", "outcomes"),
)
CONSENT: Final = Part(
    "consent", ("consent",), ("question", "brief", "suggestions", "outcomes"), ("consent", "outcomes")
)
INVOKE: Final = Part("invoke", ("invoke",), ("question", "brief", "consent", "outcomes"), ("tool_results", "outcomes"))
REPLY: Final = Part(
    "reply",
    ("reply",),
    ("question", "brief", "evidence", "suggestions", "memory", "tool_results", "outcomes"),
    ("draft", "timing", "outcomes"),
)
REVIEW: Final = Part(
    "parallel_post_generation",
    ("cite", "assess", "tally"),
    ("question", "evidence", "suggestions", "draft", "outcomes"),
    ("citations", "support", "cost", "outcomes"),
    (ToolSuggestions(),),
)
SAVE: Final = Part(
    "save",
    (),
    (
        "question", "brief", "evidence", "suggestions", "memory", "consent", "tool_results", "draft", "timing", "citations",
        "support", "cost", "outcomes",
    ),
    ("answer",),
)  # fmt: skip
ASKING: Final = Part(
    "consent", (), ("question", "brief", "evidence", "suggestions", "memory", "outcomes"), ("consent", "outcomes")
)
"""Consent where a person is asked: what was made so far is kept for the time of the pause."""


def parts(approves: str) -> tuple[Part, ...]:
    """The parts of a turn in their order, where the "user" or the "policy" approves."""
    return BRIEF, RETRIEVAL, ASKING if approves == "user" else CONSENT, INVOKE, REPLY, REVIEW, SAVE


def spent(state: TurnState) -> float:
    """Seconds that the turn has taken so far: its last step ended then. Between nodes and in a pause it stands still."""
    return max((outcome.ended for outcome in state.get("outcomes", {}).values()), default=0.0)


async def run_part(
    steps: Sequence[Step[Any]],
    part: Part,
    state: TurnState,
    settings: TurnSettings,
    *,
    known: Sequence[object] = (),
    observers: Sequence[Observer] = (),
) -> TurnState:
    """Run the steps of *part*, and give what they made and how they ended.

    :param steps: the whole turn's, among which they are.
    :param known: what they need and the state does not hold.
    :raises FlowError: the state lacks what a step needs, and says of no step that it failed to make it.
    """
    mine = [s for s in steps if s.name in part.steps]
    makes = {s.makes for s in mine}
    have = [*known, *(noun for noun in initial_values(state["question"], settings) if type(noun) in makes)]
    lost: list[Step[Any]] = []
    for need in _needs(mine, have):
        value = state.get(KEYS[need])
        if value is not None:
            have.append(_ended(value) if isinstance(value, Draft) else value)
        else:
            outcomes = state.get("outcomes", {})
            have += [noun for noun in part.otherwise if type(noun) is need]
            lost += [_lost(s, outcomes[s.name]) for s in steps if s.makes is need and s.name in outcomes]
    since = spent(state)
    flow = Flow(part.name, *lost, *mine, shape=replace(settings.shape, barriers=True))
    left = round(limit(state["question"], settings) - since, 9)
    run = await flow.run(*have, within=left, observers=[_of(part.steps, observer) for observer in observers])
    made: dict[str, Any] = {KEYS[s.makes]: product(run.outcomes[s.makes]) for s in mine if s.makes in KEYS}
    made["outcomes"] = {s.name: later(run.outcomes[s.makes], since) for s in mine}
    return cast("TurnState", made)


def product(outcome: Outcome[Any]) -> Any:
    """What a step made, or what stood in; None where there is neither."""
    match outcome:
        case Done(value=value) | Degraded(value=value) | Skipped(value=value, known=True):
            return value
        case _:
            return None


def _needs(steps: Sequence[Step[Any]], have: Sequence[object]) -> list[type]:
    """What comes from outside of *steps* and is not had already, each once."""
    met = {s.makes for s in steps} | {type(noun) for noun in have}
    wanted = [need for s in steps for need in (*s.needs.values(), *s.inlets.values())]
    return [need for need in dict.fromkeys(wanted) if need not in met]


def _lost(step: Step[Any], outcome: Outcome[Any]) -> Step[Any]:
    """A step that fails as it failed before, in no time."""
    error = outcome.error if isinstance(outcome, Degraded | Failed) else StepFailed(f"{step.name!r} made nothing")

    async def fail(**_: object) -> Any:
        raise error

    return replace(step, work=fail, needs={}, inlets={}, otherwise=NOTHING, recovery=None, copied=None)


def _ended(draft: Draft) -> Stream[Draft]:
    """A draft that is whole is a stream that has ended."""
    return Stream.closed(draft, [Piece(draft.text, draft.usage)])


def _of(steps: Sequence[str], observer: Observer) -> Observer:
    """*observer*, told of *steps* and of the flow, but of no other step."""

    def told(event: Any) -> None:
        if getattr(event, "step", steps[0]) in steps:
            observer(event)

    return told
