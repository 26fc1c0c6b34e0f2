"""The token estimate: its arithmetic. Its error against real tokenizers stands in its docstring."""

from __future__ import annotations

import pytest

from prompts import prompt_of
from vital_engine.nouns import Usage
from vital_engine.tokens import PER_MESSAGE, estimate_tokens, estimate_usage


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("The dose was low.", 5),
        ("pseudohypoparathyroidism", 6),  # 24 letters, 17 beyond the first seven
        ("1234567", 3),
        ("a\n\n\nb", 3),
        ("高血圧と診断", 5),
        ("Пациент", 3),
    ],
)
def test_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_usage_counts_both_messages_and_is_marked() -> None:
    prompt = prompt_of("Why?")
    read = sum(estimate_tokens(m["content"]) for m in prompt.messages()) + 2 * PER_MESSAGE
    assert estimate_usage(prompt, "The dose was low.") == Usage(input=read, output=5, estimated=True)
