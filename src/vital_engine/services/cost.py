"""What one paid call cost: tokens by class, at the price of its model, its provider and its day.

Prices come from the list that ships inside ``genai-prices`` (no network), or from the deployment's own
settings, which win. A price is used only for the model that it was written for: the list's own matching by
part of a name is held to whole names and their dated versions, so that "gpt-9-turbo" never gets the price of
"gpt-9". What is not known is ``None``, and the row says why in :attr:`LedgerRow.price`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import lru_cache

import genai_prices
from genai_prices import types as listed
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from vital_engine.errors import ConfigError
from vital_engine.nouns import Call, LedgerRow, Usage

__all__ = ["LOCAL", "Prices", "TokenPrices"]

LOCAL = frozenset({"vital", "llama.cpp", "cache"})
"""Providers that run on this machine, or only repeat what was paid for: their calls cost nothing."""

# What may follow a model's name without making it another model: a release date, a version, "latest".
_RELEASE = re.compile(
    r"(?:[-@:._](?:latest|preview|v\d+|\d{8}|\d{6}|\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{3,4}))*(?::\d+)?"
)
# What may stand before it: a region, a vendor or a path ("us.", "openai/", "accounts/fireworks/models/").
_PATH = re.compile(r"(?:[a-z0-9-]+[./])*")


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """USD per single token by class. ``cached`` and ``reasoning`` None: billed as plain input and output."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    reasoning: Decimal | None = None

    @classmethod
    def parse(cls, model: str, prices: Mapping[str, object]) -> TokenPrices:
        """Prices from settings, as decimal strings.

        :raises ConfigError: an unknown class, a missing one, a negative price, or a binary float (inexact).
        """
        for name in prices:
            if name not in cls.__dataclass_fields__:
                near = get_close_matches(str(name), cls.__dataclass_fields__, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"price of {model!r}: unknown token class {name!r}{hint}")
        for name in ("input", "output"):
            if name not in prices:
                raise ConfigError(f"price of {model!r}: {name!r} is missing")
        return cls(**{name: _money(model, name, price) for name, price in prices.items()})

    def of(self, usage: Usage) -> Decimal:
        """USD for *usage*, exact."""
        cached = self.input if self.cached is None else self.cached
        reasoning = self.output if self.reasoning is None else self.reasoning
        return (
            (usage.input - usage.cached) * self.input
            + usage.cached * cached
            + (usage.output - usage.reasoning) * self.output
            + usage.reasoning * reasoning
        )


class Prices:
    """Fulfils :class:`~vital_engine.ports.Accountant` from a dated price list.

    :param overrides: the deployment's own prices, USD per token as decimal strings:
        ``{"my-model": {"input": "0.000002", "output": "0.000008"}}``; a key may also be "provider/model".
    :param base_urls: provider name -> the base URL that it is reached at, where a name alone does not say.
    :param now: when a call is priced; the price of that day (UTC) holds.
    :raises ConfigError: an override that is no price.
    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, object]] | None = None,
        *,
        base_urls: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._overrides = {model: TokenPrices.parse(model, p) for model, p in (overrides or {}).items()}
        self._base_urls = dict(base_urls or {})
        self._now = now
        self._prices = get_snapshot()
        self._list = f"genai-prices {genai_prices.__version__}"
        self._entry = lru_cache(maxsize=1024)(self._look_up)

    async def price(self, call: Call) -> LedgerRow:
        """The priced row of *call*. Never raises for a call: what cannot be priced has ``usd`` None."""
        return self.row(call)

    def row(self, call: Call) -> LedgerRow:
        """The same, at once: also the running cost of a stream, on usage that is marked as estimated."""
        if call.provider in LOCAL:
            return LedgerRow(call, Decimal(0), "local")
        usage = call.usage
        if usage is None:
            return LedgerRow(call, None, "unknown usage")
        if not _consistent(usage):
            return LedgerRow(call, None, "inconsistent usage")
        own = self._overrides.get(f"{call.provider}/{call.model}") or self._overrides.get(call.model)
        day = self._now().astimezone(UTC)
        if own is not None:
            return LedgerRow(call, own.of(usage), f"settings {day:%Y-%m-%d}")
        found = self._entry(call.model, call.provider)
        if found is None:
            return LedgerRow(call, None, f"unknown model in {self._list}")
        provider, model = found
        prices = model.get_prices(day)
        if not _covers(prices, usage):
            return LedgerRow(call, None, f"no token price in {self._list}")
        usd = prices.calc_price(_as_listed(usage))["total_price"]
        return LedgerRow(call, usd, f"{self._list} {provider.id}/{model.id} {day:%Y-%m-%d}")

    def _look_up(self, model: str, provider: str) -> tuple[listed.Provider, listed.ModelInfo] | None:
        """The list's entry for *model* at *provider* (an id, a host or a URL), or None."""
        seller = _seller(self._prices, provider, self._base_urls.get(provider, ""))
        if seller is None or not model:
            return None
        entry = seller.find_model(model, all_providers=self._prices.providers)
        return (seller, entry) if entry is not None and _is_named(entry, model.lower()) else None


