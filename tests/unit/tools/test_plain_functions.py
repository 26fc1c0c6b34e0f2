"""A plain typed function is a tool: what makes it one, how its arguments are read, and which functions are refused."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import Field

import vital_engine
from vital_engine.errors import ConfigError
from vital_engine.nouns import Brief, Effect, Question, Scope, ToolCall
from vital_engine.services.tools import Text, Tool, Toolbox, tool
from vital_engine.testing import HashedEmbedder

Ask = Callable[..., Question]
Briefed = Callable[..., Brief]


def half_life_left(dose_mg: float, half_lives: int) -> float:
    """What is left of a dose after some half-lives."""
    return dose_mg / 2.0**half_lives


class Route(StrEnum):
    ORAL = "po"
    INTRAVENOUS = "iv"


class Stage(IntEnum):
    ONE = 1
    TWO = 2


class Shade(Enum):
    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True)
class Shouted:
    """A wording of one's own."""

    def read(self, text: str) -> tuple[str, str] | None:
        said = [word for word in text.split() if word.isupper()]
        return (said[0], "it was shouted") if len(said) == 1 else None


async def read(function: Any, text: str, asked: Ask, brief: Briefed) -> list[dict[str, Any]]:
    suggestions = await Toolbox([function]).suggest(asked(text), brief())
    return [dict(tool_call.arguments) for tool_call in suggestions.tool_calls]


@pytest.mark.parametrize(
    "text",
    [
        "half life left: dose mg 80, half lives 3",
        "Half-life left of a dose of 80 mg after 3 half-lives?",
        "How much is left of 80 mg after 3 half-lives?",
        "half life left: dose 0.08 g, half lives: 3",
        "half life left: dose 80, 3 half lives",
    ],
)
async def test_a_question_that_names_it_and_its_numbers_gets_the_call(
    text: str, asked: Ask, brief: Briefed, scope: Scope
) -> None:
    box = Toolbox([half_life_left])
    (tool_call,) = (await box.suggest(asked(text), brief())).tool_calls
    assert (tool_call.tool, tool_call.arguments) == ("half_life_left", {"dose_mg": 80.0, "half_lives": 3})
    assert isinstance(tool_call.arguments["half_lives"], int)
    assert tool_call.effect is Effect.PURE
    assert (await box.call(tool_call, scope=scope)).value == 10.0


@pytest.mark.parametrize(
    "text",
    [
        "Is it a dose of 80 mg and 3 half-lives?",  # its numbers, but not the tool
        "What is the half life left?",
        "half life left: dose 80 mg, half lives 2.5",  # no whole number
        "half life left: dose 80 ml, half lives 3",  # another unit
        "half life left of 80 mg or 40 mg after 3 half-lives",  # two values
        "half life left: dose 80-90 mg, half lives 3",
    ],
)
async def test_what_it_does_not_say_is_not_proposed(text: str, asked: Ask, brief: Briefed) -> None:
    assert await read(half_life_left, text, asked, brief) == []


async def test_a_unit_that_was_taken_as_meant_is_said(asked: Ask, brief: Briefed) -> None:
    box = Toolbox([half_life_left])
    (tool_call,) = (await box.suggest(asked("half life left: dose 80, half lives 3"), brief())).tool_calls
    assert "dose 80 read as mg" in tool_call.reason


async def test_words_of_the_description_ask_for_it_too(asked: Ask, brief: Briefed) -> None:
    def decay(dose_mg: float, hours: float) -> float:
        """What remains of a substance after exponential elimination."""
        return dose_mg / 2**hours

    said = "After elimination, what remains of the substance: 80 mg, 3 hours?"
    assert await read(decay, said, asked, brief) == [{"dose_mg": 80.0, "hours": 3.0}]
    assert await read(decay, "What remains: 80 mg, 3 hours?", asked, brief) == []

    def ratio(weight_kg: float) -> float:
        """Ratio of weight."""
        return weight_kg

    # One word that is common to both says too little.
    assert await read(tool(name="per_kilo")(ratio), "The ratio for 80 kg?", asked, brief) == []
    assert await read(tool(cues=("half",))(decay), said, asked, brief) == []  # its own cues replace them


