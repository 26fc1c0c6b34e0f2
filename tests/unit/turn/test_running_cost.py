"""What a draft costs while it is being said: by sentence, for any chunking, and the server's count is the last word."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from vital_engine.flow import Flow, Stream, StreamOpened, run_virtual, step
from vital_engine.nouns import Call, Cost, Draft, LedgerRow, Piece, Question, ToolSuggestions, Usage
from vital_engine.turn.review import tally

QUESTION = Question("Why?", tenant="t", user="u", run_id="r")
TEXT = "The dose was low. It was pseudohypoparathyroidism, 1 in 40. Yes."
TOKENS = [5, 18]
"""As estimated, after the first and the second sentence; the third is known only when the end has come."""


class Seen:
    """Fulfils the port Accountant: every token costs one dollar."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def price(self, call: Call) -> LedgerRow:
        self.calls.append(call)
        usage = call.usage or Usage()
        return LedgerRow(call, Decimal(usage.input + usage.output), "test")


def said(
    pieces: list[Piece], draft: Draft, suggestions: ToolSuggestions = ToolSuggestions()
) -> tuple[Cost, list[Call], list[Any]]:
    async def speak(question: Question, out: Stream[Draft]) -> Draft:
        for piece in pieces:
            out.push(piece, metadata=not piece.text)
            await asyncio.sleep(1)
        return draft

    streams: list[Any] = []
    accountant = Seen()
    flow = Flow("test", step(speak), step(partial(tally, accountant)))
    watch = lambda e: streams.append(e.stream) if isinstance(e, StreamOpened) else None  # noqa: E731
    run = run_virtual(flow.run(QUESTION, suggestions, observers=[watch]))
    return run[Cost], accountant.calls, list(streams[1].items)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("estimated", [True, False])
def test_the_running_cost_grows_by_sentence_and_ends_in_what_the_server_says(size: int, estimated: bool) -> None:
    words = [Piece(TEXT[i : i + size], model="m", provider="p") for i in range(0, len(TEXT), size)]
    pieces = [Piece(usage=Usage(input=100, output=0 if estimated else 3, estimated=estimated)), *words]
    final = Usage(input=90, output=21)
    cost, calls, told = said(pieces, Draft(TEXT, "m", "p", usage=final))
    assert cost.rows[0].call == Call("r", "reply", "m", "p", final, "done")
    assert cost.usd == 111 and calls[-1].usage == final
    running = [c for c in calls if c.status == "running"]
    assert [c.usage and c.usage.output for c in running] == (TOKENS if estimated else [3, 3])
    assert all((c.model, c.provider) == ("m", "p") for c in running)
    assert len(told) == 3 and told[-1] == cost


def test_what_was_paid_for_suggestions_stands_beside_it_from_the_beginning() -> None:
    suggested = Call("r/suggest", "suggest", "small", "p", Usage(input=7, output=2))
    suggestions = ToolSuggestions(calls=(suggested, Call("r/2", "suggest", "small", "p", None, "cancelled")))
    words = [Piece(TEXT, Usage(input=1, output=1), model="m", provider="p")]
    cost, _, told = said(words, Draft(TEXT, "m", "p", usage=Usage(input=1, output=1)), suggestions)
    assert [row.call.purpose for row in cost.rows] == ["reply", "suggest", "suggest"]
    assert cost.at_least == 11
    assert all([row.call.purpose for row in one.rows] == ["reply", "suggest", "suggest"] for one in told)


def test_a_draft_that_broke_is_paid_for_as_far_as_it_came() -> None:
    cost, _, _ = said([Piece("The dose", model="m", provider="p")], Draft("The dose", "m", "p", "error", error="x"))
    assert cost.rows[0].call.status == "partial"
