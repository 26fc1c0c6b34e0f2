"""A turn as a graph keeps it: a channel per key that holds nouns, and gives checkpoints plain JSON.

A checkpointer's own serializer would bring dataclasses back with lists for tuples and texts for errors, or refuse
them. So what is written is JSON already, by :mod:`vital_engine.nouns.codec`: any checkpointer and any serializer keeps it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, get_type_hints

from langgraph.channels.base import BaseChannel
from langgraph.errors import EmptyChannelError, InvalidUpdateError
from typing_extensions import TypedDict  # of typing's own there is no JSON schema before Python 3.12

from vital_engine.errors import InvalidQuestion, WrongType
from vital_engine.flow import Outcome
from vital_engine.modes import TurnOptions
from vital_engine.nouns import (
    Answer,
    Brief,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    Memory,
    Question,
    Support,
    Timing,
    ToolResults,
    ToolSuggestions,
)
from vital_engine.nouns.codec import outcome_from, outcome_json, read, write

_EMPTY: Any = object()
FORMER_KEYS: Final[Mapping[str, str]] = {"menu": "suggestions", "findings": "tool_results"}
"""Key in checkpoints of the first form -> key today."""


class Noun(BaseChannel[Any, Any, Any]):
    """Holds the latest noun of one class, or None where its step made none. Takes it as JSON as well.

    :raises InvalidQuestion: what is written is no valid question.
    :raises WrongType: what is written is no such noun.
    """

    __slots__ = ("value",)

    def __init__(self, typ: type, key: str = "", value: Any = _EMPTY) -> None:
        super().__init__(typ, key)
        self.value = value

    def __eq__(self, other: object) -> bool:
        """As a declaration: a key may be declared more than once, if alike."""
        return isinstance(other, Noun) and other.typ is self.typ

    __hash__ = None  # type: ignore[assignment]

    @property
    def ValueType(self) -> Any:  # noqa: N802
        """See LangGraph: the class of the noun."""
        return self.typ

    @property
    def UpdateType(self) -> Any:  # noqa: N802
        """See LangGraph: the class of the noun."""
        return self.typ

    def copy(self) -> Noun:
        """See LangGraph."""
        return Noun(self.typ, self.key, self.value)

    def from_checkpoint(self, checkpoint: Any) -> Noun:
        """Empty for whatever the channel itself did not write: LangGraph has a mark of its own for "nothing"."""
        written = checkpoint is None or isinstance(checkpoint, Mapping)
        return Noun(self.typ, self.key, self._read(checkpoint) if written else _EMPTY)

    def checkpoint(self) -> Any:
        """See LangGraph: the noun as JSON."""
        if self.value is _EMPTY:
            return super().checkpoint()
        return None if self.value is None else write(self.value)

    def update(self, values: Sequence[Any]) -> bool:
        """See LangGraph: the latest value counts.

        :param values: nouns, or their JSON.
        """
        if len(values) > 1:
            raise InvalidUpdateError(f"at key {self.key!r}: one step may write it once, not {len(values)} times")
        if values:
            self.value = self._read(values[0])
        return bool(values)

    def get(self) -> Any:
        """See LangGraph: the noun."""
        if self.value is _EMPTY:
            raise EmptyChannelError
        return self.value

    def is_available(self) -> bool:
        """See LangGraph: whether there is a value."""
        return self.value is not _EMPTY

    def _read(self, value: Any) -> Any:
        if value is None:
            return None
        try:
            return read(self.typ, value)
        except WrongType as error:
            if self.typ is Question:
                raise InvalidQuestion(str(error)) from error
            raise


class Outcomes(BaseChannel[Any, Any, Any]):
    """How the steps of one turn ended, by name; what a node writes is added.

    A node of ours writes ``{"run_id": ..., "steps": {...}}``: another run's steps are dropped, so that the next turn on
    a thread begins with none. A plain mapping of outcomes is added as it is.
    """

    __slots__ = ("run_id", "steps")

    def __init__(
        self, typ: Any = dict, key: str = "", run_id: str = "", steps: Mapping[str, Outcome[Any]] | None = None
    ) -> None:
        super().__init__(typ, key)
        self.run_id, self.steps = run_id, steps

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcomes)

    __hash__ = None  # type: ignore[assignment]

    @property
    def ValueType(self) -> Any:  # noqa: N802
        """See LangGraph."""
        return dict[str, Any]

    @property
    def UpdateType(self) -> Any:  # noqa: N802
        """See LangGraph."""
        return dict[str, Any]

    def copy(self) -> Outcomes:
        """See LangGraph."""
        return Outcomes(self.typ, self.key, self.run_id, self.steps)

    def from_checkpoint(self, checkpoint: Any) -> Outcomes:
        """See LangGraph: reads what :meth:`checkpoint` wrote."""
        fresh = Outcomes(self.typ, self.key)
        if isinstance(checkpoint, Mapping):
            fresh.update([checkpoint])
        return fresh

    def checkpoint(self) -> Any:
        """See LangGraph: the outcomes as JSON."""
        if self.steps is None:
            return super().checkpoint()
        return {"run_id": self.run_id, "steps": {name: outcome_json(o) for name, o in self.steps.items()}}

    def update(self, values: Sequence[Any]) -> bool:
        """See LangGraph: adds the outcomes of a node.

        :param values: what nodes wrote.
        """
        for value in values:
            steps = value
            if "run_id" in value:
                steps = value["steps"]
                if value["run_id"] != self.run_id:
                    self.run_id, self.steps = value["run_id"], None
            self.steps = {**(self.steps or {}), **{name: outcome_from(o) for name, o in steps.items()}}
        return bool(values)

    def get(self) -> Any:
        """See LangGraph: outcome by step."""
        if self.steps is None:
            raise EmptyChannelError
        return self.steps

    def is_available(self) -> bool:
        """See LangGraph: whether there is a value."""
        return self.steps is not None


class GraphState(TypedDict, total=False):
    """The state of a turn in a graph. Inherit from it to put nodes of ours into a graph of yours (see :func:`plainly`).

    ``question`` is given, as a :class:`Question` or as JSON; ``answer`` is what comes out; every other key is written
    by the node that makes it and read by a later one. None: its step made nothing, and ``outcomes`` says why.
    """

    question: Annotated[Question, Noun(Question)]
    brief: Annotated[Brief | None, Noun(Brief)]
    evidence: Annotated[Evidence, Noun(Evidence)]
    suggestions: Annotated[ToolSuggestions, Noun(ToolSuggestions)]
    memory: Annotated[Memory, Noun(Memory)]
    consent: Annotated[Consent, Noun(Consent)]
    tool_results: Annotated[ToolResults, Noun(ToolResults)]
    draft: Annotated[Draft | None, Noun(Draft)]
    timing: Annotated[Timing, Noun(Timing)]
    citations: Annotated[Citations, Noun(Citations)]
    support: Annotated[Support, Noun(Support)]
    cost: Annotated[Cost, Noun(Cost)]
    outcomes: Annotated[dict[str, Any], Outcomes()]
    answer: Annotated[Answer, Noun(Answer)]


def reading(name: str, keys: Sequence[str]) -> type[Any]:
    """The part of the state that a node is given: *keys*, also under their former names, and no other.

    Former keys are private to the nodes that read them: they are in no schema of the graph's input or output.
    """
    hints = get_type_hints(GraphState, include_extras=True)
    read = {key: hints[key] for key in keys}
    read |= {former: hints[today] for former, today in FORMER_KEYS.items() if today in keys}
    return _typed_dict(name, read)


def options() -> type[Any]:
    """What a graph's context may hold: the settings of one turn."""
    return _typed_dict(TurnOptions.__name__, get_type_hints(TurnOptions))


