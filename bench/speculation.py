"""The whole turn for the price of its model call, on a real stack: how close does a right guess come?

``python bench/speculation.py --data DIR`` reads ``DIR/pubmedqa/questions.jsonl``, takes the abstracts into a new embedded
database, and asks questions as people do: some again and again (Zipf's law), through mode 2 with ``speculation = "auto"``,
the packaged SmolLM2-135M, real retrieval, tools and checks, and searches that are slower by ``--delay`` seconds, as a remote
index would be. Nothing but the guesses is remembered: the caches are off. Guesses are begun on once enough have been right,
as in production; nothing is primed.

Beside each turn stands its bare model call: the same prompt, to a server in the same state (newly started, it has read
nothing), right before or right after the turn, in turns. Printed: the ratio of the two as the median of pairs with a 95 %
bootstrap interval, for turns that were begun on a right guess and for the others; how many guesses were right; and what was
thrown away. Ratios are of this machine: the model and the checks share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from acceptance import write_corpus
from real_stack import TENANT, USER, Late, interval
from vital_engine.app import MODES, open_app
from vital_engine.cli.ingest import files, take_in
from vital_engine.nouns import Limits, Piece, Prompt, Question
from vital_engine.services.llm.local import Local
from vital_engine.settings import Settings

GOAL = 1.02


@dataclass(slots=True)
class Fresh:
    """Fulfils the port LLM by a server that is started anew for every turn, and keeps the last prompt."""

    capacity: int = 2
    server: Local | None = None
    asked: list[Prompt] = field(default_factory=list)

    async def renew(self) -> None:
        if self.server is not None:
            await self.server.aclose()
        self.server = Local()
        await self.server.warm()

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        assert self.server is not None
        self.asked.append(prompt)
        async for piece in self.server.stream(prompt):
            yield piece


@dataclass(frozen=True, slots=True)
class Pair:
    turn: float
    bare: float
    right: bool | None
    used: bool
    discarded: int

    @property
    def ratio(self) -> float:
        return self.turn / self.bare


async def bare(llm: Fresh, prompt: Prompt) -> float:
    """Seconds of the model call alone."""
    await llm.renew()
    assert llm.server is not None
    loop = asyncio.get_running_loop()
    began = loop.time()
    async for _ in llm.server.stream(prompt):
        pass
    return loop.time() - began


async def measure(rows: Sequence[dict[str, str]], options: argparse.Namespace, folder: Path) -> list[Pair]:
    settings = Settings(
        home=folder / "home", tenant=TENANT, user=USER, model="extractive", retrieval_cache=0, embedding_cache=0, suggestion_cache=0,
    )  # fmt: skip
    weights = 1 / np.arange(1, options.questions + 1)
    picked = np.random.default_rng(options.seed).choice(options.questions, options.turns, p=weights / weights.sum())
    pairs: list[Pair] = []
    prompts: dict[int, Prompt] = {}
    async with open_app(settings, watchers=()) as app:
        await take_in(app, files([write_corpus(rows, folder)]), domain="", prune=False, console=Console(stderr=True))
        await app.warm()
        llm = Fresh()
        services = replace(app.services, llm=llm, retriever=Late(app.services.retriever, options.delay))
        workflow = MODES[2](services, config={"speculation": "auto"}, watchers=())
        for number, which in enumerate(map(int, picked)):
            known = prompts.get(which)
            before = await bare(llm, known) if known is not None and number % 2 else None
            await llm.renew()
            asked = Question(rows[which]["question"], TENANT, USER, limits=Limits(output_tokens=options.words))
            answer = (await workflow.execute(asked)).raise_for_status()
            prompts[which] = llm.asked[-1]
            alone = before if before is not None else await bare(llm, prompts[which])
            lost = sum(d.usage.input + d.usage.output for d in answer.draft.discarded if d.usage is not None)
            pairs.append(Pair(answer.timing.total, alone, answer.guessed.right, answer.guessed.used, lost))
            print(f"{number}: {pairs[-1]}", file=sys.stderr, flush=True)
        if llm.server is not None:
            await llm.server.aclose()
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds pubmedqa/questions.jsonl")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--questions", type=int, default=12, help="how many different ones there are")
    parser.add_argument("--delay", type=float, default=0.5, help="seconds added to each search")
    parser.add_argument("--words", type=int, default=48, help="tokens of an answer, at most")
    parser.add_argument("--documents", type=int, default=120, help="abstracts that are taken in")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    path = options.data / "pubmedqa" / "questions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][: options.documents]
    with tempfile.TemporaryDirectory(prefix="vital-") as folder:
        pairs = asyncio.run(measure(rows, options, Path(folder)))
    guessed = [pair for pair in pairs if pair.right is not None]
    hits = [pair.ratio for pair in pairs if pair.used and pair.right]
    others = [pair.ratio for pair in pairs if not (pair.used and pair.right)]
    print(f"\n{len(pairs)} turns of {options.questions} questions, searches {options.delay:g} s slower than the index")
    print(
        f"guesses: {len(guessed)}, of which right {sum(bool(p.right) for p in guessed)}; begun on: {sum(p.used for p in pairs)}"
    )
    print(f"tokens thrown away: {sum(p.discarded for p in pairs)}")
    print(f"turn over bare model call, begun on a right guess ({len(hits)}): {interval(hits) if hits else 'none'}")
    print(f"turn over bare model call, the others ({len(others)}): {interval(others) if others else 'none'}")
    if hits:
        print(f"goal {GOAL}: {'met' if float(np.median(hits)) <= GOAL else 'missed'}")


if __name__ == "__main__":
    main()