def score(
    route: Route,
    grade: Literal["a", "b", "high"],
    smoker: bool,
    stage: Stage,
    shade: Shade = Shade.DARK,
    levels_mg: list[float] | None = None,
    weights: tuple[int, ...] = (),
    limit: Optional[int] = None,  # noqa: UP045
    price: Decimal = Decimal(1),
    dose: Annotated[float | None, Field(gt=0)] = None,
    has_diabetes: bool = False,
) -> str:
    """Score everything that there is."""
    return f"{route} {grade} {smoker} {stage} {shade} {levels_mg} {weights} {limit} {price} {dose} {has_diabetes}"


SAID = "Score: oral, grade a, a smoker, stage 2"
BASE = {
    "route": "po", "grade": "a", "smoker": True, "stage": 2, "shade": "dark", "levels_mg": None, "weights": [],
    "limit": None, "price": "1", "dose": None, "has_diabetes": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ("", {}),
        (", light shade", {"shade": "light"}),
        (", levels 1, 2.5 and 3", {"levels_mg": [1.0, 2.5, 3.0]}),
        (", levels [1 g, 2 g]", {"levels_mg": [1000.0, 2000.0]}),
        (", weights: 4, 5", {"weights": [4, 5]}),
        (", weights 7", {"weights": [7]}),
        (", limit 3", {"limit": 3}),
        (", price 2.5", {"price": "2.5"}),
        (", dose 12", {"dose": 12.0}),
        (", no diabetes", {}),
        (", diabetes", {"has_diabetes": True}),
        (", diabetes: no", {}),
        (", diabetes: yes", {"has_diabetes": True}),
        (", intravenous", None),  # and oral
        (", grade b", None),  # and a
        (", weights 4.5, 5", None),
        (", levels 1 g, 2 mg", {}),  # two units: not said, and it may be left out
        (", dose -1", None),  # against its rule
    ],
)
async def test_each_kind_of_argument(more: str, changed: dict[str, Any] | None, asked: Ask, brief: Briefed) -> None:
    assert await read(score, SAID + more, asked, brief) == ([] if changed is None else [BASE | changed])


async def test_a_measure_alone_is_read_where_only_one_parameter_takes_it(asked: Ask, brief: Briefed) -> None:
    def remaining(dose_mg: float, half_life_h: float, hours: float) -> float:
        """What remains."""
        return dose_mg / 2 ** (hours / half_life_h)

    said = "remaining of 80 mg after 6 hours"  # the hours are not its half-life as well
    assert await read(remaining, said, asked, brief) == []
    assert await read(remaining, f"{said}, half-life 120 min", asked, brief) == [
        {"dose_mg": 80.0, "half_life_h": 2.0, "hours": 6.0}
    ]

    def compared(weight_kg: float, dose_mg: float) -> float:
        """Compared."""
        return weight_kg / dose_mg

    assert await read(compared, "compared: 80 kg and 5 mg", asked, brief) == []
    assert await read(compared, "compared: weight 80 kg and dose 5 mg", asked, brief) == [
        {"weight_kg": 80.0, "dose_mg": 5.0}
    ]


async def test_a_letter_is_read_behind_its_name_alone(asked: Ask, brief: Briefed) -> None:
    assert await read(score, "Score: oral, a smoker, stage 2", asked, brief) == []
    assert await read(score, "Score: oral, high, a smoker, stage 2", asked, brief) == [BASE | {"grade": "high"}]


async def test_a_tool_without_arguments_is_called_by_its_name(asked: Ask, brief: Briefed) -> None:
    def formulary_version() -> str:
        """Which formulary is in force."""
        return "2026-1"

    assert await read(formulary_version, "What is the formulary version?", asked, brief) == [{}]
    assert await read(formulary_version, "Which formulary is in force?", asked, brief) == []
    near = Toolbox(
        [formulary_version], embedder=HashedEmbedder()
    )  # and not by being near in meaning: it needs no value
    assert (await near.suggest(asked("Which formulary is in force?"), brief())).tool_calls == ()


