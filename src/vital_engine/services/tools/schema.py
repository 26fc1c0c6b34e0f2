"""A function's signature, read as the form that its arguments must have.

The annotations become a pydantic model: its JSON schema is what a model or a person sees, its validation
is what a call must pass. The docstring gives the words, in Google's, NumPy's or Sphinx's style: its first paragraph
describes the tool, its list of parameters each argument; ``Annotated[..., Field(description=...)]`` goes before it. Two
kinds of parameter are the engine's to fill and stay out of the schema: one annotated :class:`~vital_engine.nouns.Scope`,
and one annotated :data:`CallKey`.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NewType, get_args, get_origin, get_type_hints

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from vital_engine.errors import ConfigError, InvalidArguments
from vital_engine.nouns import Scope
from vital_engine.nouns.codec import JSON

CallKey = NewType("CallKey", str)
"""The key of one approved call, the same on every try: what makes a write happen once."""

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Form:
    """The arguments of one tool: their model, and which parameters the engine fills (name -> annotation)."""

    model: type[BaseModel]
    filled: Mapping[str, Any]

    @property
    def schema(self) -> dict[str, JSON]:
        """JSON schema (2020-12) of the arguments."""
        return self.model.model_json_schema()

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the arguments without a default."""
        return tuple(name for name, field in self.model.model_fields.items() if field.is_required())

    def validate(self, arguments: Mapping[str, Any], *, tool: str) -> dict[str, object]:
        """*arguments* as the function takes them, with defaults.

        :param arguments: JSON values.
        :param tool: name of the tool, for the message.
        :raises InvalidArguments: an argument is missing, unknown or invalid; each field at fault is named.
        """
        checked = self._checked(arguments, tool)
        return {name: getattr(checked, name) for name in self.model.model_fields}

    def normal(self, arguments: Mapping[str, Any], *, tool: str) -> dict[str, JSON]:
        """*arguments* as JSON values in one normal form: validated, defaults shown, a float's whole numbers as floats."""
        return self._checked(arguments, tool).model_dump(mode="json")

    def _checked(self, arguments: Mapping[str, Any], tool: str) -> BaseModel:
        try:
            # By way of JSON: strict rules then treat a person's edit, a model's call and a direct call alike.
            return self.model.model_validate_json(canonical(to_jsonable_python(arguments)))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            fields = tuple(dict.fromkeys(".".join(map(str, fault["loc"])) for fault in faults))
            told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in faults)
            raise InvalidArguments(f"{tool}: {told}", fields=tuple(filter(None, fields)), service=tool) from None
        except (TypeError, ValueError) as error:
            raise InvalidArguments(f"{tool}: the arguments are not JSON: {error}", service=tool) from None


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text (in the manner of RFC 8785).

    :param value: JSON values.
    :raises ValueError: JSON cannot hold it (not-a-number, infinity).
    :raises TypeError: it is not data.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def form_of(function: Callable[..., Any]) -> Form:
    """The form of *function*'s arguments.

    :raises ConfigError: its signature does not say enough to make one; the message says what is missing.
    """
    name = name_of(function)
    hints, parameters = _signature(function, name)
    described = parameter_descriptions(function)
    fields: dict[str, Any] = {}
    filled: dict[str, object] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"tool {name}: {parameter} cannot be given by name (a decorator keeps the signature by functools.wraps)"
            )
        if parameter.name not in hints:
            method = " (of a method, give the bound one: instance.method)" if parameter.name == "self" else ""
            raise ConfigError(f"tool {name}: the parameter {parameter.name} has no annotation{method}")
        hint = hints[parameter.name]
        if hint is Scope or hint is CallKey:
            filled[parameter.name] = hint
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        field = Field(default=default)
        if not _describes(hint):
            field = Field(default=default, description=described.get(parameter.name))
        fields[parameter.name] = (hint, field)
    unknown = described.keys() - fields.keys() - filled.keys() - _bound(function)
    if unknown:
        raise ConfigError(f"tool {name}: its docstring describes no parameter of its own: {', '.join(sorted(unknown))}")
    try:
        model: type[BaseModel] = create_model(name, __config__=_STRICT, **fields)
        model.model_json_schema()
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        raise ConfigError(f"tool {name}: its arguments have no JSON schema: {error}") from None
    return Form(model=model, filled=filled)


def name_of(function: Callable[..., Any]) -> str:
    """What *function* is called: a partial by what it calls, an object by its class, in snake case."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    named = getattr(function, "__name__", None)
    return str(named) if named else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(function).__name__).lower()


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling *function* gives something to be awaited, as far as its definition says."""
    called = function.func if isinstance(function, functools.partial) else function
    return inspect.iscoroutinefunction(called if inspect.isroutine(called) else type(called).__call__)


def description(function: Callable[..., Any]) -> str:
    """The first paragraph of the docstring, on one line.

    :param function: of the tool.
    :raises ConfigError: there is no docstring: a tool must say what it does.
    """
    first = (_docstring(function).description or "").strip().split("\n\n", 1)[0]
    text = " ".join(first.split())
    if not text:
        raise ConfigError(f"tool {name_of(function)}: it has no docstring to describe it")
    return text


def parameter_descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says of each parameter."""
    listed = (each for each in _docstring(function).params if each.args[0] != "attribute")
    return {each.arg_name: " ".join(text.split()) for each in listed if (text := each.description or "")}


def _docstring(function: Callable[..., Any]) -> docstring_parser.Docstring:
    called = function.func if isinstance(function, functools.partial) else function
    text = called.__doc__
    if not inspect.isroutine(called):  # an object: what its call says, before what its class says
        text = type(called).__call__.__doc__ or type(called).__doc__
    try:
        return docstring_parser.parse(text or "")
    except docstring_parser.ParseError as error:
        raise ConfigError(f"tool {name_of(function)}: its docstring cannot be read: {error}") from None


def _signature(function: Callable[..., Any], name: str) -> tuple[dict[str, Any], list[inspect.Parameter]]:
    """The annotations and the parameters that are still open."""
    called = function.func if isinstance(function, functools.partial) else function
    if inspect.isclass(called):
        raise ConfigError(
            f"tool {name}: a class is no tool; give a function, a bound method or an object that is called"
        )
    source = called if inspect.isroutine(called) else type(called).__call__
    if inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source):
        raise ConfigError(f"tool {name}: it yields, and a tool returns its one result")
    try:
        hints = get_type_hints(source, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except NameError as error:
        raise ConfigError(f"tool {name}: an annotation cannot be resolved: {error}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"tool {name}: its signature cannot be read: {error}") from None
    return hints, [each for each in parameters if each.name not in _bound(function)]


def _bound(function: Callable[..., Any]) -> set[str]:
    """The parameters that a partial has already given by name: they are not a caller's to choose."""
    return set(function.keywords) if isinstance(function, functools.partial) else set()


def _describes(hint: Any) -> bool:
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return any(isinstance(each, FieldInfo) and each.description for each in extras)
