"""A signature is the wiring: what it may say, and what is refused with a name and a way out."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NewType, Protocol, runtime_checkable

import pytest

from vital_engine.errors import ConfigError, FlowError
from vital_engine.flow import Flow, Policy, Shape, Stream, step

from .things import A, B, C, virtual

Token = NewType("Token", str)


class Bare(Protocol):
    made: str


@runtime_checkable
class Checked(Protocol):
    made: str


async def make_b(a: A) -> B:
    return B(a.made)


class Maker:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    async def make(self, a: A) -> B:
        return B(self.prefix + a.made)

    async def __call__(self, a: A) -> B:
        return B(self.prefix + a.made)


def test_a_function_is_read_by_its_signature() -> None:
    async def both(a: A, b: Stream[B], out: Stream[C]) -> C:
        return C()

    made = step(both)
    assert (made.name, made.makes, made.needs, made.inlets, made.outlet) == ("both", C, {"a": A}, {"b": B}, "out")


def test_methods_and_callable_objects_are_steps_too() -> None:
    assert step(Maker("x").make).name == "make" and step(Maker("x").make).needs == {"a": A}
    assert step(Maker("x")).name == "maker" and step(Maker("x")).makes is B


def test_a_decorated_function_keeps_its_wiring() -> None:
    def twice(work: Callable[..., Awaitable[B]]) -> Callable[..., Awaitable[B]]:
        @functools.wraps(work)
        async def wrapped(*args: Any, **kwargs: Any) -> B:
            await work(*args, **kwargs)
            return await work(*args, **kwargs)

        return wrapped

    assert step(twice(make_b)).needs == {"a": A}


class Shelf:
    """Something that a step is given beforehand."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def find(self, a: A, b: B | None = None, *, limit: int) -> C:
        return C(f"{self.name} {a.made} {b and b.made} {limit}")

    async def __call__(self, limit: int, a: A) -> C:
        return await self.find(a, limit=limit)


async def find(shelf: Shelf, a: A, b: B | None = None, *, limit: int) -> C:
    return await shelf.find(a, b, limit=limit)


async def find_by_place(shelf: Shelf, /, a: A, b: B | None = None, *, limit: int) -> C:
    return await shelf.find(a, b, limit=limit)


BOUND = {
    "by place": partial(find, Shelf("s"), limit=3),
    "by place alone": partial(find_by_place, Shelf("s"), limit=3),
    "by name": partial(find, limit=3, shelf=Shelf("s")),
    "twice": partial(partial(find, limit=4), Shelf("s"), limit=3),
    "a method": partial(Shelf("s").find, limit=3),
}


@pytest.mark.parametrize("work", BOUND.values(), ids=BOUND)
@virtual
async def test_what_a_partial_has_bound_is_no_need(work: Callable[..., Awaitable[C]]) -> None:
    made = step(work)
    assert (made.name, made.makes, dict(made.needs), made.optional) == ("find", C, {"a": A, "b": B}, {"b"}) or (
        made.name == "find_by_place"
    )
    assert (await Flow("f", made, given=[A]).run(A()))[C] == C("s a None 3")
    assert (await Flow("f", made).run(A(), B()))[C] == C("s a b 3")


@virtual
async def test_a_partial_of_an_object_is_named_as_the_object_is() -> None:
    made = step(partial(Shelf("s"), 7))
    assert (made.name, dict(made.needs)) == ("shelf", {"a": A})
    assert (await Flow("f", made).run(A()))[C] == C("s a None 7")


@virtual
async def test_an_optional_wire_that_is_bound_is_not_wired() -> None:
    made = step(partial(find, Shelf("s"), b=B("bound"), limit=3))
    assert (dict(made.needs), made.optional) == ({"a": A}, frozenset())
    assert (await Flow("f", made).run(A(), B()))[C] == C("s a bound 3")


