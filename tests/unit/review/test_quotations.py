"""Literal quotations: found whatever their typography, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.services.checks.markers import find, quotations


@pytest.mark.parametrize(
    ("sentence", "quoted"),
    [
        ('They say "the dose was low" [1].', ("the dose was low",)),
        ("They say “the dose was low.”", ("the dose was low",)),
        ("Sie sagen „the dose was low“.", ("the dose was low",)),
        ("« the dose was low »", ("the dose was low",)),
        ('The "so-called" effect and "two words".', ()),
        ('They say "the dose was low … and the risk was high".', ("the dose was low", "and the risk was high")),
        ("It wasn't, and it isn't.", ()),
    ],
)
def test_what_is_quoted(sentence, quoted):
    assert quotations(sentence) == quoted


@pytest.mark.parametrize(
    ("wanted", "text", "there"),
    [
        ("the dose was low", "We found that the dose was low.", "the dose was low"),
        ("The dose was low", "We found that the dose was low.", "the dose was low"),
        ("the dose\nwas  low", "that the dose was\u00a0low.", "the dose was\u00a0low"),
        ('patient\'s "own" dose', "the patient’s “own” dose", "patient’s “own” dose"),
        ("5-10 mg", "took 5–10 mg daily", "5–10 mg"),
        ("the treatment worked", "the treat-\nment worked well", "the treat-\nment worked"),
        ("efficacy", "its e\ufb03cacy was", "e\ufb03cacy"),
        ("the dose was low", "the dose was lower", None),
        ("the dose was low", "the Dose was low", None),
        ("12 mg", "112 mg", None),
        ("   ", "anything", None),
    ],
)
def test_where_it_stands(wanted, text, there):
    place = find(wanted, text)
    assert (place and text[slice(*place)]) == there


@given(
    st.text(max_size=30),
    st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=20),
    st.text(max_size=30),
)
def test_offsets_are_of_the_text_as_it_is(before, wanted, after):
    text = f"{before} {wanted} {after}"
    place = find(wanted, text)
    assert place is not None
    assert 0 <= place[0] < place[1] <= len(text)
    again = find(text[slice(*place)], wanted)
    assert again is not None
