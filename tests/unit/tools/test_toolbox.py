from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from vital_engine.errors import ConfigError, InvalidArguments, StoreError, ToolError, ToolTimeout
from vital_engine.nouns import Brief, Effect, Question, Scope, ToolCall, ToolSuggestions
from vital_engine.ports import Caller, ToolSuggester
from vital_engine.services.tools import CallKey, Output, Toolbox, tool
from vital_engine.testing import HashedEmbedder

Ask = Callable[..., Question]
Briefed = Callable[..., Brief]


def proposed(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(id="call_1", tool=name, arguments=arguments)


def test_it_fulfils_both_ports(box: Toolbox) -> None:
    assert isinstance(box, ToolSuggester)
    assert isinstance(box, Caller)


async def test_a_proposal_says_everything_that_a_person_must_know(box: Toolbox, asked: Ask, brief: Briefed) -> None:
    (first,) = (await box.suggest(asked("eGFR: age 70, creatinine 1.2, female"), brief())).tool_calls
    assert first.tool == "egfr_ckd_epi_2021"
    assert first.arguments == {"creatinine_mg_dl": 1.2, "age": 70.0, "sex": "female"}
    assert "eGFR" in first.reason
    assert "creatinine 1.2 read as mg/dl" in first.reason
    assert first.effect is Effect.PURE
    assert first.cost_usd == Decimal(0)
    assert not first.tainted
    assert first.definition == box["egfr_ckd_epi_2021"].definition


async def test_ids_are_stable_within_a_run_and_differ_between_runs(box: Toolbox, asked: Ask, brief: Briefed) -> None:
    async def of(**who: str) -> str:
        return (await box.suggest(asked("What is 2 + 3?", **who), brief())).tool_calls[0].id

    assert await of() == await of()
    assert len({await of(), await of(run_id="run2"), await of(tenant="t2")}) == 3


async def test_only_the_experts_tools_are_proposed(box: Toolbox, asked: Ask, brief: Briefed) -> None:
    question = asked("What is 2 + 3?")
    assert (await box.suggest(question, brief("convert_units"))).tool_calls == ()
    assert [p.tool for p in (await box.suggest(question, brief("calculator"))).tool_calls] == ["calculator"]


async def test_leaving_the_house_is_proposed_as_an_effect(box: Toolbox, asked: Ask, brief: Briefed) -> None:
    for text in (
        "Search PubMed for statin intolerance",
        "What does the FDA label for metformin say?",
        "Which adverse events are reported for ibuprofen in FAERS?",
    ):
        (first,) = (await box.suggest(asked(text), brief())).tool_calls
        assert first.effect is Effect.EFFECT
        assert box[first.tool].egress
        assert box[first.tool].consent


async def test_several_calls_of_one_question_and_no_more_than_the_limit(
    asked: Ask, brief: Briefed, box: Toolbox
) -> None:
    text = "Convert 5 mmol/L glucose to mg/dL and 200 mg/dL cholesterol to mmol/L"
    assert len((await box.suggest(asked(text), brief())).tool_calls) == 2
    narrow = Toolbox(tuple(box), most=1)
    assert len((await narrow.suggest(asked(text), brief())).tool_calls) == 1


async def test_an_unnamed_tool_is_proposed_only_if_it_is_near(asked: Ask, brief: Briefed) -> None:
    @tool()
    def elimination(dose: float, hours: float) -> float:
        """Amount of a dose left after hours of elimination."""
        return dose / 2**hours

    near, far = "What amount of a dose is left after elimination, dose 8, hours 3?", "Is it dose 8 and hours 3?"
    dense, lexical = Toolbox([elimination], embedder=HashedEmbedder()), Toolbox([elimination])
    assert (await lexical.suggest(asked(near), brief())).tool_calls[0].arguments == {"dose": 8.0, "hours": 3.0}
    assert (await lexical.suggest(asked(far), brief())).tool_calls == ()

    @tool(cues=("decay curve",))
    def decay(dose: float, hours: float) -> float:
        """Amount of a dose left after hours of elimination."""
        return dose / 2**hours

    dense = Toolbox([decay], embedder=HashedEmbedder())
    (close,) = (await dense.suggest(asked(near), brief())).tool_calls
    assert "close to this tool" in close.reason
    assert (await dense.suggest(asked(far), brief())).tool_calls == ()
    assert (await Toolbox([decay]).suggest(asked(near), brief())).tool_calls == ()


async def test_a_tool_of_ones_own(asked: Ask, brief: Briefed, scope: Scope) -> None:
    box = Toolbox()

    @box.tool(cost_usd="0.02", timeout=1.0)
    async def half_life(dose_mg: float, hours: float) -> float:
        """Amount left after hours."""
        return dose_mg / 2**hours

    assert half_life.cost_usd == Decimal("0.02")
    suggestions = await box.suggest(asked("half life for dose mg 8, hours 3"), brief())
    tool_result = await box.call(suggestions.tool_calls[0], scope=scope)
    assert (tool_result.status, tool_result.value, tool_result.text) == ("done", 1.0, "1.0")
    assert tool_result.seconds >= 0
    with pytest.raises(ConfigError, match="half_life"):
        box.add(half_life)


async def test_an_empty_box_and_an_empty_question(asked: Ask, brief: Briefed, box: Toolbox) -> None:
    assert await Toolbox().suggest(asked("2 + 2"), brief()) == ToolSuggestions()
    assert await Toolbox().rank("2 + 2") == ()
    assert await box.suggest(asked(""), brief()) == ToolSuggestions()
    assert not (await box.suggest(asked(""), brief())).failed


async def test_unknown_tools_changed_definitions_and_bad_arguments_are_refused(box: Toolbox, scope: Scope) -> None:
    with pytest.raises(ToolError, match="no tool named 'rm'"):
        await box.call(proposed("rm"), scope=scope)
    stale = ToolCall("call_1", "calculator", {"expression": "1+1"}, definition="0" * 64)
    with pytest.raises(ToolError, match="changed since"):
        await box.call(stale, scope=scope)
    with pytest.raises(InvalidArguments) as caught:
        await box.call(proposed("body_mass_index", weight_kg=80, height_cm=1.8), scope=scope)
    assert caught.value.fields == ("height_cm",)


async def test_a_call_that_takes_too_long_is_cancelled_and_named(scope: Scope) -> None:
    ended: list[str] = []

    @tool(timeout=0.02)
    async def slow() -> str:
        """Wait."""
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "late"

    @tool(timeout=0.02, effect=Effect.EFFECT)
    async def send() -> str:
        """Send."""
        await asyncio.sleep(30)
        return "late"

    box = Toolbox([slow, send])
    with pytest.raises(ToolTimeout, match=r"slow: no result within 0.02 s") as caught:
        await box.call(proposed("slow"), scope=scope)
    assert ended == ["cancelled"]
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retryable
    with pytest.raises(ToolTimeout) as caught:
        await box.call(proposed("send"), scope=scope)
    assert not caught.value.retryable  # whether it was sent is not known


async def test_a_cancel_from_outside_stays_a_cancel(scope: Scope) -> None:
    @tool(timeout=5)
    async def slow() -> str:
        """Wait."""
        await asyncio.sleep(30)
        return "late"

    task = asyncio.create_task(Toolbox([slow]).call(proposed("slow"), scope=scope))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_more_calls_at_once_than_seats(scope: Scope) -> None:
    running = most = 0

    @tool(concurrency=2)
    async def busy() -> str:
        """Be busy."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return "done"

    box = Toolbox([busy])
    await asyncio.gather(*(box.call(proposed("busy"), scope=scope) for _ in range(7)))
    assert most == 2


async def test_a_plain_function_runs_in_a_thread_and_keeps_its_seat_until_it_ends(scope: Scope) -> None:
    gate, runs, here, began = threading.Event(), threading.Event(), threading.get_ident(), []

    @tool(concurrency=1, timeout=0.05)
    def deaf() -> str:
        """Block."""
        began.append(threading.get_ident())
        runs.set()
        gate.wait(60)
        return "done"

    box = Toolbox([deaf])
    with pytest.raises(ToolTimeout):
        await box.call(proposed("deaf"), scope=scope)
    assert await asyncio.to_thread(runs.wait, 60)
    with pytest.raises(ToolTimeout):  # the first still runs: there is no seat
        await box.call(proposed("deaf"), scope=scope)
    assert len(began) == 1
    assert began[0] != here
    gate.set()
    deadline = time.monotonic() + 60
    while True:
        try:
            assert (await box.call(proposed("deaf"), scope=scope)).value == "done"
            break
        except ToolTimeout:
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ZeroDivisionError("x"), ToolError),
        (KeyError("x"), ToolError),
        (OSError("x"), ToolError),
        (StoreError("x", service="store", retryable=True), ToolError),
        (InvalidArguments("no", fields=("a",)), InvalidArguments),
        (RuntimeError("a defect"), RuntimeError),
    ],
)
async def test_what_a_tool_raises(error: Exception, kind: type[Exception], scope: Scope) -> None:
    @tool()
    async def broken() -> str:
        """Break."""
        raise error

    with pytest.raises(kind) as caught:
        await Toolbox([broken]).call(proposed("broken"), scope=scope)
    assert type(caught.value) is kind
    if isinstance(error, StoreError):
        assert isinstance(caught.value, ToolError)
        assert caught.value.retryable


async def test_results_are_data_of_bounded_size(scope: Scope) -> None:
    results: dict[str, Any] = {
        "object": object(),
        "infinite": float("inf"),
        "large": "x" * 70_000,
        "long": Output("y" * 500, 1),
        "sourced": Output("seven", 7, "a book"),
        "mapping": {"b": 1, "a": [1, 2]},
        "text": "plain",
    }

    @tool(max_chars=100)
    def give(what: str) -> Any:
        """Give."""
        return results[what]

    box = Toolbox([give], model=True)

    async def given(what: str) -> tuple[str, Any]:
        tool_result = await box.call(proposed("give", what=what), scope=scope)
        return tool_result.text, tool_result.value

    for what, why in (("object", "not data"), ("infinite", "not data"), ("large", "larger than 65536 bytes")):
        with pytest.raises(ToolError, match=why):
            await given(what)
    assert await given("long") == ("y" * 100 + "\n[cut: 100 of 500 characters]", 1)
    assert await given("sourced") == ("seven\nMethod: a book", 7)
    assert await given("mapping") == ('{"a":[1,2],"b":1}', {"b": 1, "a": [1, 2]})
    assert await given("text") == ("plain", "plain")


async def test_the_key_of_a_call_is_its_proposals_id(scope: Scope) -> None:
    seen: list[tuple[str, str]] = []

    @tool(effect=Effect.KEYED_WRITE)
    async def order(item: str, key: CallKey, scope: Scope) -> str:
        """Order."""
        seen.append((key, scope.tenant))
        return item

    box = Toolbox([order], model=True)
    for _ in range(2):
        await box.call(proposed("order", item="gloves"), scope=scope)
    assert seen == [("call_1", "t1")] * 2