async def test_text_is_read_where_a_parameter_says_how(asked: Ask, brief: Briefed) -> None:
    def trace_lot(lot: Annotated[str, Text(("lot", "batch"), r"[A-Z]{2}\d+")]) -> str:
        """Trace a lot."""
        return lot

    assert await read(trace_lot, "Trace lot: batch AB123, please", asked, brief) == [{"lot": "AB123"}]
    assert await read(trace_lot, 'Trace lot "whatever it is"', asked, brief) == [{"lot": "whatever it is"}]
    assert await read(trace_lot, "Trace lot AB123 or lot AB124", asked, brief) == []

    def look_up(code: Annotated[str, Shouted()]) -> str:
        """Look a code up."""
        return code

    (tool_call,) = (await Toolbox([look_up]).suggest(asked("look up XYZ"), brief())).tool_calls
    assert (tool_call.arguments, tool_call.reason) == (
        {"code": "XYZ"},
        "the question asks for “look up” and gives every value; it was shouted",
    )


def test_what_could_never_be_proposed_is_refused_and_what_to_do_is_said() -> None:
    def greet(name: str, when: date) -> str:
        """Greet somebody."""
        return f"{name} {when}"

    with pytest.raises(ConfigError) as caught:
        Toolbox([greet])
    told = str(caught.value)
    assert told.startswith("tool greet: it could never be proposed")
    assert "name (free text), when (a value of type date)" in told
    for way in ("Literal", "default", "Annotated", "reads=", "tool_suggester"):
        assert way in told
    assert "greet" in Toolbox([greet], model=True)
    assert "greet" in Toolbox([tool(reads=lambda _: ())(greet)])

    def polite(name: str = "you") -> str:
        """Greet somebody."""
        return name

    assert "polite" in Toolbox([polite])


async def test_tools_come_in_every_shape_that_can_be_called(scope: Scope) -> None:
    def scale(value: float, factor: int) -> float:
        """Scale a value.

        :param value: what to scale
        :param factor: by how much
        """
        return value * factor

    class DoubleIt:
        """Says how to double."""

        async def __call__(self, value: float) -> float:
            """Double a value."""
            return 2 * value

        def halve(self, value: float) -> float:
            """Halve a value."""
            return value / 2

    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @traced
    async def later(value: float) -> float:
        """Give it back, later."""
        await asyncio.sleep(0)
        return value

    @functools.lru_cache
    def cached(value: float) -> float:
        """Give it back."""
        return value

    triple = functools.partial(scale, factor=3)
    box = Toolbox([DoubleIt(), DoubleIt().halve, later, cached, tool(name="triple")(triple)])
    assert [each.name for each in box] == ["double_it", "halve", "later", "cached", "triple"]
    assert next(iter(box)).description == "Double a value."
    assert list(box["triple"].schema["properties"]) == ["value"]  # what the partial has given is not asked for
    for name, result in {"double_it": 8.0, "halve": 2.0, "later": 4.0, "cached": 4.0, "triple": 12.0}.items():
        assert (await box.call(ToolCall("1", name, {"value": 4}), scope=scope)).value == result


