"""The segments of a turn: opening, decision, closing; each a flow of what is known.

Where a policy decides, the decision is one more step and all is one flow, so that tools run while retrieval still does. Where
a person decides, the turn stands still between opening and closing. A graph runs the same steps node by node: a
:class:`Part` is some of them, with the keys of the state that they read and write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Annotated, Any, Final, TypedDict, cast

from vital_engine.errors import StepFailed
from vital_engine.flow import Flow, Observer, Outcome, Step, Stream
from vital_engine.flow.step import NOTHING
from vital_engine.nouns import (
    Answer,
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
    Timing,
    ToolResults,
    ToolSuggestions,
)
from vital_engine.ports import Services, prefiller
from vital_engine.turn import Hedges, brief, gather, invoke, load_of, prefill, recovered, register, reply, review
from vital_engine.turn.plan import (
    ASSESS,
    BRIEF,
    CITE,
    CONSENT,
    INVOKE,
    KEYS,
    RECALL,
    REGISTER,
    REPLY,
    RETRIEVE,
    SAVE,
    SUGGEST,
    TALLY,
)

from .approval import Approver, Opened
from .conversation import SAVE_SECONDS
from .settings import TurnSettings

TURN: Final = "turn"
"""The name of the flow that is a whole turn."""
TOOLS_SECONDS = 60.0
"""For all tool calls of a turn; each has a limit of its own."""


class Segments:
    """The flows of a workflow's turns, built once per settings; runs only read them."""

    def __init__(self, services: Services, mode: int, approver: Approver) -> None:
        self._services, self._mode, self._approver = services, mode, approver
        self.load = load_of(services.llm)
        self.hedges = Hedges(services, self.load)
        self.opening = lru_cache(maxsize=64)(self._opening)
        self.closing = lru_cache(maxsize=64)(self._closing)
        self.whole = lru_cache(maxsize=64)(self._whole)
        self.steps = lru_cache(maxsize=64)(self._steps)

    def _opening(self, settings: TurnSettings) -> Flow:
        """All that comes before consent."""
        s, within = self._services, settings.parallel_timeout_ms / 1000
        return Flow(
            TURN,
            REGISTER.of(partial(register, s.turns, self._mode), within=SAVE_SECONDS),
            BRIEF.of(partial(brief, s.router, self._mode), within=within),
            self.hedges.over(gather(s, within=within), on=settings.hedges),
            shape=settings.shape,
            given=(Question,),
        )

    def _closing(self, settings: TurnSettings) -> Flow:
        """All that comes after consent."""
        s, on = self._services, settings.hedges
        speak = REPLY.of(partial(reply, s.llm, self.load, s.accountant), within=settings.reply_timeout_ms / 1000)
        return Flow(
            TURN,
            INVOKE.of(partial(invoke, s), within=TOOLS_SECONDS),
            self.hedges.over(speak.recover(recovered), on=on),
            self.hedges.over(review(s, within=settings.post_generation_timeout_ms / 1000), on=on),
            shape=settings.shape,
            given=(Question, Brief, Evidence, ToolSuggestions, Memory, Consent),
        )

    def _whole(self, settings: TurnSettings) -> Flow:
        """The whole turn as one flow, for an approver that decides at once."""
        opening, closing = self.opening(settings), self.closing(settings)
        return Flow(
            TURN,
            opening,
            self._decision(settings),
            *self._prefill(settings),
            closing,
            shape=settings.shape,
            given=(Question,),
        )

    def _steps(self, settings: TurnSettings) -> tuple[Step[Any], ...]:
        """The steps of the whole turn, for those who run it part by part."""
        decision = () if self._approver.waits else (self._decision(settings),)
        return (*self.opening(settings).steps, *decision, *self.closing(settings).steps)

    def _decision(self, settings: TurnSettings) -> Step[Consent]:
        return CONSENT.of(partial(consent, self._approver, settings), within=settings.parallel_timeout_ms / 1000)

    def _prefill(self, settings: TurnSettings) -> tuple[Flow, ...]:
        """What the model's server reads while the rest is gathered; only in the dataflow profile, and where it can."""
        reader = prefiller(self._services.llm)
        if reader is None or settings.prefill == "off" or settings.profile != "dataflow":
            return ()
        within = settings.parallel_timeout_ms / 1000
        return (prefill(reader, self.load, through=settings.prefill, within=within),)


async def consent(
    approver: Approver, settings: TurnSettings, question: Question, brief: Brief, suggestions: ToolSuggestions
) -> Consent:
    """Decide, without waiting for a person, which of the suggested calls may run."""
    return await approver.decide(Opened(question, brief, suggestions, settings, settings))


def time_limit(question: Question, settings: TurnSettings) -> float:
    """Seconds that the whole turn may take: the settings', or the question's own if those are fewer."""
    within = settings.turn_timeout_ms / 1000
    return within if question.limits.seconds is None else min(within, question.limits.seconds)


def initial_values(question: Question, settings: TurnSettings) -> tuple[object, ...]:
    """What is known without its step, which is switched off, or whose product comes with *question*: a run that is given
    Evidence does not retrieve."""
    known: list[object] = []
    if not settings.enable_rag:
        known.append(Evidence())
    if not settings.enable_tools:
        known.append(ToolSuggestions())
    if question.memory is not None:
        known.append(question.memory)
    elif not settings.enable_memory:
        known.append(Memory())
    return tuple(known)


# -- part by part
def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the outcomes of several nodes come together: by the step's name."""
    return {**old, **new}


