"""The whole engine on real questions: is the right abstract found, cited, and quoted as it stands there?

``python bench/acceptance.py --data DIR`` reads ``DIR/pubmedqa/questions.jsonl`` (PubMedQA, Jin et al. 2019), takes the
abstracts into a new embedded database as ``vital ingest`` does, and asks each question through ``app.workflow(2)`` with
the extractive answerer: no model, no network. Each question is one turn, one after another.

Printed: how often the question's own abstract is among the ten retrieved, is cited, and is the first that is cited;
milliseconds of the retrieve step and of the whole turn; the distribution of quality and of verdicts; and how many
citations were compared, character by character, with the stored text. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from corpora import arguments, questions, write_pubmedqa
from vital_engine import Answer, Engine, Limits, Question
from vital_engine.cli.ingest import files, take_in
from vital_engine.errors import NotFound
from vital_engine.nouns import Citation, Scope
from vital_engine.settings import Settings

TENANT, USER = "acceptance", "bench"
PASSAGES = 10
GOAL_RETRIEVED, GOAL_CITED = 0.99, 0.90


@dataclass(slots=True)
class Tally:
    """What has been seen so far. ``wrong``: what must never be, in words."""

    asked: int = 0
    retrieved: int = 0
    cited: int = 0
    cited_first: int = 0
    retrieve_ms: list[float] = field(default_factory=list)
    turn_ms: list[float] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    unknown_quality: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    spans: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


async def check_span(app: Engine, citation: Citation, scope: Scope) -> str:
    """What is wrong with where *citation* says that its quote stands; empty if nothing is."""
    try:
        stored = await app.library.document_text(citation.document, scope=scope)
    except NotFound:
        return f"{citation.document}: cited, and not stored"
    there = stored[citation.start : citation.end]
    return "" if there == citation.quote else f"{citation.document}[{citation.start}:{citation.end}] is {there!r}"


async def look(app: Engine, answer: Answer, right: str, tally: Tally) -> None:
    """Count one answer in. *right* is the document that holds the question's own abstract."""
    tally.asked += 1
    tally.statuses[answer.status] += 1
    tally.degraded.update(f"{step}: {reason}" for step, reason in answer.degraded.items())
    found = [passage.document for passage in answer.evidence.passages]
    cited = [citation.document for citation in answer.citations]
    tally.retrieved += right in found
    tally.cited += right in cited
    tally.cited_first += bool(cited) and cited[0] == right
    if right not in cited:
        tally.missed.append(f"{right} ({'retrieved' if right in found else 'not retrieved'}): {answer.question.text}")
    tally.retrieve_ms.append(answer.outcomes["retrieve"].seconds * 1000)
    tally.turn_ms.append(answer.timing.total * 1000)
    if answer.quality.score is None:
        tally.unknown_quality += 1
    else:
        tally.quality.append(answer.quality.score)
    scope = Scope(TENANT, USER)
    for citation in answer.citations.items:
        tally.verdicts[citation.verdict] += 1
        if citation.verdict != "dangling":
            tally.spans += 1
            if wrong := await check_span(app, citation, scope):
                tally.wrong.append(wrong)


async def measure(rows: Sequence[dict[str, Any]], folder: Path) -> Tally:
    tally = Tally()
    settings = Settings(home=folder / "home", tenant=TENANT, user=USER, model="extractive")
    async with Engine(settings) as app:
        for note in app.notes:
            print(f"note: {note}", file=sys.stderr)
        report = await take_in(
            app, files([write_pubmedqa(rows, folder)]), domain="", prune=False, console=Console(stderr=True)
        )
        if report.failed or report.added != len(rows):
            raise SystemExit(f"not all was taken in: {report}")
        print(f"{report.added} abstracts, {report.passages} passages, taken in within {report.seconds:.1f} s")
        await app.warm()
        began = time.perf_counter()
        for row in rows:
            question = Question(row["question"], TENANT, USER, limits=Limits(passages=PASSAGES))
            await look(app, await app.workflow(2).execute(question), row["pmid"], tally)
        print(f"{tally.asked} questions within {time.perf_counter() - began:.1f} s, one after another")
    return tally


def spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "too few"
    cuts = statistics.quantiles(values, n=20)
    return f"p5 {cuts[0]:.2f}  p25 {cuts[4]:.2f}  median {cuts[9]:.2f}  p75 {cuts[14]:.2f}  p95 {cuts[18]:.2f}"


def show(tally: Tally, *, misses: int) -> bool:
    """Print *tally*. True: every goal is reached."""

    def share(count: int) -> str:
        return f"{count} of {tally.asked} ({count / tally.asked:.1%})"

    print(f"retrieved in the top {PASSAGES}   {share(tally.retrieved)}, goal {GOAL_RETRIEVED:.0%}")
    print(f"cited                   {share(tally.cited)}, goal {GOAL_CITED:.0%}")
    print(f"cited first             {share(tally.cited_first)}")
    print(f"retrieve, ms            {spread(tally.retrieve_ms)}")
    print(f"whole turn, ms          {spread(tally.turn_ms)}")
    print(f"quality                 {spread(tally.quality)}; unknown for {tally.unknown_quality}")
    print(f"verdicts                {dict(tally.verdicts)}")
    print(f"status                  {dict(tally.statuses)}; degraded {dict(tally.degraded)}")
    print(f"spans                   {tally.spans} compared with the stored text, {len(tally.wrong)} differ")
    for line in [*tally.wrong, *tally.missed[:misses]]:
        print(f"  {line}")
    reached = tally.retrieved >= GOAL_RETRIEVED * tally.asked and tally.cited >= GOAL_CITED * tally.asked
    return reached and not tally.wrong and set(tally.statuses) == {"complete"}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--limit", type=int, default=None, help="ask only the first so many")
    parser.add_argument("--misses", type=int, default=0, help="print so many questions whose abstract is not cited")
    options = parser.parse_args()
    rows = questions(options.data)[: options.limit]
    with tempfile.TemporaryDirectory(prefix="vital-") as folder:
        tally = asyncio.run(measure(rows, Path(folder)))
    sys.exit(0 if show(tally, misses=options.misses) else 1)


if __name__ == "__main__":
    main()
