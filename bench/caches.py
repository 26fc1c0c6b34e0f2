"""What is gained by keeping what was found: ``python bench/caches.py PART --data DIR``.

repeats Whole turns of the engine over PubMedQA's abstracts, its questions asked as often as Zipf's law says (the one of
        rank r in proportion to 1 / r^s): hit rates, and the time of turns whose question was new (cold) and of those
        whose question had been asked (warm) apart. With no caches, with the default ones, and with answers too: three
        engines over one database, each of which is asked each question before the next question is, in an order that
        turns; the ratios are medians over these pairs. The model is the extractive one, which runs in this process.
version What it costs to ask for the version of an index, beside a search in it.
hit     What the cache's own part of a hit costs.

--keep DIR keeps the database, so that a second run need not ingest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from corpora import CORPORA, arguments, pubmedqa, spread, timed
from vital_engine import Engine, Question
from vital_engine.flow import run_in_background
from vital_engine.monitoring import registry
from vital_engine.nouns import Evidence, Passage, Scope
from vital_engine.services.caching import Cache
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.ingest import ingest
from vital_engine.services.retrieval.library import Library
from vital_engine.settings import Settings
from vital_engine.store import Knowledge, open_store

OFF = dict.fromkeys(("retrieval_cache", "embedding_cache", "suggestion_cache", "answer_cache"), 0)


async def version(options: argparse.Namespace, folder: Path) -> None:
    async with open_store(data_dir=folder) as store:
        shelves, embedder = Knowledge(store, sentence_vectors=False), MiniLM()
        library = Library(shelves, embedder)
        for name in options.corpora:
            corpus = CORPORA[name](options.data)
            await ingest(corpus.documents, shelves=shelves, tenant=corpus.name, embedder=embedder)
            scope = Scope(corpus.name, "bench")
            texts = [text for text, _ in corpus.queries[:200]]
            searches = await timed(texts, partial(library.search, k=8, scope=scope))
            versions = await timed([scope] * 500, lambda scope: library.version(scope=scope))
            print(json.dumps({"corpus": corpus.name, "search": spread(searches), "version": spread(versions)}))


async def hit(options: argparse.Namespace, _: Path) -> None:
    evidence = Evidence(tuple(Passage(f"d{n}#0", "text " * 200, f"d{n}") for n in range(8)), index_version="1/m")
    cache: Cache[str, Evidence] = Cache("bench", entries=512, start=run_in_background)

    async def make() -> Evidence:
        return evidence

    await cache.get("known", make)
    spent = await timed(range(options.turns), lambda _: cache.get("known", make))
    print(json.dumps({"hit_us": round(statistics.median(spent) * 1000, 2)}))


def counted() -> Counter[str]:
    """``vital_cache_total`` now, by cache and outcome."""
    samples = [s for family in registry.collect() for s in family.samples if s.name == "vital_cache_total"]
    return Counter({f"{s.labels['cache']} {s.labels['outcome']}": int(s.value) for s in samples})


async def repeats(options: argparse.Namespace, folder: Path) -> None:
    chance = random.Random(options.seed)
    corpus = pubmedqa(options.data)
    texts = [text for text, _ in corpus.queries]
    chance.shuffle(texts)
    weights = [1 / rank**options.skew for rank in range(1, len(texts) + 1)]
    base = Settings(home=folder, tenant="PubMedQA")
    ways = {"none": OFF, "default": {}, "default and answers": {"answer_cache": 1000}}
    async with Engine(base.replace(OFF)) as app:
        await ingest(corpus.documents, shelves=app.knowledge, tenant="PubMedQA", embedder=app.embedder)
        await app.warm()
    spent: dict[str, dict[str, list[float]]] = {way: {"cold": [], "warm": []} for way in ways}
    seen: set[str] = set()
    async with contextlib.AsyncExitStack() as stack:
        apps = {way: await stack.enter_async_context(Engine(base.replace(settings))) for way, settings in ways.items()}
        for app in apps.values():
            await app.warm()
        order, before = list(ways), counted()
        for text in chance.choices(texts, weights, k=options.turns):
            for way in order:
                state = "warm" if text in seen else "cold"
                spent[way][state] += await timed([text], partial(turn, apps[way]))
            seen.add(text)
            order.append(order.pop(0))
    for way, all_times in spent.items():
        times = {state: of for state, of in all_times.items() if of}
        ratios = {
            f"{state}_ratio": round(statistics.median(a / b for a, b in zip(of, spent["none"][state], strict=True)), 3)
            for state, of in times.items()
        }
        shown = {state: {"turns": len(of), **spread(of)} for state, of in times.items()}
        print(json.dumps({"caches": way, **shown, **ratios}))
    print(json.dumps({"counts of both": counted() - before}))


async def turn(app: Engine, text: str) -> None:
    (await app.workflow(2).execute(Question(text, tenant="PubMedQA", user="bench"))).raise_for_status()


PARTS = {"version": version, "repeats": repeats, "hit": hit}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=["pubmedqa", "scifact"])
    parser.add_argument("--turns", type=int, default=400, help="turns of the repeats")
    parser.add_argument("--skew", type=float, default=1.0, help="s of Zipf's law")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="a folder for the database (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vital-bench-") as folder:
        asyncio.run(PARTS[options.part](options, options.keep or Path(folder)))


if __name__ == "__main__":
    main()
