"""What the scripted services find, remember and say, if a test does not say otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from vital_engine.nouns import (
    ArgumentSource,
    Effect,
    Evidence,
    Expert,
    Memory,
    Passage,
    PastTurn,
    ToolCall,
    ToolSuggestions,
)

FACTS = (
    "The trial enrolled 412 adults with type 2 diabetes at 31 sites.",
    "Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment.",
    "Severe hypoglycaemia was not observed in either group.",
    "Body weight decreased by 4.1 kg in the treated group.",
    "Nausea was the most frequent adverse event and was usually mild.",
    "Eight participants stopped the treatment because of adverse events.",
    "Renal function remained stable in both groups over 52 weeks.",
    "Blood pressure was lower at the end of treatment than at baseline.",
    "The authors conclude that longer follow-up is required.",
)
PER_PASSAGE = 3


def _passages() -> Iterator[Passage]:
    for i in range(0, len(FACTS), PER_PASSAGE):
        text = " ".join(FACTS[i : i + PER_PASSAGE])
        number = i // PER_PASSAGE + 1
        yield Passage(
            id=f"scripted-{number}",
            text=text,
            document=f"document-{number}",
            title=f"Scripted study {number}",
            start=0,
            end=len(text),
            page=1,
            score=1.0 / number,
        )


EVIDENCE = Evidence(tuple(_passages()), index_version="scripted")
MEMORY = Memory((PastTurn("Which drug did we speak of?", "We spoke of the scripted drug."),))
TOOL_OUTPUT = "the scripted tool says 42"
SUGGESTIONS = ToolSuggestions(
    (
        ToolCall(
            "call-1", "scripted_tool", {"x": 6}, "the question asks for a figure", 1.0, Decimal(0), Effect.PURE,
            sources=(ArgumentSource.QUESTION,),
        ),
    )
)  # fmt: skip
EXPERT = Expert(
    "scripted",
    "Scripted expert",
    "Answers as the script says.",
    "You are a scripted expert. You answer in short sentences.",
)


def spoken(tokens: int, sentences: int) -> list[str]:
    """The default answer: exactly *tokens* pieces of text, in exactly *sentences* sentences, each with its citation."""
    pieces: list[str] = []
    for i in range(sentences):
        fact, number = FACTS[i % len(FACTS)], i % len(FACTS) // PER_PASSAGE + 1
        sentence = f"{fact[:-1]} [{number}]." if i < len(FACTS) else f"Again ({i + 1}), {fact[:-1]} [{number}]."
        share = tokens * (i + 1) // sentences - tokens * i // sentences
        pieces += cut(sentence if i == 0 else f" {sentence}", share)
    return pieces


def cut(text: str, pieces: int) -> list[str]:
    """*text* in exactly *pieces* pieces of even length (the last ones empty if there are too few characters)."""
    ends = [round(len(text) * (i + 1) / pieces) for i in range(pieces)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def words(text: str) -> list[str]:
    """*text* as a model would stream it: a word at a time, white space kept."""
    result: list[str] = []
    for i, word in enumerate(text.split(" ")):
        result.append(word if i == 0 else f" {word}")
    return result
