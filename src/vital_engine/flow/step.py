"""A step: async work, what it needs, what it makes, and beside it how long it may take and what its fallback is."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from vital_engine.errors import FlowError

from .hedging import CALL_BY_CALL, CallByCall, Hedge, HedgedCall, HedgedWork, Report, hedging_calls
from .policy import Policy
from .stream import Recovery, Stream

T = TypeVar("T")


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A step, made by :func:`step`.

    :param work: the function.
    :param name: for events and drawings.
    :param needs: parameter -> type of what it waits for.
    :param inlets: parameter -> type whose stream it reads.
    :param outlet: the parameter through which it streams what it makes; None: it does not stream.
    :param makes: type of its product.
    :param policy: its limits.
    :param fallback_value: what it makes if it fails.
    :param recovery: makes a product of what was streamed before a failure.
    :param optional: parameters that keep their default if no step of the flow makes their type.
    :param hedge: the same call to another service for late calls, or that the step hedges its own calls.
    """

    work: Callable[..., Awaitable[T]]
    name: str
    needs: Mapping[str, type]
    inlets: Mapping[str, type]
    outlet: str | None
    makes: type[T]
    policy: Policy = Policy()
    fallback_value: T | _Nothing = NOTHING
    recovery: Recovery[T] | None = None
    optional: frozenset[str] = frozenset()
    hedge: HedgedWork | CallByCall | None = None

    def fallback(self, value: T) -> Step[T]:
        """The same step with a fallback, for when it fails, runs late or cannot run.

        This is a method and not a keyword, so that every type checker refuses a value of another type.

        :param value: what it makes then.
        :raises FlowError: *value* is not of the type that the step makes.
        """
        if not isinstance(value, self.makes):
            raise FlowError(
                f"{self.name!r} makes {self.makes.__name__}: a {type(value).__name__} is no fallback for it"
            )
        return replace(self, fallback_value=value)

    def recover(self, recovery: Recovery[T]) -> Step[T]:
        """The same step; if it fails after it has streamed something, it makes ``recovery(items, error)``.

        :param recovery: makes a product of what was streamed.
        :raises FlowError: the step does not stream.
        """
        if self.outlet is None:
            raise FlowError(
                f"{self.name!r} streams nothing that could be recovered; give it a parameter of "
                f"Stream[{self.makes.__name__}]"
            )
        return replace(self, recovery=recovery)

    def fallback_for(self, stream: Stream[T] | None, error: BaseException) -> T | _Nothing:
        """What the step makes after *error*: what can be recovered of what it has streamed, else its fallback value.

        A recovery is foreign code at a step's edge: if it fails, *error* says so in a note and the value is used.
        """
        if self.recovery is not None and stream is not None and stream.first_at is not None:
            try:
                saved = self.recovery(stream.items, error)
            except Exception as lost:
                error.add_note(f"what {self.name!r} had streamed could not be recovered: {lost!r}")
            else:
                if isinstance(saved, self.makes):
                    return saved
                error.add_note(f"the recovery of {self.name!r} gave a {type(saved).__name__}")
        return self.fallback_value

    def hedged(
        self,
        second: Callable[..., Awaitable[T]],
        hedge: Hedge,
        lost: Callable[[Sequence[Any]], Any | None] | None = None,
    ) -> Step[T]:
        """The same step; where it is late, as *hedge* says, *second* is started beside it, and the first word decides.

        Only for work that may be done twice: it is pure, or only reads. *second* should ask a service that fails and stalls
        independently. A step that makes its product at once has its first word at its end.

        :param second: work with the same parameters and product.
        :param lost: what stays, as metadata of the stream, of a call that was cut off: given what that had pushed (metadata
            alone, at least one), it gives one item or None, and raises nothing.
        :raises FlowError: *second* needs or makes something else.
        """
        self._check_same(second)
        return replace(self, hedge=HedgedWork(second, hedge, lost))

    def hedging(self, work: Callable[..., Awaitable[T]]) -> Step[T]:
        """The same step, done by *work*, which makes its calls through :func:`.hedging.either`: the run's log has what
        becomes of each late one.

        :raises FlowError: *work* needs or makes something else.
        """
        self._check_same(work)
        return replace(self, work=work, hedge=CALL_BY_CALL)

    def _check_same(self, work: Callable[..., Awaitable[T]]) -> None:
        other = step(work)
        for what in ("needs", "inlets", "outlet", "makes", "optional"):
            if getattr(other, what) != getattr(self, what):
                raise FlowError(f"{other.name!r} is not the same call as {self.name!r}: its {what} differ")

    def under(self, policy: Policy) -> Step[T]:
        """The same step under other limits.

        :param policy: the limits.
        """
        return replace(self, policy=policy)

    def named(self, name: str) -> Step[T]:
        """The same step under another name.

        :param name: the name.
        """
        return replace(self, name=name)


