"""A step: async work, what it needs, what it makes, and beside it how long it may take and what stands in."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

from vital_engine.errors import FlowError

from .live import Recovery, Stream
from .policy import Policy
from .race import CALL_BY_CALL, CallByCall, HedgedCall, HedgedWork, asking

if TYPE_CHECKING:
    from .events import Observer
    from .hedge import Hedge

T = TypeVar("T")


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """Made by :func:`step`; never by hand.

    ``needs``: parameter -> type of what it waits for. ``inlets``: parameter -> type whose stream it reads.
    ``outlet``: the parameter through which it streams what it makes. ``awaits``: what must be there first, and is not
    given to it. ``copied``: the same call to somebody else, for when it is late, or that the step hedges its own calls.
    """

    work: Callable[..., Awaitable[T]]
    name: str
    needs: Mapping[str, type]
    inlets: Mapping[str, type]
    outlet: str | None
    makes: type[T]
    policy: Policy = Policy()
    otherwise: T | _Nothing = NOTHING
    recovery: Recovery[T] | None = None
    awaits: tuple[type, ...] = ()
    copied: HedgedWork | CallByCall | None = None

    def fallback(self, fallback_for: T) -> Step[T]:
        """The same step, with *stand_in* for the times that it fails, runs late or cannot run.

        A method and not a keyword, so that every type checker refuses a stand-in of another type.
        """
        if not isinstance(fallback_for, self.makes):
            raise FlowError(
                f"{self.name!r} makes {self.makes.__name__}: a {type(fallback_for).__name__} cannot stand in for it"
            )
        return replace(self, otherwise=fallback_for)

    def recover(self, recovery: Recovery[T]) -> Step[T]:
        """The same step; if it breaks after it has streamed something, ``recovery(items, error)`` stands in."""
        if self.outlet is None:
            raise FlowError(
                f"{self.name!r} streams nothing that could be salvaged; give it a parameter of Live[{self.makes.__name__}]"
            )
        return replace(self, recovery=recovery)

    def fallback_for(self, live: Stream[T] | None, error: BaseException) -> T | _Nothing:
        """What stands in after *error*: what can be salvaged of what it has streamed, else the fixed stand-in.

        Salvage is foreign code at a step's edge: if it fails, *error* says so in a note and the stand-in is used.
        """
        if self.recovery is not None and live is not None and live.first_at is not None:
            try:
                saved = self.recovery(live.items, error)
            except Exception as lost:
                error.add_note(f"what {self.name!r} had streamed could not be salvaged: {lost!r}")
            else:
                if isinstance(saved, self.makes):
                    return saved
                error.add_note(f"the salvage of {self.name!r} gave a {type(saved).__name__}")
        return self.otherwise

    def after(self, *made: type) -> Step[T]:
        """The same step, started only once each of *made* is there as well."""
        return replace(self, awaits=(*self.awaits, *made))

    def hedged(
        self,
        copy: Callable[..., Awaitable[T]],
        hedge: Hedge,
        lost: Callable[[Sequence[Any]], Any | None] | None = None,
    ) -> Step[T]:
        """The same step; where it is late, as *hedge* says, *copy* is started beside it, and the first word decides.

        Only for work that may be done twice: it is pure, or only reads. *copy* should ask somebody who fails and stalls
        independently. A step that makes its product at once has its first word at its end.

        :param copy: work with the same parameters and product.
        :param lost: what stays, as an aside of the stream, of a call that was cut off: given what that had pushed (asides
            alone, at least one), it gives one item or None, and raises nothing.
        :raises FlowError: *copy* needs or makes something else.
        """
        self._like(copy)
        return replace(self, copied=HedgedWork(copy, hedge, lost))

    def hedging(self, work: Callable[..., Awaitable[T]]) -> Step[T]:
        """The same step, done by *work*, which makes its calls through :func:`.race.either`: those who watch the step
        are told what becomes of the copies.

        :raises FlowError: *work* needs or makes something else.
        """
        self._like(work)
        return replace(self, work=work, copied=CALL_BY_CALL)

    def _like(self, work: Callable[..., Awaitable[T]]) -> None:
        other = step(work)
        for what in ("needs", "inlets", "outlet", "makes"):
            if getattr(other, what) != getattr(self, what):
                raise FlowError(f"{other.name!r} is no copy of {self.name!r}: its {what} differ")

    def under(self, policy: Policy) -> Step[T]:
        return replace(self, policy=policy)

    def named(self, name: str) -> Step[T]:
        return replace(self, name=name)


def step(work: Callable[..., Awaitable[T]]) -> Step[T]:
    """Read *work*'s signature: its parameters are the needs, its return type is the product.

    Annotations must be classes that can be resolved where *work* is defined; ``Stream[X]`` is a stream (see
    :class:`Stream`). Unions, ``Any``, aliases and parameters without annotation are refused.

    :raises FlowError: the signature does not say what the step needs or makes.
    """
    name = getattr(work, "__name__", type(work).__name__.lower())
    hints = _hints(work, name)
    makes = hints.pop("return", None)
    if not _is_wire(makes):
        raise FlowError(f"{name!r} must say in its signature which class it returns, not {makes!r}")
    needs: dict[str, type] = {}
    inlets: dict[str, type] = {}
    outlet: str | None = None
    for parameter in inspect.signature(work).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise FlowError(f"{name!r}: {parameter.name!r} must be a plain parameter, since it is given by its name")
        if parameter.name not in hints:
            raise FlowError(f"{name!r} must say of which class {parameter.name!r} is")
        hint = hints[parameter.name]
        streamed = get_origin(hint) is Stream
        of = get_args(hint)[0] if streamed else hint
        if not _is_wire(of) or of is Stream:
            raise FlowError(f"{name!r}: {parameter.name!r} must be one class or Live[one class], not {hint!r}")
        if not streamed:
            needs[parameter.name] = of
        elif of is not makes:
            inlets[parameter.name] = of
        elif outlet is None:
            outlet = parameter.name
        else:
            raise FlowError(f"{name!r}: {outlet!r} and {parameter.name!r} are both its outlet; keep one")
    return Step(work, name, needs, inlets, outlet, makes)


def _hints(work: Any, name: str) -> dict[str, Any]:
    try:
        return get_type_hints(work if inspect.isroutine(work) else type(work).__call__)
    except NameError as unresolved:
        raise FlowError(f"{name!r}: {unresolved}; the types of a step must be defined at module level") from unresolved
    except (AttributeError, SyntaxError, TypeError) as unreadable:
        raise FlowError(f"{name!r}: its annotations cannot be read: {unreadable}") from unreadable


def _is_wire(hint: object) -> bool:
    """Whether values can be told to be of it: a class, and one that says something."""
    if not isinstance(hint, type) or hint in (object, type(None), Any):
        return False
    try:
        isinstance(None, hint)
    except TypeError:  # a protocol without @runtime_checkable
        return False
    return True


def raced(s: Step[Any], inputs: Mapping[str, object], flow: str, told: Sequence[Observer]) -> Coroutine[Any, Any, Any]:
    """The work of *s*, which is hedged, on *inputs*; *told* are the observers of *flow*."""
    if isinstance(s.copied, HedgedWork):
        return HedgedCall(s.work, s.copied, inputs, s.outlet, s.policy.grace, (flow, s.name, told)).run()
    return asking(s.work, inputs, s.policy.grace, (flow, s.name, told))
