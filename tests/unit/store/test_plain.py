"""What a database cannot hold is replaced, and nothing else is."""

from __future__ import annotations

import json

import pytest

from vital_engine.errors import StoreError
from vital_engine.store.plain import json_text, storable


@pytest.mark.parametrize("text", ["", "plain", "naïve – 漢字 🫀", "\ufffd", "\x01\x7f"])
def test_what_can_be_held_stays(text: str) -> None:
    assert storable(text) == text


@pytest.mark.parametrize(("text", "kept"), [("a\0b", "a\ufffdb"), ("\ud83e!", "\ufffd!"), ("x\udfff", "x\ufffd")])
def test_what_cannot_be_held_is_replaced_in_its_place(text: str, kept: str) -> None:
    assert storable(text) == kept


def test_json_is_canonical_and_storable_at_every_depth() -> None:
    one = {"b": ["\0", {"\ud800": 1}], "a": (True, None, 1.5)}
    other = dict(reversed(one.items()))
    assert json_text(one) == json_text(other)
    assert json.loads(json_text(one)) == {"a": [True, None, 1.5], "b": ["\ufffd", {"\ufffd": 1}]}


@pytest.mark.parametrize("value", [object(), {"x": {1, 2}}, float("nan"), [float("inf")], b"bytes"])
def test_what_is_not_json_is_an_error(value: object) -> None:
    with pytest.raises(StoreError, match="JSON"):
        json_text(value)
