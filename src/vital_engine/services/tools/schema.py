"""A function's signature, read as the form that its arguments must have.

The annotations become a pydantic model: its JSON schema is what a model or a person sees, its validation
is what a call must pass. The docstring gives the words: its first paragraph describes the tool, each
``:param name:`` an argument. Two kinds of parameter are the engine's to fill and stay out of the schema:
one annotated :class:`~vital_engine.nouns.Scope`, and one annotated :data:`CallKey`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NewType, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic_core import to_jsonable_python

from vital_engine.errors import ConfigError, InvalidArguments
from vital_engine.nouns import Scope

CallKey = NewType("CallKey", str)
"""The key of one approved call, the same on every try: what makes a write happen once."""

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_PARAM = re.compile(r"^:param\s+(?P<name>\w+):\s*(?P<text>.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Form:
    """The arguments of one tool: their model, and which parameters the engine fills (name -> annotation)."""

    model: type[BaseModel]
    filled: Mapping[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema (2020-12) of the arguments."""
        return self.model.model_json_schema()

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(name for name, field in self.model.model_fields.items() if field.is_required())

    def validate(self, arguments: Mapping[str, Any], *, tool: str) -> dict[str, Any]:
        """*arguments* as the function takes them, defaults filled in. InvalidArguments names each field at fault."""
        checked = self._checked(arguments, tool)
        return {name: getattr(checked, name) for name in self.model.model_fields}

    def normal(self, arguments: Mapping[str, Any], *, tool: str) -> dict[str, Any]:
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

    Raises ValueError for what JSON cannot hold (not-a-number, infinity), TypeError for what is not data.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def form_of(function: Callable[..., Any]) -> Form:
    """The form of *function*'s arguments. ConfigError where its signature does not say enough to make one."""
    name = getattr(function, "__name__", repr(function))
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(f"tool {name}: an annotation cannot be resolved: {error}") from None
    described = parameter_descriptions(function)
    fields: dict[str, Any] = {}
    filled: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(f"tool {name}: {parameter} cannot be given by name")
        if parameter.name not in hints:
            raise ConfigError(f"tool {name}: the parameter {parameter.name} has no annotation")
        hint = hints[parameter.name]
        if hint is Scope or hint is CallKey:
            filled[parameter.name] = hint
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hint, Field(default=default, description=described.get(parameter.name)))
    unknown = described.keys() - fields.keys() - filled.keys()
    if unknown:
        raise ConfigError(f"tool {name}: its docstring describes no parameter of its own: {', '.join(sorted(unknown))}")
    try:
        model: type[BaseModel] = create_model(name, __config__=_STRICT, **fields)
        model.model_json_schema()
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        raise ConfigError(f"tool {name}: its arguments have no JSON schema: {error}") from None
    return Form(model=model, filled=filled)


def description(function: Callable[..., Any]) -> str:
    """The first paragraph of the docstring, on one line. ConfigError if there is none: a tool must say what it is."""
    first = inspect.cleandoc(function.__doc__ or "").split("\n\n", 1)[0]
    text = " ".join(first.split())
    if not text or text.startswith(":param"):
        raise ConfigError(f"tool {getattr(function, '__name__', function)!s}: it has no docstring to describe it")
    return text


def parameter_descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """What ``:param name:`` says of each parameter."""
    document = inspect.cleandoc(function.__doc__ or "")
    return {found["name"]: " ".join(found["text"].split()) for found in _PARAM.finditer(document)}
