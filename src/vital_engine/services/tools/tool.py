"""A tool: a typed function with what must be known before it may be called.

::

    @tool(cues=("half-life",), examples=("How much is left of 500 mg after 6 hours?",))
    def remaining(dose_mg: float, half_life_h: float, hours: float) -> Output:
        "What is left of a dose after some hours of first-order elimination."
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, ParamSpec, TypeVar

from vital_engine.errors import ConfigError
from vital_engine.nouns import Effect, Scope

from .schema import CallKey, Form, canonical, description, form_of

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
    :param cues: words by which a question asks for it; without any, its name.
    :param reads: finds its arguments in a question; without one, :func:`reading.named` does.
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
        """The function itself, once its arguments have passed the form. Raises InvalidArguments."""
        given = inspect.signature(self.function).bind_partial(*args, **kwargs).arguments
        own = {name: value for name, value in given.items() if name in self.form.filled}
        checked = self.form.validate({n: v for n, v in given.items() if n not in own}, tool=self.name)
        return self.function(**checked, **own)  # type: ignore[call-arg]  # the names are the signature's own

    def bind(self, arguments: Mapping[str, Any], *, scope: Scope, key: str) -> dict[str, Any]:
        """Everything that the function takes: *arguments* validated, and what the engine fills in itself."""
        checked = self.form.validate(arguments, tool=self.name)
        own = {name: scope if hint is Scope else CallKey(key) for name, hint in self.form.filled.items()}
        return checked | own

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        return self.form.schema


AnyTool = Tool[..., Any]


def tool(
    *,
    name: str | None = None,
    effect: Effect = Effect.PURE,
    egress: bool = False,
    consent: bool = False,
    cost_usd: Decimal | str | int = 0,
    timeout: float = 10.0,
    concurrency: int = 8,
    max_chars: int = 4000,
    cues: Sequence[str] = (),
    examples: Sequence[str] = (),
    reads: Reader | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a typed function a :class:`Tool`. ConfigError where the function does not say enough."""

    def make(function: Callable[P, R]) -> Tool[P, R]:
        return Tool(
            function=function,
            name=name or str(getattr(function, "__name__", "")),
            description=description(function),
            form=form_of(function),
            effect=effect,
            egress=egress,
            consent=consent,
            cost_usd=Decimal(cost_usd),
            timeout=timeout,
            concurrency=concurrency,
            max_chars=max_chars,
            cues=tuple(cues),
            examples=tuple(examples),
            reads=reads,
        )

    return make
