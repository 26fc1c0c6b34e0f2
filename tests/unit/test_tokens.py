"""The token estimate: its arithmetic. Its error against real tokenizers stands in its docstring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts import prompt_of
from vital_engine.nouns import Usage
from vital_engine.text.tokens import PER_MESSAGE, _of_runs, estimate_tokens, estimate_usage, weigh


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


MIXED = st.text(alphabet=st.sampled_from("abcdefghijXYZ 0123456789  \n\t\x1c._-,(é中ย²αñ\u0301٣\u00a0½—"), max_size=60)


@given(MIXED | st.text())
def test_whole_classes_at_once_weigh_what_they_weigh_run_by_run(text: str) -> None:
    assert weigh(text) == pytest.approx(_of_runs(text))


@given(st.lists(st.text(alphabet="abcdefghij0123.,é中", min_size=1), min_size=1))
def test_weights_of_texts_parted_by_single_blanks_add_up(texts: list[str]) -> None:
    assert weigh(" ".join(texts)) == pytest.approx(sum(map(weigh, texts)))
