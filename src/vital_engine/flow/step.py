"""A step: async work, what it needs, what it makes, and beside it how long it may take and what stands in."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

from vital_engine.errors import FlowError

from .live import Live, Salvage
from .policy import Policy

T = TypeVar("T")


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """Made by :func:`step`; never by hand.

    ``needs``: parameter -> type of what it waits for. ``inlets``: parameter -> type whose stream it reads.
    ``outlet``: the parameter through which it streams what it makes.
    """

    work: Callable[..., Awaitable[T]]
    name: str
    needs: Mapping[str, type]
    inlets: Mapping[str, type]
    outlet: str | None
    makes: type[T]
    policy: Policy = Policy()
    otherwise: T | _Nothing = NOTHING
    salvage: Salvage[T] | None = None

    def or_else(self, stand_in: T) -> Step[T]:
        """The same step, with *stand_in* for the times that it fails, runs late or cannot run.

        A method and not a keyword, so that every type checker refuses a stand-in of another type.
        """
        return replace(self, otherwise=stand_in)

    def or_salvage(self, salvage: Salvage[T]) -> Step[T]:
        """The same step; if it breaks after it has streamed something, ``salvage(items, error)`` stands in."""
        if self.outlet is None:
            raise FlowError(f"{self.name!r} streams nothing that could be salvaged")
        return replace(self, salvage=salvage)

    def under(self, policy: Policy) -> Step[T]:
        return replace(self, policy=policy)

    def named(self, name: str) -> Step[T]:
        return replace(self, name=name)


def step(work: Callable[..., Awaitable[T]]) -> Step[T]:
    """Read *work*'s signature: its parameters are the needs, its return type is the product.

    Annotations must be classes that can be resolved where *work* is defined; ``Live[X]`` is a stream (see
    :class:`Live`). Unions, ``Any`` and parameters without annotation are refused.

    :raises FlowError: the signature does not say what the step needs or makes.
    """
    function: Any = work if inspect.isroutine(work) else type(work).__call__
    name = getattr(work, "__name__", type(work).__name__.lower())
    try:
        hints = get_type_hints(function)
    except NameError as unresolved:
        raise FlowError(f"{name!r}: {unresolved}; the types of a step must be defined at module level") from unresolved
    makes = hints.pop("return", None)
    if not isinstance(makes, type):
        raise FlowError(f"{name!r} must say which class it returns, not {makes!r}")
    parameters = [p for p in inspect.signature(work).parameters if p not in hints]
    if parameters:
        raise FlowError(f"{name!r} must say of which class {parameters[0]!r} is")
    needs: dict[str, type] = {}
    inlets: dict[str, type] = {}
    outlet: str | None = None
    for parameter, hint in hints.items():
        if get_origin(hint) is Live:
            (of,) = get_args(hint)
            if of is makes:
                outlet = parameter
            else:
                inlets[parameter] = of
        elif isinstance(hint, type):
            needs[parameter] = hint
        else:
            raise FlowError(f"{name!r}: {parameter!r} must be one class, not {hint!r}")
    return Step(work, name, needs, inlets, outlet, makes)