def step(work: Callable[..., Awaitable[T]]) -> Step[T]:
    """Read *work*'s signature: its parameters are the needs, its return type is the product.

    Annotations must be classes that can be resolved where *work* is defined; ``Stream[X]`` is a stream (see
    :class:`Stream`). A parameter with a default is an optional wire, and may be ``X | None``: it is given if a step of the
    flow makes an ``X``, or the run is given one, and keeps its default if not, or if that step made nothing. *work* may be a
    ``functools.partial``: what is bound is no need. Other unions, ``Any``, aliases and parameters without annotation are
    refused.

    :raises FlowError: the signature does not say what the step needs or makes.
    """
    function = _unbound(work)
    name = getattr(function, "__name__", type(function).__name__.lower())
    hints = _hints(function, name)
    makes = hints.pop("return", None)
    if not _is_wire(makes):
        raise FlowError(f"{name!r} must say in its signature which class it returns, not {makes!r}")
    needs: dict[str, type] = {}
    inlets: dict[str, type] = {}
    optional: set[str] = set()
    outlet: str | None = None
    for parameter in _free_parameters(work):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise FlowError(f"{name!r}: {parameter.name!r} must be a plain parameter, since it is given by its name")
        if parameter.name not in hints:
            raise FlowError(f"{name!r} must say of which class {parameter.name!r} is")
        hint = hints[parameter.name]
        if parameter.default is not parameter.empty:
            optional.add(parameter.name)
            hint = _without_none(hint)
        streamed = get_origin(hint) is Stream
        of = get_args(hint)[0] if streamed else hint
        if not _is_wire(of) or of is Stream:
            raise FlowError(f"{name!r}: {parameter.name!r} must be one class or Stream[one class], not {hint!r}")
        if not streamed:
            needs[parameter.name] = of
        elif of is not makes:
            inlets[parameter.name] = of
        elif outlet is None:
            outlet = parameter.name
        else:
            raise FlowError(f"{name!r}: {outlet!r} and {parameter.name!r} are both its outlet; keep one")
    return Step(work, name, needs, inlets, outlet, makes, optional=frozenset(optional))


def _unbound(work: Any) -> Any:
    while isinstance(work, functools.partial):
        work = work.func
    return work


def _free_parameters(work: Any) -> list[inspect.Parameter]:
    """The parameters of *work* that a partial has not bound."""
    bound: set[str] = set()
    inner = work
    while isinstance(inner, functools.partial):
        bound |= inner.keywords.keys()
        inner = inner.func
    return [p for p in inspect.signature(work).parameters.values() if p.name not in bound]


def _hints(function: Any, name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function if inspect.isroutine(function) else type(function).__call__)
    except NameError as unresolved:
        raise FlowError(f"{name!r}: {unresolved}; the types of a step must be defined at module level") from unresolved
    except (AttributeError, SyntaxError, TypeError) as unreadable:
        raise FlowError(f"{name!r}: its annotations cannot be read: {unreadable}") from unreadable


def _without_none(hint: Any) -> Any:
    """``X`` of ``X | None``; any other hint as it is."""
    if get_origin(hint) in (types.UnionType, Union):
        rest = [one for one in get_args(hint) if one is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _is_wire(hint: object) -> bool:
    """Whether values can be told to be of it: a class, and one that says something."""
    if not isinstance(hint, type) or hint in (object, type(None), Any):
        return False
    try:
        isinstance(None, hint)
    except TypeError:  # a protocol without @runtime_checkable
        return False
    return True


def hedged_work(s: Step[Any], inputs: Mapping[str, object], report: Report) -> Coroutine[Any, Any, Any]:
    """The work of *s*, which is hedged, on *inputs*; *report* takes what becomes of late calls."""
    if isinstance(s.hedge, HedgedWork):
        return HedgedCall(s.work, s.hedge, inputs, s.outlet, s.policy.grace, report).run()
    return hedging_calls(s.work, inputs, s.policy.grace, report)
