"""Hold a turn to its cost limit: before the model is called, what the call may cost at most is reserved.

Reserved is the price, today and of that model, of the prompt (estimated, and :data:`MARGIN` more) and of all tokens that
it may write. What the tools have cost is taken off the limit first. Where the rest does not pay for all tokens of an
answer, it is made shorter; where it does not pay for :data:`LEAST` of them, the model is not called. What the call has
really cost is in the ledger afterwards, and is compared with the limit there.

A module that stands alone because it is arithmetic, and no step: it is read, and tested, without a model.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from math import ceil
from typing import Final

from vital_engine.errors import CostLimit
from vital_engine.flow import call, gather_outcomes
from vital_engine.nouns import Call, LedgerRow, Prompt, Usage
from vital_engine.ports import Accountant
from vital_engine.text.tokens import estimate_usage

MARGIN: Final = 1.15
"""An estimate of a single prompt is off by 14 % at most in 95 of 100 cases (:mod:`vital_engine.text.tokens`)."""
LEAST: Final = 32
"""Tokens of an answer: a sentence. Less is not worth a call."""
PRICING_SECONDS: Final = 1.0
"""For the accountant. A price that takes longer is not known."""


async def afforded(prompt: Prompt, accountant: Accountant, *, model: str, provider: str) -> Prompt:
    """*prompt*, with no more tokens of output than its question's cost limit pays for.

    Unchanged without a limit, and where the price of *model* at *provider* is not known: the answer then says so.

    :raises CostLimit: the limit does not pay for the prompt and a sentence of an answer.
    """
    limit = prompt.question.limits.cost_usd
    if limit is None:
        return prompt
    left, wanted = limit - prompt.tool_results.cost_usd, prompt.max_output_tokens
    read = ceil(MARGIN * estimate_usage(prompt, "").input)

    async def price(output: int) -> Decimal | None:
        usage = Usage(input=read, output=output, estimated=True)
        reserved = Call(prompt.question.run_id, "reserve", model, provider, usage, "running")
        (outcome,) = await gather_outcomes([partial(call, accountant.price, reserved)], within=PRICING_SECONDS)
        return outcome.value.usd if isinstance(outcome.value, LedgerRow) else None

    if (most := await price(wanted)) is None or most <= left:
        return prompt
    least = await price(0)
    output = 0 if least is None or least >= most else int((left - least) * wanted / (most - least))
    # Reckoned as if each token cost the same, and then looked up: no price list promises that.
    if output < min(LEAST, wanted) or (reserved := await price(output)) is None or reserved > left:
        told = f"${max(left, Decimal(0)):f} of ${limit:f} are left, and this model's answer would cost up to ${most:f}"
        raise CostLimit(told)
    return replace(prompt, max_output_tokens=output)
