"""A whole turn in under 60 lines: your own retriever and model, everything else scripted, in virtual time.

Run it: ``python example.py``. Nothing is downloaded, nothing is served, and 1.7 seconds take a few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from vital_engine import Mode2AutomaticWorkflow, Question
from vital_engine.nouns import Passage, Piece, Prompt, Scope, Usage
from vital_engine.testing import run_virtual, scripted


class Shelf:
    """A retriever is any object with this one method."""

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage]:
        await asyncio.sleep(0.4)
        text = "In 412 adults the drug lowered mean HbA1c by 1.2 percentage points after 26 weeks."
        return [Passage("p1", text, document="trial-1", title="A trial", end=len(text), page=3)][:k]


class Parrot:
    """So is a model. What it says last is what it used."""

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        for word in "The drug lowered mean HbA1c by 1.2 percentage points after 26 weeks [1].".split(" "):
            await asyncio.sleep(0.1)
            yield Piece(f"{word} ")
        yield Piece(usage=Usage(input=250, output=14), model="gpt-4o-mini", provider="openai", finish="stop")


def main() -> None:
    services = replace(scripted(suggest=0.3, recall="hang"), retriever=Shelf(), llm=Parrot())
    workflow = Mode2AutomaticWorkflow(services, parallel_timeout_ms=500)
    answer = run_virtual(workflow.execute(Question("Does the drug lower HbA1c?", tenant="t1", user="u1")))

    print(answer.text)
    for citation in answer.citations:
        print(f"[{citation.marker}] {citation.verdict}: {citation.title}, p. {citation.page}: {citation.quote!r}")
    print(f"{answer.status}, {answer.timing.total:.2f} s, ${answer.cost.usd}, quality {answer.quality.score}")
    print(f"degraded: {answer.degraded}; {answer.warnings[0]}")


if __name__ == "__main__":
    main()
