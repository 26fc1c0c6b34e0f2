from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from vital_engine.errors import ConfigError, InvalidArguments, ToolError
from vital_engine.nouns import Effect, Scope
from vital_engine.services.tools import CallKey, tool
from vital_engine.services.tools.schema import canonical


@tool()
def remaining(
    dose_mg: Annotated[float, Field(gt=0)], hours: float = 1.0, route: Literal["oral", "iv"] = "oral"
) -> float:
    """What is left of a dose
    after some hours.

    The rest is for readers of the code.

    :param dose_mg: the dose
        in milligrams
    :param hours: since it was given
    """
    return dose_mg / 2**hours if route == "iv" else dose_mg


def test_the_signature_is_the_schema_and_the_docstring_its_words() -> None:
    assert remaining.name == "remaining"
    assert remaining.description == "What is left of a dose after some hours."
    schema = remaining.schema
    assert schema["required"] == ["dose_mg"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["dose_mg"] == {
        "description": "the dose in milligrams",
        "exclusiveMinimum": 0,
        "title": "Dose Mg",
        "type": "number",
    }
    assert schema["properties"]["route"]["enum"] == ["oral", "iv"]


def test_a_direct_call_is_validated_too() -> None:
    assert remaining(8, 2, "iv") == 2.0
    with pytest.raises(InvalidArguments) as caught:
        remaining(dose_mg=-1)
    assert caught.value.fields == ("dose_mg",)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({}, ("dose_mg",)),
        ({"dose_mg": "8"}, ("dose_mg",)),
        ({"dose_mg": True}, ("dose_mg",)),
        ({"dose_mg": 8, "route": "nasal"}, ("route",)),
        ({"dose_mg": 8, "colour": "red"}, ("colour",)),
        ({"dose_mg": 0, "hours": None}, ("dose_mg", "hours")),
        ({"dose_mg": float("nan")}, ()),
        ({"dose_mg": float("inf")}, ()),
        ({"dose_mg": object()}, ()),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], fields: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArguments) as caught:
        remaining.form.validate(arguments, tool="remaining")
    assert caught.value.fields == fields
    assert isinstance(caught.value, ToolError)
    assert isinstance(caught.value, ValueError)
    assert not caught.value.retryable


def test_equal_arguments_have_one_normal_form() -> None:
    one = remaining.form.normal({"hours": 1, "dose_mg": 8}, tool="remaining")
    other = remaining.form.normal({"dose_mg": 8.0}, tool="remaining")
    assert canonical(one) == canonical(other) == '{"dose_mg":8.0,"hours":1.0,"route":"oral"}'


def test_the_engine_fills_scope_and_key_and_the_schema_does_not_show_them() -> None:
    @tool(effect=Effect.KEYED_WRITE)
    def order(item: str, scope: Scope, key: CallKey) -> str:
        """Order an item."""
        return f"{item} {scope.tenant} {key}"

    assert list(order.schema["properties"]) == ["item"]
    scope = Scope("t1", "u1")
    assert order.bind({"item": "gloves"}, scope=scope, key="k1") == {"item": "gloves", "scope": scope, "key": "k1"}
    assert order("gloves", scope, CallKey("k2")) == "gloves t1 k2"
    with pytest.raises(InvalidArguments):
        order.bind({"item": "gloves", "scope": {"tenant": "other", "user": "u"}}, scope=scope, key="k1")


def test_what_changes_the_meaning_of_an_approval_changes_the_definition() -> None:
    def made(**settings: Any) -> str:
        @tool(**{"name": "lookup", **settings})
        def lookup(word: str) -> str:
            """Look a word up."""
            return word

        return lookup.definition

    assert made() == made(timeout=3.0)
    assert len({made(), made(effect=Effect.READ), made(consent=True), made(cost_usd="0.01"), made(name="find")}) == 5


def test_functions_that_do_not_say_enough_are_refused() -> None:
    def silent(x: int) -> int:
        return x

    def untyped(x) -> int:
        """Typed it is not."""
        return int(x)

    def loose(*numbers: int) -> int:
        """Add."""
        return sum(numbers)

    def lying(x: int) -> int:
        """Double.

        :param y: not there
        """
        return 2 * x

    def opaque(x: Question) -> str:  # type: ignore[name-defined]  # noqa: F821
        """Cannot be resolved."""
        return str(x)

    def unschemable(x: type[dict[str, Any]] | object) -> str:
        """Has no JSON schema."""
        return str(x)

    for function in (silent, untyped, loose, lying, opaque, unschemable):
        with pytest.raises(ConfigError, match=function.__name__):
            tool()(function)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"concurrency": 0}, "concurrency"),
        ({"max_chars": 5}, "max_chars"),
        ({"cost_usd": "-1"}, "cost_usd"),
        ({"name": "two words"}, "identifier"),
        ({"egress": True}, "egress"),
        ({"egress": True, "effect": Effect.READ}, "egress"),
        ({"effect": Effect.KEYED_WRITE}, "CallKey"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], why: str) -> None:
    def word(text: str) -> str:
        """Say a word."""
        return text

    with pytest.raises(ConfigError, match=why):
        tool(**settings)(word)
