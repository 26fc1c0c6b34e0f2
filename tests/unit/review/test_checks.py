"""Hard checks: what agrees, what does not, and what there is nothing to say about."""

from __future__ import annotations

import pytest

from vital_engine.services.checks import agree, hard_checks
from vital_engine.services.checks.alignment import words
from vital_engine.services.checks.figures import figures, unmatched
from vital_engine.services.checks.hard import absent, names, negation, opposed


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("12 patients", "12 patients", True),
        ("12 patients", "13 patients", False),
        ("12 patients", "112 patients", False),
        ("three patients", "3 patients", True),
        ("1,234 patients", "1234 patients", True),
        ("1234 patients", "1\u202f234 patients", True),
        ("p = 0,05", "p = 0.05", True),
        ("12,5 %", "12.5 %", True),
        ("1.2 x 10^6 cells", "1200000 cells", True),
        ("5 million people", "5,000,000 people", True),
        (".05", "0.05", True),
        ("3·1%", "3.1 %", True),
        ("32%", "32 percent", True),
        ("32%", "32 mg", False),
        ("500 mg", "0.5 g", True),
        ("5 mg", "5 µg", False),
        ("5 µg", "5 mcg", True),
        ("24 hours", "one day, or 1 day", True),
        ("24 hours", "24 days", False),
        ("1 year", "12 months", True),
        ("40 mg", "40 mg daily", True),
        ("40 mg per day", "40mg/day", True),
        ("40 mg/kg", "40 mg", False),
        ("40 mg", "40 mg/kg", False),
        ("90 mg/dL", "90 mg/L", False),
        ("10 to 20 mg", "10-20 mg", True),
        ("10 mg", "10-20 mg", True),
        ("16 to 24", "aged 16-24 years", True),
        ("76-85%", "76% to 85%", True),
        ("10 mg to 20 mg", "10 mg to 25 mg", False),
        ("p < 0.05", "p = 0.03", True),
        ("p < 0.05", "p < 0.001", True),
        ("p < 0.05", "p = 0.07", False),
        ("p = 0.05", "p < 0.05", False),
        ("p > 0.05", "p = 0.07", True),
        ("more than 50 mg", "less than 50 mg", False),
        ("more than 50 mg", "over 50 mg", True),
        ("-0.5", "0.5", False),
        ("12th week", "13th week", False),
        # each figure of the quote serves once
        ("15% against 15%", "12% against 15%", False),
        # a name's digits may be written apart
        ("BRCA 1", "BRCA1 carriers", True),
        ("BRCA 2", "BRCA1 carriers", False),
    ],
)
def test_figures(claim, quote, agrees):
    assert (not unmatched(claim, quote)) == agrees


@pytest.mark.parametrize("text", ["IL-6", "HbA1c", "COVID-19", "CD4+ cells", "no figure", "one of them", ""])
def test_what_is_no_figure(text):
    assert figures(text) == ()


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("The drug reduced pain.", "The drug reduced pain.", True),
        ("The drug did not reduce pain.", "The drug reduced pain.", False),
        ("The drug reduced pain.", "The drug didn't reduce pain.", False),
        ("The drug failed to reduce pain.", "The drug did not reduce pain.", True),
        ("The effect was significant.", "The effect was non-significant.", False),
        ("The effect was not significant.", "The effect was insignificant.", True),
        ("Aspirin reduces mortality.", "It is not true that aspirin reduces mortality.", False),
        ("The drug reduced pain.", "The drug reduced pain but not nausea in these patients.", True),
        ("The drug not only reduced pain.", "The drug reduced pain.", True),
        ("The drug was not only given to ten men.", "The drug was only given to ten men.", False),
        ("There was no effect on pain or on sleep.", "There was no effect on pain or on sleep.", True),
        ("Pain was reduced.", "Although sleep did not improve, pain was reduced.", True),
    ],
)
def test_negation(claim, quote, agrees):
    assert (negation(claim, quote) is None) == agrees


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("Aspirin lowers stroke risk.", "Aspirin reduces the risk of stroke.", True),
        ("Aspirin raises stroke risk.", "Aspirin reduces the risk of stroke.", False),
        ("Survival was longer with the drug.", "Survival was shorter with the drug.", False),
        ("Symptoms improved in most patients.", "Symptoms worsened in most patients.", False),
        ("Weight increased.", "Pain decreased.", True),
        ("The drug did not increase risk.", "The drug decreased risk.", True),
    ],
)
def test_direction(claim, quote, agrees):
    assert (opposed(claim, quote) is None) == agrees


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Patients in Denmark took it.", ("Denmark",)),
        ("Levels of TNF-α and IL-6 rose.", ("TNF-α", "IL-6")),
        ("Then metformin and atorvastatin were given.", ("metformin", "atorvastatin")),
        ("Disease and increase are words.", ()),
        ("RESULTS WERE GOOD", ()),
    ],
)
def test_names(text, found):
    assert names(text) == found


@pytest.mark.parametrize(
    ("claim", "source", "missing"),
    [
        ("It lowers TNF-α.", "It lowers TNF alpha.", ()),
        ("Patients with MI did well.", "Patients with myocardial infarction did well.", ()),
        ("In HIV-positive people.", "People with HIV.", ()),
        ("Patients took metformin.", "Patients took methotrexate.", ("metformin",)),
        ("Patients in Norway.", "Patients in Denmark.", ("Norway",)),
        ("Patients took IL-6.", "Patients took IL-8.", ("IL-6",)),
    ],
)
def test_absent_names(claim, source, missing):
    assert absent(claim, source) == missing


def test_a_check_without_anything_to_look_at_says_nothing():
    assert {c.name for c in hard_checks("it was so", "it was so")} == {"negation", "direction", "wording"}


def test_figures_of_a_copy_keep_their_places():
    quote = "Bleeding was more frequent with aspirin than without (3.1% vs 2.0%)."
    assert agree(hard_checks(quote, quote))
    turned = hard_checks("Bleeding was more frequent with aspirin than without (2.0% vs 3.1%).", quote)
    assert [c.name for c in turned if not c.agrees] == ["figures"]


def test_names_may_stand_in_the_context():
    assert agree(hard_checks("Metformin helped in Denmark.", "Metformin helped.", "A study from Denmark"))
    assert not agree(hard_checks("Metformin helped in Denmark.", "Metformin helped."))


def test_scope_ends_with_its_clause():
    negated = {w.text for w in words("It did not lower pain, but sleep improved.") if w.negated}
    assert negated == {"lower", "pain"}