def test_what_is_not_bound_is_a_need() -> None:
    assert dict(step(partial(find, limit=3)).needs) == {"shelf": Shelf, "a": A, "b": B}
    with pytest.raises(FlowError, match="'find' needs a Shelf, which nothing makes"):
        Flow("f", step(partial(find, limit=3)), given=[A])


def test_a_runtime_protocol_can_be_needed() -> None:
    async def work(it: Checked) -> B:
        return B()

    assert step(work).needs == {"it": Checked}


def refused(work: Any, *words: str) -> None:
    with pytest.raises(FlowError) as caught:
        step(work)
    for word in words:
        assert word in str(caught.value)


def test_what_cannot_be_a_wire_is_refused_by_name() -> None:
    async def no_return(a: A):
        return B()

    async def nothing(a: A) -> None: ...

    async def anything(a: Any) -> B:
        return B()

    async def makes_anything(a: A) -> Any:
        return B()

    async def bare(a) -> B:
        return B()

    async def union(a: A | C) -> B:
        return B()

    async def makes_union(a: A) -> B | C:
        return B()

    async def alias(a: list[A]) -> B:
        return B()

    async def makes_alias(a: A) -> list[B]:
        return [B()]

    async def new_type(token: Token) -> B:
        return B()

    async def unchecked(it: Bare) -> B:
        return B()

    async def streams_union(a: Stream[A | C]) -> B:
        return B()

    async def unnamed_stream(a: Stream) -> B:
        return B()

    async def makes_stream(a: A) -> Stream[B]:
        return Stream()

    async def two_outlets(one: Stream[B], two: Stream[B]) -> B:
        return B()

    async def many(*a: A) -> B:
        return B()

    async def keywords(**a: A) -> B:
        return B()

    async def by_place(a: A, /) -> B:
        return B()

    refused(no_return, "no_return", "which class it returns")
    refused(nothing, "nothing", "which class it returns")
    refused(makes_anything, "makes_anything", "which class it returns")
    refused(makes_union, "makes_union", "which class it returns")
    refused(makes_alias, "makes_alias", "which class it returns")
    refused(makes_stream, "makes_stream", "which class it returns")
    refused(bare, "bare", "of which class 'a' is")
    refused(anything, "anything", "'a' must be one class")
    refused(union, "union", "'a' must be one class")
    refused(alias, "alias", "'a' must be one class")
    refused(new_type, "new_type", "'token' must be one class")
    refused(unchecked, "unchecked", "'it' must be one class")
    refused(streams_union, "streams_union", "'a' must be one class or Stream[one class]")
    refused(unnamed_stream, "unnamed_stream", "Stream[one class]")
    refused(two_outlets, "two_outlets", "'one'", "'two'", "keep one")
    refused(many, "many", "'a' must be a plain parameter")
    refused(keywords, "keywords", "'a' must be a plain parameter")
    refused(by_place, "by_place", "'a' must be a plain parameter")


def test_types_that_cannot_be_found_are_refused_by_name() -> None:
    class Local: ...

    async def local(a: Local) -> B:
        return B()

    async def missing(a: functools.Nowhere) -> B:  # type: ignore[name-defined]
        return B()

    refused(local, "local", "Local", "module level")
    refused(missing, "missing", "cannot be read", "Nowhere")


def test_a_stand_in_must_be_what_the_step_makes() -> None:
    with pytest.raises(FlowError, match="'make_b' makes B: a A is no fallback for it"):
        step(make_b).fallback(A())  # type: ignore[arg-type]
    assert step(make_b).fallback(B("x")).fallback_value == B("x")
    assert repr(step(make_b).fallback_value) == "NOTHING"


def test_only_what_streams_can_be_salvaged() -> None:
    with pytest.raises(FlowError, match=r"'make_b' streams nothing .* Stream\[B\]"):
        step(make_b).recover(lambda items, error: B())


@pytest.mark.parametrize("within", [0, -1.0, float("nan"), float("inf")])
def test_a_limit_is_a_time(within: float) -> None:
    with pytest.raises(ConfigError, match="'within'"):
        Policy(within=within)


