"""Money: exact, dated, of the right model, and None where nobody can know."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from vital_engine.errors import ConfigError
from vital_engine.nouns import Call, Cost, LedgerRow, Usage
from vital_engine.ports import Accountant
from vital_engine.services.cost import Prices


def on(year: int, month: int, day: int, **settings) -> Prices:
    return Prices(now=lambda: datetime(year, month, day, 12, tzinfo=UTC), **settings)


def call(model="gpt-4o", provider="openai", usage: Usage | None = Usage(1000, 100)) -> Call:
    return Call("c1", "reply", model, provider, usage)


prices = on(2026, 11, 20)


def test_it_is_an_accountant():
    assert isinstance(prices, Accountant)


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        # gpt-4o: 2.50 input, 1.25 cached, 10.00 output per million tokens, worked out by hand
        ("gpt-4o", Usage(1000, 100), "0.0035"),
        ("gpt-4o", Usage(1000, 100, cached=400), "0.003"),
        ("gpt-4o", Usage(1, 1), "0.0000125"),
        ("gpt-4o", Usage(0, 0), "0"),
        ("gpt-4o-2024-08-06", Usage(3, 7, cached=1), "0.00007625"),
        # o3: 2.00, 0.50 cached, 8.00; reasoning is part of the output and billed once
        ("o3", Usage(1000, 900, cached=200, reasoning=600), "0.0089"),
        ("GPT-4o-Mini", Usage(1_000_000, 1_000_000), "0.75"),
    ],
)
async def test_the_list_prices_each_class_exactly(model, usage, usd):
    row = await prices.price(call(model, usage=usage))
    assert row.usd == Decimal(usd)
    assert isinstance(row.usd, Decimal)
    assert row.price.startswith("genai-prices ")
    assert row.price.endswith("2026-11-20")


@pytest.mark.parametrize("provider", ["openai", "api.openai.com", "https://api.openai.com/v1", "OpenAI"])
def test_the_provider_is_known_by_id_host_or_url(provider):
    assert prices.row(call(provider=provider)).usd == Decimal("0.0035")


def test_a_base_url_says_who_is_paid():
    azure = on(2026, 11, 20, base_urls={"ours": "https://clinic.openai.azure.com/openai/v1"})
    row = azure.row(call("gpt-5", "ours"))
    assert row.usd == Decimal("0.00225")
    assert "azure" in row.price
    assert prices.row(call("gpt-5", "ours")).usd is None


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("nobody-9", "openai"),
        ("", "openai"),
        ("gpt-4o-our-finetune", "openai"),
        ("ft:gpt-4o:clinic", "openai"),
        ("claude-sonnet-4-55", "anthropic"),
        ("claude-3-haiku-distilled-by-us", "anthropic"),
        ("gpt-4o", ""),
        ("gpt-4o", "openai-proxy"),
        ("gpt-4o", "http://localhost:8000/v1"),
        ("gpt-4o", "anthropic"),
    ],
)
def test_an_unknown_model_is_unknown_and_never_gets_anothers_price(model, provider):
    row = prices.row(call(model, provider))
    assert row.usd is None
    assert row.price.startswith("unknown model")


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-latest"])
def test_dated_releases_are_the_same_model(model):
    assert prices.row(call(model, "anthropic")).usd == Decimal("0.0045")


def test_the_price_is_the_one_of_the_day():
    # The list dates o3's fall from 10/40 to 2/8 per million: 10 June 2025.
    assert on(2025, 6, 1).row(call("o3")).usd == Decimal("0.014")
    assert on(2025, 7, 1).row(call("o3")).usd == Decimal("0.0028")


@pytest.mark.parametrize("provider", ["vital", "llama.cpp"])
@pytest.mark.parametrize("usage", [None, Usage(10, 10), Usage(10, 10, estimated=True)])
def test_our_own_machine_sends_no_bill(provider, usage):
    assert prices.row(call("anything", provider, usage)) == LedgerRow(
        call("anything", provider, usage), Decimal(0), "local"
    )


@pytest.mark.parametrize(
    ("usage", "why"),
    [
        (None, "unknown usage"),
        (Usage(10, 5, cached=11), "inconsistent usage"),
        (Usage(10, 5, reasoning=6), "inconsistent usage"),
        (Usage(-1, 5), "inconsistent usage"),
        (Usage(1, -5, reasoning=-6), "inconsistent usage"),
    ],
)
def test_what_cannot_be_known_is_none_and_says_why(usage, why):
    row = prices.row(call(usage=usage))
    assert (row.usd, row.price) == (None, why)
    assert Cost((row, prices.row(call()))).usd is None
    assert Cost((row, prices.row(call()))).at_least == Decimal("0.0035")


def test_an_entry_without_a_token_price_is_not_free():
    row = prices.row(call("text-embedding-3-small", usage=Usage(10, 1)))
    assert row.usd is None
    assert row.price.startswith("no token price")
    assert prices.row(call("text-embedding-3-small", usage=Usage(10, 0))).usd == Decimal("0.0000002")


def test_an_estimate_is_priced_and_stays_marked():
    row = prices.row(call(usage=Usage(1000, 100, estimated=True)))
    assert row.usd == Decimal("0.0035")
    assert row.call.usage is not None
    assert row.call.usage.estimated


def test_settings_win_and_are_exact():
    own = on(
        2026,
        11,
        20,
        overrides={
            "gpt-4o": {"input": "0.000001", "output": "0.000003", "cached": "0.0000001", "reasoning": "0.000007"},
            "ours/med-7b": {"input": "0", "output": "0.1"},
        },
    )
    row = own.row(call(usage=Usage(10, 10, cached=4, reasoning=3)))
    assert row.usd == Decimal("0.0000484")  # 6 x 1 + 4 x 0.1 + 7 x 3 + 3 x 7 = 48.4 millionths
    assert row.price == "settings 2026-11-20"
    assert own.row(call("med-7b", "ours", Usage(5, 2))).usd == Decimal("0.2")
    assert own.row(call("med-7b", "theirs", Usage(5, 2))).usd is None


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"input": "1", "output": 0.5}, "decimal string"),
        ({"input": True, "output": "1"}, "decimal string"),
        ({"input": "cheap", "output": "1"}, "no number"),
        ({"input": "-1", "output": "1"}, "not negative"),
        ({"input": "NaN", "output": "1"}, "finite"),
        ({"input": "1"}, "'output' is missing"),
        ({"input": "1", "output": "1", "cache": "1"}, "did you mean 'cached'"),
    ],
)
def test_an_impossible_override_is_refused_when_set_up(override, says):
    with pytest.raises(ConfigError, match=says):
        Prices({"m": override})