class TurnState(TypedDict, total=False):
    """A turn as a graph sees it: one key per noun.

    ``question`` is given; each other key is written by the node that makes it, and read by a later one. ``brief`` and
    ``draft`` are None where their step made nothing; ``outcomes`` says why, by the step's name.
    """

    question: Question
    brief: Brief | None
    evidence: Evidence
    suggestions: ToolSuggestions
    memory: Memory
    consent: Consent
    tool_results: ToolResults
    draft: Draft | None
    timing: Timing
    citations: Citations
    support: Support
    cost: Cost
    outcomes: Annotated[Mapping[str, Any], merged]
    answer: Answer


@dataclass(frozen=True, slots=True)
class Part:
    """Some steps of a turn, by name. ``reads`` and ``writes``: keys of the state; outcomes are both."""

    name: str
    steps: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


_QUESTION = KEYS[Question]
OPENING: Final = Part(BRIEF.name, (REGISTER.name, BRIEF.name), (_QUESTION,), (_QUESTION, BRIEF.key, "outcomes"))
RETRIEVAL: Final = Part(
    "parallel_retrieval",
    (RETRIEVE.name, SUGGEST.name, RECALL.name),
    (_QUESTION, BRIEF.key, "outcomes"),
    (RETRIEVE.key, SUGGEST.key, RECALL.key, "outcomes"),
)
POLICY_CONSENT: Final = Part(
    CONSENT.name, (CONSENT.name,), (_QUESTION, BRIEF.key, SUGGEST.key, "outcomes"), (CONSENT.key, "outcomes")
)
PERSONAL_CONSENT: Final = Part(
    CONSENT.name,
    (),
    (_QUESTION, BRIEF.key, RETRIEVE.key, SUGGEST.key, RECALL.key, "outcomes"),
    (CONSENT.key, "outcomes"),
)
"""What was made so far is kept for the time of the pause."""
CALLS: Final = Part(
    INVOKE.name, (INVOKE.name,), (_QUESTION, BRIEF.key, CONSENT.key, "outcomes"), (INVOKE.key, "outcomes")
)
SPEECH: Final = Part(
    REPLY.name,
    (REPLY.name,),
    (_QUESTION, BRIEF.key, RETRIEVE.key, SUGGEST.key, RECALL.key, INVOKE.key, "outcomes"),
    (REPLY.key, "timing", "outcomes"),
)
REVIEW: Final = Part(
    "parallel_post_generation",
    (CITE.name, ASSESS.name, TALLY.name),
    (_QUESTION, RETRIEVE.key, SUGGEST.key, REPLY.key, "outcomes"),
    (CITE.key, ASSESS.key, TALLY.key, "outcomes"),
)
SAVING: Final = Part(SAVE.name, (), (*KEYS.values(), "timing", "outcomes"), ("answer",))


def parts(approver: Approver) -> tuple[Part, ...]:
    """The parts of a turn in their order."""
    decision = PERSONAL_CONSENT if approver.waits else POLICY_CONSENT
    return OPENING, RETRIEVAL, decision, CALLS, SPEECH, REVIEW, SAVING


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

    What a part needs of an earlier one is in the state, with the outcomes of the steps before. Where the earlier step made
    nothing, the part meets its failure as it would in one run, and gives the same fallbacks for the same reasons.

    :param steps: the whole turn's, among which they are.
    :param known: what they need and the state does not hold.
    :param observers: read what happens to these steps, and when the part begins and ends.
    :raises FlowError: the state lacks what a step needs, and says of no step that it failed to make it.
    """
    mine = [s for s in steps if s.name in part.steps]
    makes = {s.makes for s in mine}
    have = [*known, *(noun for noun in initial_values(state["question"], settings) if type(noun) in makes)]
    outcomes = state.get("outcomes", {})
    lost: list[Step[Any]] = []
    for need, optional in _needs(mine, have).items():
        value = state.get(KEYS[need]) if need in KEYS else None
        if value is not None:
            have.append(_ended(value) if isinstance(value, Draft) else value)
        elif not optional:
            lost += [_lost(s, outcomes[s.name]) for s in steps if s.makes is need and s.name in outcomes]
    since = spent(state)
    flow = Flow(part.name, *lost, *mine, shape=replace(settings.shape, barriers=True))
    left = round(time_limit(state["question"], settings) - since, 9)
    run = await flow.run(*have, within=left, observers=[_of(part.steps, each) for each in observers], since=since)
    made: dict[str, Any] = {KEYS[s.makes]: run.outcomes[s.makes].value for s in mine if s.makes in KEYS}
    made["outcomes"] = {s.name: run.outcomes[s.makes] for s in mine}
    return cast("TurnState", made)


def _needs(steps: Sequence[Step[Any]], have: Sequence[object]) -> dict[type, bool]:
    """What comes from outside of *steps* and is not had already, and whether they can do without."""
    met = {s.makes for s in steps} | {type(noun) for noun in have}
    wanted: dict[type, bool] = {}
    for s in steps:
        for parameter, need in (*s.needs.items(), *s.inlets.items()):
            if need not in met:
                wanted[need] = wanted.get(need, True) and parameter in s.optional
    return wanted


def _lost(step: Step[Any], outcome: Outcome[Any]) -> Step[Any]:
    """A step that fails as it failed before, in no time."""
    error = outcome.error or StepFailed(f"{step.name!r} made nothing")

    async def fail(**_: object) -> Any:
        raise error

    nothing: Any = NOTHING
    return replace(step, work=fail, needs={}, inlets={}, fallback_value=nothing, recovery=None, hedge=None)


def _of(steps: Sequence[str], observer: Observer) -> Observer:
    """*observer*, for the events of *steps* and of the flow, but of no other step."""

    def filtered(event: Any) -> None:
        if getattr(event, "step", steps[0]) in steps:
            observer(event)

    return filtered


def _ended(draft: Draft) -> Stream[Draft]:
    """A draft that is whole is a stream that has ended."""
    return Stream.closed(draft, [Piece(draft.text, draft.usage)])