def _money(model: str, name: str, price: object) -> Decimal:
    if isinstance(price, bool | float) or not isinstance(price, str | int | Decimal):
        raise ConfigError(f"price of {model!r}: {name} must be a decimal string, not {type(price).__name__}")
    try:
        usd = Decimal(price)
    except InvalidOperation:
        raise ConfigError(f"price of {model!r}: {name} is no number: {price!r}") from None
    if not usd.is_finite() or usd < 0:
        raise ConfigError(f"price of {model!r}: {name} must be finite and not negative, not {price!r}")
    return usd


def _consistent(usage: Usage) -> bool:
    """Whether the classes are counts and the parts fit into their wholes; else any price would be invented."""
    return 0 <= usage.cached <= usage.input and 0 <= usage.reasoning <= usage.output


def _covers(prices: listed.ModelPrice, usage: Usage) -> bool:
    """Whether the list prices every class that was used: a missing price is unknown, not free."""
    return (usage.input == 0 or prices.input_mtok is not None) and (usage.output == 0 or prices.output_mtok is not None)


def _as_listed(usage: Usage) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cached or None,
        output_reasoning_tokens=usage.reasoning or None,
    )


def _seller(prices: DataSnapshot, provider: str, base_url: str) -> listed.Provider | None:
    """Who is paid. By exact id or by URL only: the list's fuzzy names would make a proxy into its model's maker."""
    url = base_url or (provider if "." in provider or "://" in provider else "")
    if not url:
        return next((p for p in prices.providers if p.id == provider.lower()), None)
    url = url if "://" in url else f"https://{url}"
    return next((p for p in prices.providers if re.match(p.api_pattern, url)), None)


def _is_named(entry: listed.ModelInfo, model: str) -> bool:
    return model in (entry.id.lower(), entry.id.lower().rpartition("/")[2]) or _names(entry.match, model)


def _names(rule: object, model: str) -> bool:
    """Whether *rule* means exactly *model* or a dated release of it, not merely a name that has a part in common."""
    match rule:
        case listed.ClauseOr(or_=rules):
            return any(_names(r, model) for r in rules)
        case listed.ClauseAnd(and_=rules):
            return all(r.is_match(model) for r in rules) and any(_names(r, model) for r in rules)
        case listed.ClauseEquals(equals=name):
            return model == name.lower()
        case listed.ClauseRegex(regex=pattern):
            return re.fullmatch(pattern, model) is not None
        case listed.ClauseStartsWith(starts_with=part) | listed.ClauseEndsWith(ends_with=part):
            return _is_release(model, part.lower())
        case listed.ClauseContains(contains=part):
            return _is_release(model, part.lower())
        case _:
            return False


def _is_release(model: str, part: str) -> bool:
    before, found, after = model.partition(part)
    return bool(found and _PATH.fullmatch(before) and _RELEASE.fullmatch(after))
