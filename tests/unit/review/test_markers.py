"""Every shape in which an answer points at a passage, and everything that only looks like one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.services.checks.markers import markers, parts, without_markers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("None at all.", []),
        ("Low [1].", [(1,)]),
        ("Low[1].", [(1,)]),
        ("Low [2,3].", [(2, 3)]),
        ("Low [2, 3].", [(2, 3)]),
        ("Low [2; 3 and 5].", [(2, 3, 5)]),
        ("Low [1][2].", [(1,), (2,)]),
        ("Low [1], and high [2].", [(1,), (2,)]),
        ("Low [1]-[3].", [(1, 2, 3)]),
        ("Low [1]–[2].", [(1, 2)]),
        ("Low [1] - [3], [5].", [(1, 2, 3), (5,)]),
        ("Low [3]-[1].", [(3, 1)]),
        ("Low [1-3].", [(1, 2, 3)]),
        ("Low [1–3].", [(1, 2, 3)]),
        ("Low [1, 3-5].", [(1, 3, 4, 5)]),
        ("Low [4-2].", [(4, 2)]),
        ("Low [ 1 ].", [(1,)]),
        ("Low [99].", [(99,)]),
        ("Low [0].", [(0,)]),
        ("Low [2, 2].", [(2,)]),
        ("Low 【1】.", [(1,)]),
        ("Low 【2†source】.", [(2,)]),
        ("Low ［1］.", [(1,)]),
        ("Low [Source 1].", [(1,)]),
        ("Low [passages 1, 2].", [(1, 2)]),
        ("Low [1](https://example.org).", [(1,)]),
        # a number without a passage dangles, a year too: to the reader it is a citation that leads nowhere
        ("As Smith showed [2019].", [(2019,)]),
        # a range is cut at the last passage, and its end dangles
        ("Low [7-900].", [(7, 8, 900)]),
        ("Low [10-20].", [(10, 20)]),
        # no markers
        ("See [Fig. 1].", []),
        ("It was 90 [mg/dL].", []),
        ("A footnote [^1].", []),
        ("A range [1.5-2.0].", []),
        ("It held [95% CI 1-2].", []),
        ("Element x[0] is first.", []),
        ("Write `a[1]` here.", []),
        ("[1]: https://example.org", []),
        ("An empty [] one, [a], [1", []),
    ],
)
def test_shapes(text, numbers):
    assert [m.numbers for m in markers(text, 8)] == numbers


def test_a_marker_knows_where_it_stands():
    text = "Low [1]-[3] and high 【2】."
    assert [text[m.start : m.end] for m in markers(text, 8)] == ["[1]-[3]", "【2】"]


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("Low [1].", "Low."),
        ("Low. [1]", "Low."),
        ("Low [1], then high [2, 3]!", "Low, then high!"),
        ("According to [1] it  is low.", "According to it is low."),
        ("See [Fig. 1], p = .05.", "See [Fig. 1], p = .05."),
        ("[1]", ""),
    ],
)
def test_a_claim_has_no_markers(text, claim):
    assert without_markers(text) == claim


@given(st.text(alphabet="ab [](),;-–—^【】0129†`\n", max_size=60), st.integers(0, 12))
def test_any_text_is_read(text, count):
    found = markers(text, count)
    assert all(0 <= m.start < m.end <= len(text) and m.numbers for m in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(len(m.numbers) <= count + 40 for m in found)
    without_markers(text)


PASSAGES = ("Earlier work [3] showed that it is rare.", "Other.", "Third.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is low.", [("It is low.", None)]),
        ("It is low [1].", [("It is low.", (1,))]),
        ("According to [1], it is low.", [("According to, it is low.", (1,))]),
        (
            "The dose is low [1], and the risk is high [2].",
            [("The dose is low", (1,)), ("and the risk is high.", (2,))],
        ),
        ("The dose is low [1][2].", [("The dose is low", (1,)), ("The dose is low", (2,))]),
        ("Both [1] and the others [2] agree.", [("Both and the others agree.", (1,)), ("and the others agree.", (2,))]),
        # the source's own reference is carried along by a copy, and is none of ours
        ("Earlier work [3] showed that it is rare. [1]", [("Earlier work [3] showed that it is rare.", (1,))]),
        (
            "Later work by them [3] showed that it is rare [1].",
            [("Later work by them", (3,)), ("showed that it is rare.", (1,))],
        ),
    ],
)
def test_each_marker_answers_for_its_part(text, expected):
    assert [(p.claim, p.marker and p.marker.numbers) for p in parts(text, PASSAGES)] == expected
