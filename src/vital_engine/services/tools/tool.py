"""A tool: a typed function with what must be known before it may be called.

::

    @tool(effect="read", examples=("How much is left of 80 mg after 3 half-lives?",))
    def half_life_left(dose_mg: float, half_lives: int) -> float:
        "What is left of a dose after some half-lives."
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from vital_engine.errors import ConfigError
from vital_engine.nouns import Effect, Scope
from vital_engine.nouns.codec import JSON

from .schema import CallKey, Form, canonical, description, form_of, is_async, name_of

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool found: ``text`` for the model to read, ``value`` as JSON for programs, ``source`` of the method."""

    text: str
    value: Any = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Arguments that stand in a question, with a note for each thing that had to be taken as meant."""

    arguments: Mapping[str, Any]
    notes: tuple[str, ...] = ()


Reader = Callable[[str], Sequence[Reading]]
"""The calls that a question spells out, word for word; empty if it does not. Never a guess."""


@dataclass(frozen=True, slots=True, eq=False)
class Tool(Generic[P, R]):
    """A function that may be proposed, approved and called. Calling it directly validates, and nothing else.

    :param effect: what it does to the world. PURE and READ may be repeated; a KEYED_WRITE takes a
        :data:`CallKey`; an EFFECT happens each time that it is called.
    :param egress: whether words of the question leave the house. A query can carry a patient's data, and a
        request cannot be taken back: an egress tool is an EFFECT, so that no policy approves, repeats or
        guesses it by itself.
    :param consent: a person decides each call, whatever the effect.
    :param timeout: seconds for one call, waiting for its seat included.
    :param concurrency: how many calls may run at once.
    :param max_chars: of the text that reaches the model; what is cut is said.
    :param cues: words by which a question asks for it; without any, those of its name and its description.
    :param reads: finds its arguments in a question; without one, they are read by their names and types.
    """

    function: Callable[P, R]
    name: str
    description: str
    form: Form
    effect: Effect = Effect.PURE
    egress: bool = False
    consent: bool = False
    cost_usd: Decimal = Decimal(0)
    timeout: float = 10.0
    concurrency: int = 8
    max_chars: int = 4000
    cues: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    reads: Reader | None = None
    definition: str = field(init=False)

    def __post_init__(self) -> None:
        self._refuse_nonsense()
        shown = [self.name, self.description, self.form.schema, self.effect, self.egress, self.consent]
        shown.append(str(self.cost_usd))
        digest = hashlib.sha256(canonical(shown).encode()).hexdigest()
        object.__setattr__(self, "definition", digest)

    def _refuse_nonsense(self) -> None:
        keyed = CallKey in self.form.filled.values()
        faults = {
            "its name is not an identifier": not self.name.isidentifier(),
            "timeout must be above 0 seconds": not self.timeout > 0,
            "concurrency must be at least 1": self.concurrency < 1,
            "max_chars must be at least 100": self.max_chars < 100,
            "cost_usd must not be negative": self.cost_usd < 0,
            "what leaves the house is an effect: egress needs effect=EFFECT": self.egress
            and self.effect is not Effect.EFFECT,
            "a keyed write needs a parameter of type CallKey": self.effect is Effect.KEYED_WRITE and not keyed,
        }
        for fault, found in faults.items():
            if found:
                raise ConfigError(f"tool {self.name}: {fault}")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Validate the arguments, and call the function.

        :raises InvalidArguments: the form does not accept them.
        """
        given = inspect.signature(self.function).bind_partial(*args, **kwargs).arguments
        own = {name: value for name, value in given.items() if name in self.form.filled}
        checked = self.form.validate({n: v for n, v in given.items() if n not in own}, tool=self.name)
        return self.function(**checked, **own)  # type: ignore[arg-type, call-arg]  # the names are the signature's own

    def bind(self, arguments: Mapping[str, Any], *, scope: Scope, key: str) -> dict[str, object]:
        """Everything that the function takes: *arguments* validated, and what the engine fills in itself."""
        checked = self.form.validate(arguments, tool=self.name)
        own = {name: scope if hint is Scope else CallKey(key) for name, hint in self.form.filled.items()}
        return checked | own

    @property
    def is_async(self) -> bool:
        """Whether the function is to be awaited."""
        return is_async(self.function)

    @property
    def schema(self) -> dict[str, JSON]:
        """JSON schema of the arguments."""
        return self.form.schema


AnyTool = Tool[..., Any]

EffectName = Literal["pure", "read", "keyed_write", "effect"]


class ToolSettings(TypedDict, total=False):
    """What may be said of a tool beside its function; see :class:`Tool`. ``cost_usd`` also as text or a whole number."""

    name: str
    effect: Effect | EffectName
    egress: bool
    consent: bool
    cost_usd: Decimal | str | int
    timeout: float
    concurrency: int
    max_chars: int
    cues: Sequence[str]
    examples: Sequence[str]
    reads: Reader


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(**settings: Unpack[ToolSettings]) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(function: Any = None, /, **settings: Unpack[ToolSettings]) -> Any:
    """Make a typed function a :class:`Tool`: as ``@tool``, or ``@tool(effect="read", ...)``.

    A tool that says nothing of its effect only computes (``pure``).

    :raises ConfigError: the function does not say enough, or a setting is impossible.
    """
    if function is not None:
        return _made(function, settings)
    return lambda function: _made(function, settings)


def _made(function: Callable[P, R], settings: ToolSettings) -> Tool[P, R]:
    if not callable(function):
        raise ConfigError(f"a tool is made of a function, not of a {type(function).__name__}")
    given: dict[str, Any] = {**settings, "name": settings.get("name") or name_of(function)}
    if unknown := given.keys() - ToolSettings.__annotations__.keys():
        raise ConfigError(f"tool {given['name']}: unknown setting {', '.join(sorted(unknown))}")
    try:
        given["effect"] = Effect(settings.get("effect", Effect.PURE))
    except ValueError:
        raise ConfigError(
            f"tool {given['name']}: effect must be one of {', '.join(Effect)}, not {settings['effect']!r}"
        ) from None
    given |= {"cost_usd": Decimal(settings.get("cost_usd", 0))}
    given |= {each: tuple(given[each]) for each in ("cues", "examples") if each in given}
    return Tool(function=function, description=description(function), form=form_of(function), **given)
