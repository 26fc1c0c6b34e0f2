"""Reading ahead on a real stack: how much of a prompt is still to be read once the passages are there?

``python bench/real_stack.py --data DIR`` reads ``DIR/pubmedqa/questions.jsonl`` (PubMedQA, Jin et al. 2019), takes the
abstracts into a new embedded database, and asks questions through mode 2 (Automatic) with the packaged SmolLM2-135M:
real retrieval, real tools, real conversations, real checks. Each question is asked with ``prefill`` off, prefix and
segments, one right after the other in rotating order, each time of a newly started llama.cpp that has read nothing and
in a conversation of its own, which is filled with the same earlier turns (extractive answers).

Printed, by earlier turns and by how long retrieval takes: prompt tokens that were computed between the model being asked
and its first word (the server's counters: input less cached), the time to the first word as the median ratio of pairs with a
95 % bootstrap interval, and how the answers compare. Counters are exact; times are those of this machine, with whatever else
ran on it. Each turn is written to standard error.

``--delay`` adds to every search so many seconds, as a remote index would: the index here answers within milliseconds.
``--within`` is the limit of every step before the model: on a machine that reads slowly, reading ahead is cut there, and
what was read by then is used. ``--warm`` lets the server answer another conversation first, so that it has read the instructions in every arm.
The model is far too small to answer well: texts and scores are compared with each other, not with the truth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from corpora import arguments, questions, write_pubmedqa
from vital_bench.page import aligned, real_section
from vital_engine import Answer, Engine, Limits, Question
from vital_engine.cli.ingest import files, take_in
from vital_engine.engine import MODES
from vital_engine.nouns import Evidence, Passage, Scope
from vital_engine.ports import Retriever
from vital_engine.services.llm.local import Local
from vital_engine.settings import Settings

TENANT, USER = "real-stack", "bench"
ARMS = ("off", "prefix", "segments")
GOAL = 0.60
"""Of the prompt tokens that are computed after the passages have come, fewer by so much."""


@dataclass(frozen=True, slots=True)
class Late:
    """A retriever that is *seconds* away."""

    near: Retriever
    seconds: float

    async def search(self, query: str, *, k: int, scope: Scope) -> Sequence[Passage] | Evidence:
        await asyncio.sleep(self.seconds)
        return await self.near.search(query, k=k, scope=scope)


@dataclass(frozen=True, slots=True)
class Seen:
    """One turn. Tokens are the server's counts, seconds the engine's."""

    input: int
    computed: int
    first: float
    total: float
    text: str
    quality: float | None
    support: float | None


@dataclass(slots=True)
class Case:
    """All turns of one setting: arm -> one per question."""

    earlier: int
    delay: float
    seen: dict[str, list[Seen]] = field(default_factory=lambda: {arm: [] for arm in ARMS})


def seen(answer: Answer) -> Seen:
    usage = answer.draft.usage
    if usage is None or usage.estimated or answer.timing.first_token is None:
        raise SystemExit(f"the turn {answer.run_id} is {answer.status}: {answer.error!r}, {dict(answer.degraded)}")
    computed = usage.input - usage.cached
    times = (answer.timing.first_token, answer.timing.total)
    return Seen(usage.input, computed, *times, answer.text, answer.quality.score, answer.support.score)


async def ask(app: Engine, arm: str, text: str, talk: str, delay: float, options: argparse.Namespace) -> Seen:
    """One turn, of a server that was started for it."""
    llm = Local()
    try:
        await llm.warm()
        retriever = Late(app.services.retriever, delay) if delay else app.services.retriever
        services = replace(app.services, llm=llm, retriever=retriever)
        config = {"prefill": arm, "profile": "dataflow", "parallel_timeout_ms": options.within * 1000}
        workflow = MODES[2](services, config=config, watchers=())
        workflow.scope = app.scope()
        if options.warm:
            other = Question("What are the side effects?", TENANT, USER, limits=Limits(output_tokens=1))
            await workflow.execute(other)
        question = Question(text, TENANT, USER, conversation=talk, limits=Limits(output_tokens=options.words))
        return seen(await workflow.execute(question))
    finally:
        await llm.aclose()


async def talked(app: Engine, name: str, texts: Sequence[str]) -> str:
    """A conversation in which *texts* have been asked and answered."""
    for text in texts:
        answer = await app.workflow(2).execute(Question(text, TENANT, USER, conversation=name))
        answer.raise_for_status()
    return name


async def measure(rows: Sequence[dict[str, Any]], options: argparse.Namespace, folder: Path) -> list[Case]:
    settings = Settings(
        home=folder / "home", tenant=TENANT, user=USER, model="extractive", retrieval_cache=0, embedding_cache=0,
        suggestion_cache=0,
    )  # fmt: skip
    cases = []
    async with Engine(settings, watchers=()) as app:
        corpus = write_pubmedqa(rows, folder)
        await take_in(app, files([corpus]), domain="", prune=False, console=Console(stderr=True))
        await app.warm()
        for earlier in options.earlier:
            for delay in options.delay:
                cases.append(case := Case(earlier, delay))
                for pair in range(options.pairs):
                    # the earlier questions are of other abstracts: what is found now was not found before
                    texts = [row["question"] for row in rows[pair * 16 : pair * 16 + earlier + 1]]
                    for turned in range(len(ARMS)):
                        arm = ARMS[(pair + turned) % len(ARMS)]
                        talk = await talked(app, f"{earlier}/{delay}/{pair}/{arm}", texts[:-1])
                        one = await ask(app, arm, texts[-1], talk, delay, options)
                        case.seen[arm].append(one)
                        print(f"{earlier} {delay} {pair} {arm}: {one}", file=sys.stderr, flush=True)
    return cases


def resampled(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median, and where 95 % of the medians of resamples lie."""
    draws = np.random.default_rng(0).choice(np.asarray(ratios), (4000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return statistics.median(ratios), float(low), float(high)


def fewer(case: Case, arm: str) -> float:
    """The share of the tokens computed with ``off`` that is not computed on the critical path in *arm*."""
    return 1 - sum(s.computed for s in case.seen[arm]) / sum(s.computed for s in case.seen["off"])


def known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def row(case: Case, arm: str) -> dict[str, Any]:
    """One arm of *case*, as the page of ``vital bench --report`` shows it. Seconds, tokens; ratios as (median, low, high)."""
    off, now = case.seen["off"], case.seen[arm]
    first, total = (
        resampled([getattr(a, name) / getattr(b, name) for a, b in zip(now, off, strict=True)])
        for name in ("first", "total")
    )
    return {
        "earlier": case.earlier,
        "delay": case.delay,
        "arm": arm,
        "pairs": len(now),
        "prompt": statistics.mean(s.input for s in now),
        "computed": statistics.mean(s.computed for s in now),
        "fewer": fewer(case, arm),
        "first_seconds": statistics.median(s.first for s in now),
        "first_ratio": first,
        "total_ratio": total,
        "equal": sum(a.text == b.text for a, b in zip(now, off, strict=True)),
        "quality": known_mean([s.quality for s in now]),
        "support": known_mean([s.support for s in now]),
    }


def goal(case: Case) -> dict[str, Any]:
    value = fewer(case, "segments")
    what = f"{case.earlier} earlier turns, searches {case.delay:g} s slower"
    says = f"{what}: prompt tokens left to compute, fewer by"
    return {"says": says, "value": value, "limit": GOAL, "met": value >= GOAL}


def plain(cases: Sequence[Case], options: argparse.Namespace) -> dict[str, Any]:
    """What ``vital bench --report`` shows of *cases*, ready to be JSON."""
    warm = "had answered another question" if options.warm else "had read nothing"
    note = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `python bench/real_stack.py --data DIR --pairs {options.pairs}`: answers of at "
        f"most {options.words} tokens, {options.documents} abstracts, servers that {warm}; a step before the model, reading ahead "
        f"included, may take {options.within:g} s; the machine's load was {os.getloadavg()[0]:.1f} at the end. Searches that are slower by 0 s take as long as the index in this process does, "
        "which leaves little time to read ahead in."
    )
    rows, goals = [row(case, arm) for case in cases for arm in ARMS], [goal(case) for case in cases]
    return {"model": "SmolLM2-135M", "pairs": options.pairs, "rows": rows, "goals": goals, "note": note}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--earlier", type=int, nargs="+", default=[0, 2, 6], help="turns before the one measured")
    parser.add_argument("--delay", type=float, nargs="+", default=[0.0, 0.5], help="seconds added to each search")
    parser.add_argument("--words", type=int, default=48, help="tokens of an answer, at most")
    parser.add_argument("--documents", type=int, default=300, help="abstracts that are taken in")
    parser.add_argument("--within", type=float, default=5.0, help="seconds of a step before the model, at most")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what vital bench --report shows")
    parser.add_argument("--warm", action="store_true", help="the server has answered another question before")
    options = parser.parse_args()
    rows = questions(options.data)[: options.documents]
    if len(rows) < options.pairs * 16:
        parser.error(f"{options.pairs} pairs need {options.pairs * 16} documents")
    with tempfile.TemporaryDirectory(prefix="vital-") as folder:
        cases = asyncio.run(measure(rows, options, Path(folder)))
    found = plain(cases, options)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for part in real_section(found):
        print(aligned(part), end="\n\n")
    for each in found["goals"]:
        print(f"{each['says']} {each['value']:.1%}, goal {GOAL:.0%}: {'met' if each['met'] else 'missed'}")
    sys.exit(0 if all(each["met"] for each in found["goals"]) else 1)


if __name__ == "__main__":
    main()
