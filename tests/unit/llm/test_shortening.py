"""Evidence for a small model: cut at sentence ends, numbers kept, and said to be cut."""

from __future__ import annotations

from prompts import prompt_of
from vital_engine.nouns import Passage
from vital_engine.services.llm.local import LEFT_OUT, shorten
from vital_engine.text.tokens import estimate_tokens


def passage(word: str, sentences: int) -> Passage:
    return Passage(word, " ".join(f"{word} number {i} says so clearly." for i in range(sentences)), title=word)


def test_what_fits_is_left_alone() -> None:
    prompt = prompt_of("Why?", passage("Alpha", 5), passage("Beta", 5))
    assert shorten(prompt, 700) == (prompt, "")


def test_the_edge_is_cut_at_a_sentence_and_the_rest_left_out() -> None:
    prompt = prompt_of("Why?", passage("Alpha", 10), passage("Beta", 40), passage("Gamma", 1))
    short, note = shorten(prompt, 200)
    evidence = next(s.text for s in short.segments if s.kind == "evidence")
    assert passage("Alpha", 10).text in short
    assert "Beta number 3 says so clearly." in short and "Beta number 39" not in short
    assert f"[3] Gamma\n{LEFT_OUT}" in evidence
    assert note == "Shortened for a small model: passage 2 cut, passage 3 left out."
    assert note in evidence, "the model is told"
    assert estimate_tokens(evidence) < 250
    assert "says so clearly. (cut)" in evidence


def test_a_first_passage_without_sentence_ends_is_left_out_rather_than_torn() -> None:
    short, note = shorten(prompt_of("Why?", Passage("p", "word " * 1000)), 100)
    assert LEFT_OUT in short and "passage 1 left out" in note