@pytest.mark.parametrize("grace", [-0.1, float("nan"), float("inf")])
def test_a_grace_is_a_time(grace: float) -> None:
    with pytest.raises(ConfigError, match="'grace'"):
        Policy(grace=grace)


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_a_shape_without_seats_is_refused(width: float) -> None:
    with pytest.raises(ConfigError, match="'width'"):
        Shape(width=width)
    with pytest.raises(ConfigError, match="'tier1'"):
        Shape(lanes={"tier1": width})  # type: ignore[dict-item]


# -- joined into a flow
async def make_a() -> A:
    return A()


async def make_a_of_b(b: B) -> A:
    return A()


async def make_b_of_itself(b: B) -> B:
    return b


async def read_a(a: Stream[A]) -> C:
    return C()


async def stream_a(out: Stream[A]) -> A:
    return A()


def test_two_makers_and_two_names_are_refused() -> None:
    with pytest.raises(FlowError, match="'make_b' and 'other' both make B"):
        Flow("f", step(make_b), step(make_b).named("other"))
    with pytest.raises(FlowError, match="two steps of 'f' are named 'make_b'"):
        Flow("f", step(make_b), step(read_a).named("make_b"))


def test_circles_are_refused_and_shown() -> None:
    with pytest.raises(FlowError, match=r"'f' goes round in a circle: .*make_b -> make_a_of_b"):
        Flow("f", step(make_b), step(make_a_of_b))
    with pytest.raises(FlowError, match="circle"):
        Flow("f", step(make_b_of_itself))
    tiers = Shape(barriers=True)
    with pytest.raises(FlowError, match="circle"):
        Flow("f", step(make_b).under(Policy(tier="1")), step(make_a).under(Policy(tier="2")), shape=tiers)


def test_an_unmet_need_is_refused_when_the_flow_says_what_it_is_given() -> None:
    with pytest.raises(FlowError, match="'make_b' needs a A, which nothing makes"):
        Flow("f", step(make_b), given=[C])
    assert Flow("f", step(make_b), given=[A]).steps


def test_a_stream_of_something_that_is_not_streamed_is_refused_with_the_way_out() -> None:
    with pytest.raises(FlowError, match=r"'read_a' reads A as a stream, but 'make_a' .* parameter of Stream\[A\]"):
        Flow("f", step(make_a), step(read_a))


def test_flows_are_made_of_flows_and_drawn() -> None:
    one = Flow("one", step(stream_a), step(make_b))
    whole = Flow("whole", one, step(read_a))
    assert [s.name for s in whole.steps] == ["stream_a", "make_b", "read_a"]
    assert whole.levels == [["stream_a"], ["make_b", "read_a"]]
    assert repr(whole) == "Flow('whole': stream_a -> make_b | read_a)"
    assert whole.draw() == "stream_a() -> A\n  v\nmake_b(A) -> B\n| read_a(~A) -> C"
    assert whole.draw("mermaid").splitlines() == [
        "flowchart LR",
        '    stream_a["stream_a: A"]',
        '    make_b["make_b: B"]',
        '    read_a["read_a: C"]',
        "    stream_a --> make_b",
        "    stream_a -.-> read_a",
    ]
    assert Flow("empty").draw() == ""
    with pytest.raises(FlowError, match="'svg'"):
        whole.draw("svg")


def test_the_same_steps_under_another_shape() -> None:
    flow = Flow("f", step(stream_a), step(make_b))
    assert flow.sequential().shape.width == 1 and flow.sequential().steps == flow.steps
    assert flow.under(Shape(barriers=True)).shape.barriers and not flow.shape.bounded


def test_a_step_without_a_tier_heeds_no_barrier() -> None:
    tiers = Shape(barriers=True)
    flow = Flow(
        "f", step(stream_a).under(Policy(tier="1")), step(make_b), step(read_a).under(Policy(tier="2")), shape=tiers
    )
    assert flow.plan.frees == ((2,), (), ())
