"""``Limits.cost_usd`` bounds the whole turn: tools and model together, through every door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vital_engine.errors import CostLimit, ModelUnavailable
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.nouns import Brief, Call, Effect, Expert, LedgerRow, Limits, Piece, Prompt, Question, Usage
from vital_engine.ports import Replicas
from vital_engine.services.cost import Prices
from vital_engine.services.llm.extractive import Extractive
from vital_engine.services.llm.factory import Fallback
from vital_engine.services.llm.remembered import CachedLLM
from vital_engine.testing import run_virtual, scripted
from vital_engine.text.tokens import estimate_usage
from vital_engine.turn.budget import LEAST, MARGIN, afforded

from .conftest import MODES, Clinic, Door, Foreign

QUESTION = Question("Please look at record, number 7.", "t1", "u1")
INPUT, OUTPUT = Decimal("0.000001"), Decimal("0.000004")
"""USD per token of the scripted model."""


def limited(usd: str | Decimal, question: Question = QUESTION) -> Question:
    return replace(question, limits=replace(question.limits, cost_usd=Decimal(usd)))


def tool(cost: str = "0", effect: Effect = Effect.READ) -> Clinic:
    made = Clinic()
    made.add("record", effect=effect, cost_usd=cost)
    return made


def said(receipt: Mapping[str, Any]) -> str:
    return " ".join(receipt["warnings"])


async def test_a_limit_that_pays_for_everything_changes_nothing(door: Door) -> None:
    made = tool("0.01")
    services = made.services()
    plain, bounded = await door(services, QUESTION), await door(services, limited("1"))
    for same in ("text", "status", "warnings", "cost"):
        if same == "cost":
            assert plain[same]["usd"] == bounded[same]["usd"] is not None
        else:
            assert plain[same] == bounded[same]
    assert [p.max_output_tokens for p in services.prompts] == [1024, 1024]


async def test_where_less_is_left_the_answer_is_shorter_and_says_so(door: Door) -> None:
    services = scripted()
    receipt = await door(services, limited("0.0007"))
    (prompt,) = services.prompts
    assert LEAST <= prompt.max_output_tokens < 120
    assert (receipt["status"], receipt["model"]["finish"]) == ("complete", "length")
    assert 0 < Decimal(receipt["cost"]["usd"]) <= Decimal("0.0007")
    assert f"The cost limit of $0.0007 left {prompt.max_output_tokens} tokens for the answer." in receipt["warnings"]
    assert [row["call"]["usage"]["output"] for row in receipt["cost"]["calls"]] == [prompt.max_output_tokens]


@pytest.mark.parametrize("usd", ["0", "0.0000001", "0.0003"])
async def test_where_not_even_a_sentence_is_paid_for_nobody_is_asked(door: Door, usd: str) -> None:
    services = scripted()
    receipt = await door(services, limited(usd))
    assert (receipt["status"], receipt["error"], receipt["text"]) == ("failed", "turn.cost_limit", "")
    assert services.prompts == []
    assert (receipt["cost"]["usd"], receipt["cost"]["calls"]) == ("0", [])


async def test_what_the_tools_cost_is_taken_off(door: Door) -> None:
    """Each by itself fits into the limit; both together do not."""
    costly, cheap = tool("0.0099").services(), tool("0").services()
    assert (await door(cheap, limited("0.01")))["status"] == "complete"
    assert cheap.prompts[0].max_output_tokens == 1024
    receipt = await door(costly, limited("0.01"))
    assert receipt["approvals"][0]["approved"] and receipt["tool_results"][0]["status"] == "done"
    assert (receipt["error"], costly.prompts) == ("turn.cost_limit", [])
    shorter = tool("0.009").services()
    receipt = await door(shorter, limited("0.01"))
    assert receipt["status"] == "complete" and shorter.prompts[0].max_output_tokens < 1024
    assert Decimal(receipt["cost"]["usd"]) + Decimal("0.009") <= Decimal("0.01")


async def test_a_price_that_is_not_known_is_said(door: Door) -> None:
    services = replace(scripted(), accountant=Prices())  # which knows no such model
    receipt = await door(services, limited("0.0000001"))
    assert receipt["status"] == "complete" and services.prompts[0].max_output_tokens == 1024
    assert receipt["cost"]["usd"] is None
    assert "What the model costs is not known: it could not be held to the cost limit of $0.0000001." in said(receipt)


async def test_a_model_on_our_own_machine_costs_nothing_and_obeys_any_limit(door: Door) -> None:
    services = replace(scripted(), llm=Extractive())
    receipt = await door(services, limited("0"))
    assert (receipt["status"], receipt["cost"]["usd"]) == ("complete", "0")
    assert "cost limit" not in said(receipt)


class Talker:
    """A model that writes more than it is allowed to."""

    model, provider = "talker", "acme"

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        self.prompts.append(prompt)
        yield Piece("Much [1].", model=self.model, provider=self.provider)
        yield Piece(usage=Usage(2_000, 2_000), model=self.model, provider=self.provider, finish="stop")


async def test_what_a_call_really_cost_is_compared_with_the_limit_afterwards(door: Door) -> None:
    prices = Prices({"acme/talker": {"input": "0.000001", "output": "0.000001"}})
    services = replace(scripted(), llm=Talker(), accountant=prices)
    receipt = await door(services, limited("0.002"))
    assert receipt["status"] == "complete" and receipt["cost"]["usd"] == "0.004000"
    assert "This question cost $0.004000, more than its limit of $0.002." in receipt["warnings"]


# -- persons


@pytest.mark.parametrize("mode", [1, 3])
def test_no_person_is_asked_about_what_the_limit_does_not_pay_for(mode: int) -> None:
    made = tool("0.02", Effect.EFFECT)
    answer = run_virtual(MODES[mode](made.services(), watchers=()).execute(limited("0.01")))
    assert answer.status == "complete" and answer.approvals == ()
    (decision,) = answer.consent.decisions
    assert decision.reason == "it costs $0.02, more than the $0.01 that are left of this turn's ceiling"


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("mode", [1, 3])
async def test_of_the_calls_that_a_person_approves_those_are_made_that_the_limit_pays_for(
    mode: int, graph: bool
) -> None:
    made = tool("0.004", Effect.EFFECT)
    services = made.services(tool_suggester=Foreign({"number": 7.0}, calls=3))
    workflow = MODES[mode](services, watchers=())
    if graph:
        compiled, config = (
            workflow.build_graph().compile(checkpointer=InMemorySaver()),
            {"configurable": {"thread_id": "1"}},
        )
        state: Any = await compiled.ainvoke({"question": limited("0.01")}, config)  # type: ignore[call-overload]
        yes = {call["id"]: "approve" for call in state["__interrupt__"][0].value["calls"]}
        answer = (await compiled.ainvoke(Command(resume=yes), config))["answer"]  # type: ignore[call-overload]
    else:
        paused = await workflow.execute(limited("0.01"))
        answer = await workflow.resume(paused.run_id, {a.id: "approve" for a in paused.approvals})
    assert [d.approved for d in answer.consent.decisions] == [True, True, False]
    assert answer.consent.decisions[2].by == "policy"
    assert len(made.asked) == 2 and answer.status == "complete"
    assert services.prompts[0].max_output_tokens < 1024
    assert answer.cost.usd + answer.tool_results.cost_usd <= Decimal("0.01")


# -- one call, and no second


@pytest.mark.parametrize(("question", "sent"), [(QUESTION, 1), (limited("1"), 0)])
def test_a_late_call_is_not_sent_twice_where_there_is_a_limit(question: Question, sent: int) -> None:
    first, second = scripted(reply=1.5), scripted(reply=0.5)
    workflow = Mode2AutomaticWorkflow(replace(first, replicas=Replicas(llm=second.llm)), watchers=())
    workflow.runner.segments.hedges.of["reply"].after, workflow.runner.segments.hedges.of["reply"]._tokens = (
        0.001,
        10.0,
    )  # it is late, and may be sent
    answer = run_virtual(workflow.execute(question))
    assert (answer.status, len(first.prompts), len(second.prompts)) == ("complete", 1, sent)
    assert [row.call.status for row in answer.cost.rows] == ["done", "discarded"][: 1 + sent]


# -- pure


PROMPT = Prompt((), limited("0.001"), Brief(Expert("e", "E", "", "")), max_output_tokens=100)


class Accountant:
    """Prices by a rule; or takes its time; or breaks."""

    def __init__(self, rule: Any) -> None:
        self.rule, self.calls = rule, list[Call]()

    async def price(self, call: Call) -> Any:
        self.calls.append(call)
        assert call.usage is not None and call.usage.estimated
        result = self.rule(call.usage)
        if isinstance(result, Exception):
            raise result
        return LedgerRow(call, result) if isinstance(result, Decimal | None) else result


def reserve(rule: Any, prompt: Prompt = PROMPT) -> tuple[int, list[Call]]:
    accountant = Accountant(rule)
    made = run_virtual(afforded(prompt, accountant, model="m", provider="p"))
    return made.max_output_tokens, accountant.calls


def test_the_reserve_is_the_prompt_with_a_margin_and_all_tokens_of_output() -> None:
    output, (first,) = reserve(lambda usage: Decimal(usage.output) / 1_000_000)
    usage = first.usage
    assert usage is not None
    assert (output, usage.output) == (100, 100)
    assert usage.input >= MARGIN * estimate_usage(PROMPT, "").input > 0
    assert (first.model, first.provider, first.purpose, first.status) == ("m", "p", "reserve", "running")


@pytest.mark.parametrize(
    "rule", [lambda _: None, lambda _: RuntimeError("secret"), lambda _: 5, lambda _: ModelUnavailable("x")]
)
def test_an_accountant_that_does_not_know_or_breaks_is_as_if_the_price_were_not_known(rule: Any) -> None:
    output, _ = reserve(rule)
    assert output == 100


def test_an_accountant_that_does_not_answer_costs_a_second_and_no_answer() -> None:
    services = scripted(tally="hang")
    answer = run_virtual(Mode2AutomaticWorkflow(services, watchers=()).execute(limited("0.0000001")))
    assert (answer.status, len(services.prompts)) == ("complete", 1)
    assert answer.timing.first_token == 1.0
    assert "is not known" in " ".join(answer.warnings)


def test_a_price_that_grows_otherwise_than_by_the_token_is_looked_up_again() -> None:
    steep = lambda usage: Decimal("0.0005") if usage.output == 0 else Decimal("0.0011")  # noqa: E731
    with pytest.raises(CostLimit, match=r"\$0.001 of \$0.001 are left"):
        reserve(steep)


@pytest.mark.parametrize(("tokens", "paid"), [(LEAST - 1, False), (LEAST, True), (50, True)])
def test_less_than_a_sentence_is_not_worth_a_call(tokens: int, paid: bool) -> None:
    per_token = Decimal("0.001") / tokens
    if paid:
        assert reserve(lambda usage: usage.output * per_token)[0] == tokens
    else:
        with pytest.raises(CostLimit):
            reserve(lambda usage: usage.output * per_token)


def test_a_short_answer_that_was_asked_for_is_enough() -> None:
    few = replace(PROMPT, max_output_tokens=5)
    assert reserve(lambda usage: Decimal(usage.output) / 5_000, few)[0] == 5


amounts = st.integers(0, 9_000).map(lambda n: Decimal(n) / 1_000_000)


@settings(max_examples=60)
@given(amounts, amounts, st.integers(0, 3), st.integers(1, 400), st.sampled_from([2, 4]))
def test_no_turn_costs_more_than_its_limit(limit: Decimal, cost: Decimal, calls: int, output: int, mode: int) -> None:
    made = tool(str(cost))
    services = replace(scripted(tokens=300), caller=made.box, tool_suggester=Foreign({"number": 7.0}, calls=calls))
    limits = Limits(cost_usd=limit, output_tokens=output)
    answer = run_virtual(MODES[mode](services, watchers=()).execute(replace(QUESTION, limits=limits)))
    spent = answer.cost.usd
    assert spent is not None
    assert spent + answer.tool_results.cost_usd <= limit
    assert answer.tool_results.cost_usd == cost * len(made.asked)
    assert (answer.code, len(services.prompts)) in {("", 1), ("turn.cost_limit", 0)}
    if answer.code == "":
        needed = INPUT * 2 * estimate_usage(services.prompts[0], "").input + OUTPUT * output
        short = answer.draft.output_limit is not None
        assert short or services.prompts[0].max_output_tokens == output
        assert not (short and limit - answer.tool_results.cost_usd > needed)


async def test_a_model_behind_another_says_who_is_paid() -> None:
    inner = scripted().llm
    wrapped = CachedLLM(Fallback(inner, Extractive()), entries=2, start=asyncio.ensure_future)  # type: ignore[arg-type]
    assert (wrapped.model, wrapped.provider) == ("scripted", "scripted")
    services = replace(scripted(), llm=wrapped)
    answer = await Mode2AutomaticWorkflow(services, watchers=()).execute(limited("0.0000001"))
    assert answer.code == "turn.cost_limit"