def _typed_dict(name: str, keys: Mapping[str, Any]) -> type[Any]:
    return TypedDict(name, keys, total=False)  # type: ignore[operator, no-any-return]


def with_todays_keys(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """*state*, in which what stands under a former key stands under today's."""
    former = {FORMER_KEYS[key]: value for key, value in state.items() if key in FORMER_KEYS}
    return {**former, **{key: value for key, value in state.items() if key not in FORMER_KEYS}} if former else state


def written(made: Mapping[str, Any], run_id: str = "") -> dict[str, object]:
    """What a node made, in the form in which a checkpointer keeps it; what is not ours stays as it is.

    *run_id*: of a turn whose graph knows where it begins: the outcomes of another are dropped.
    """
    result: dict[str, object] = {}
    for key, value in made.items():
        if key == "outcomes":
            steps = {name: outcome_json(outcome) for name, outcome in value.items()}
            result[key] = {"run_id": run_id, "steps": steps} if run_id else steps
        else:
            result[key] = write(value) if type(value).__module__.startswith("vital_engine.") else value
    return result


def plainly(node: Callable[[Any], Awaitable[Mapping[str, Any]]]) -> Callable[[Any], Awaitable[dict[str, object]]]:
    """*node* of ours for a graph of yours whose state is a :class:`GraphState`: what it makes is written as JSON.

    So that a checkpointer that kept what a node wrote, and no more before a crash, gives it back as it was.
    """

    async def plain_node(state: Any) -> dict[str, object]:
        return written(await node(with_todays_keys(state)))

    return plain_node