async def test_a_wrapped_coroutine_keeps_to_its_limit_and_its_seat(scope: Scope) -> None:
    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(**kwargs: Any) -> Any:
            return function(**kwargs)

        return functools.wraps(function)(wrapper)

    running = most = 0

    async def busy() -> str:
        """Be busy."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return "done"

    box = Toolbox([tool(concurrency=1)(traced(busy))])
    await asyncio.gather(*(box.call(ToolCall(str(i), "busy", {}), scope=scope) for i in range(4)))
    assert most == 1


def test_functions_that_are_no_tool_are_refused_saying_why() -> None:
    class Thing:
        """A thing."""

        def method(self, x: int) -> int:
            """Of a thing."""
            return x

    def numbers(x: int) -> Iterator[int]:
        """Count."""
        yield x

    async def later(x: int) -> AsyncIterator[int]:
        """Count."""
        yield x

    def bare(*args: Any, **kwargs: Any) -> Any:
        """Wraps something."""
        return args, kwargs

    refused: list[tuple[Any, str]] = [
        (Thing, "a class is no tool"),
        (Thing.method, "give the bound one: instance.method"),
        (numbers, "it yields"),
        (later, "it yields"),
        (bare, "functools.wraps"),
        (abs, "annotation|cannot be given by name|signature"),
        (lambda x: x, "docstring"),
        (7, "not of a int"),
    ]
    for function, why in refused:
        with pytest.raises(ConfigError, match=why):
            Toolbox([function])


def test_the_decorator_with_and_without_settings() -> None:
    @vital_engine.tool
    def plain(x: int) -> int:
        """Give it back."""
        return x

    @vital_engine.tool(effect="read", cost_usd="0.01", cues=["give"])
    def priced(x: int) -> int:
        """Give it back."""
        return x

    assert isinstance(plain, Tool)
    assert (plain(3), plain.effect, priced.effect, priced.cues) == (3, Effect.PURE, Effect.READ, ("give",))
    wrong: Any = {"effect": "reed"}
    with pytest.raises(ConfigError, match="effect must be one of pure, read, keyed_write, effect, not 'reed'"):
        tool(**wrong)(priced.function)
    misspelt: Any = {"efect": "read"}
    with pytest.raises(ConfigError, match="unknown setting efect"):
        tool(**misspelt)(priced.function)


def google(dose_mg: float, hours: int = 1, route: Literal["oral", "iv"] = "oral") -> float:
    """What is left of a dose
    after some hours.

    More about it.

    Args:
        dose_mg (float): the dose
            in milligrams
        hours: since it was given

    Returns:
        What is left.
    """
    return dose_mg / hours if route else 0


def numpy_style(dose_mg: float, hours: int = 1, route: Literal["oral", "iv"] = "oral") -> float:
    """What is left of a dose
    after some hours.

    Parameters
    ----------
    dose_mg : float
        the dose
        in milligrams
    hours : int, optional
        since it was given

    Returns
    -------
    float
        What is left.
    """
    return dose_mg / hours if route else 0


def sphinx(dose_mg: float, hours: int = 1, route: Literal["oral", "iv"] = "oral") -> float:
    """What is left of a dose
    after some hours.

    :param float dose_mg: the dose
        in milligrams
    :param hours: since it was given
    :returns: What is left.
    :raises ValueError: never
    """
    return dose_mg / hours if route else 0


@pytest.mark.parametrize("function", [google, numpy_style, sphinx], ids=lambda f: f.__name__)
def test_descriptions_of_three_styles_reach_the_schema(function: Callable[..., Any]) -> None:
    made = tool(function)
    assert made.description == "What is left of a dose after some hours."
    properties = made.schema["properties"]
    assert {name: each.get("description") for name, each in properties.items()} == {
        "dose_mg": "the dose in milligrams",
        "hours": "since it was given",
        "route": None,
    }


def test_an_annotation_says_it_before_the_docstring() -> None:
    def scaled(
        value: Annotated[float, Field(description="what to scale", gt=0)], factor: Annotated[int, Field(le=9)]
    ) -> float:
        """Scale.

        Args:
            value: something
            factor: by how much
        """
        return value * factor

    properties = tool(scaled).schema["properties"]
    assert properties["value"]["description"] == "what to scale"
    assert properties["factor"]["description"] == "by how much"
    assert (properties["value"]["exclusiveMinimum"], properties["factor"]["maximum"]) == (0, 9)


@pytest.mark.parametrize(
    "text",
    ["dose " * 4_000, "levels 1, " * 3_000, "levels " + "1 and " * 5_000, "grade: " * 3_000, "diabetes: " * 3_000,
     "lot “" * 4_000, "80 mg " * 4_000, "score " + "1" * 20_000],
)  # fmt: skip
async def test_no_text_holds_them_up(text: str, asked: Ask, brief: Briefed) -> None:
    import time

    def trace_lot(lot: Annotated[str, Text(("lot",))]) -> str:
        """Trace a lot."""
        return lot

    box = Toolbox([score, half_life_left, trace_lot])
    began = time.process_time()
    await box.suggest(asked(text), brief())
    assert time.process_time() - began < 3.0
