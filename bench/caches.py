"""What is gained by keeping what was found: ``python bench/caches.py PART --data DIR``.

early   Whether a search by words alone foresees the whole search: the share of questions for which its first k passages
        are the same, in the same order, and what either costs.
repeats Whole turns of the engine over PubMedQA's abstracts, its questions asked as often as Zipf's law says (the one of
        rank r in proportion to 1 / r^s): hit rates, and the time of turns whose question was new (cold) and of those
        whose question had been asked (warm) apart. With no caches, with the default ones, and with answers too: three
        engines over one database, each of which is asked each question before the next question is, in an order that
        turns; the ratios are medians over these pairs. The model is the extractive one, which runs in this process.
version What it costs to ask for the version of an index, beside a search in it.
small   What the engine's own part of a hit costs.

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
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import retrieval
from vital_engine import Question, Engine
from vital_engine.engine import Engine
from vital_engine.flow import run_in_background
from vital_engine.monitoring import registry
from vital_engine.nouns import Evidence, Passage, Scope
from vital_engine.services.caching import Cache
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.ingest import ingest
from vital_engine.services.retrieval.library import Library
from vital_engine.settings import Settings
from vital_engine.store import Knowledge, open_store

DEPTHS = (3, 8)
CACHES = ("retrieval_cache", "embedding_cache", "suggestion_cache", "answer_cache")
OFF = dict.fromkeys(CACHES, 0)


async def timed(work: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """Milliseconds of each call."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - began)
    return [s * 1000 for s in seconds]


def shown(milliseconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        "turns": len(ordered),
        "median_ms": round(statistics.median(ordered), 2) if ordered else 0.0,
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 2) if ordered else 0.0,
    }


async def early(options: argparse.Namespace, folder: Path) -> None:
    async with open_store(data_dir=folder) as store:
        shelves, embedder = Knowledge(store, sentence_vectors=False), MiniLM()
        whole, words = Library(shelves, embedder), Library(shelves)
        for name in options.corpora:
            corpus = retrieval.CORPORA[name](options.data)
            await ingest(corpus.documents, shelves=shelves, tenant=corpus.name, embedder=embedder)
            scope = Scope(corpus.name, "bench")
            same = dict.fromkeys(DEPTHS, 0)
            spent: dict[str, list[float]] = {"whole": [], "words": []}
            queries = [text for text, _ in corpus.queries][: options.limit]
            for text in queries:
                found: dict[str, list[str]] = {}
                for way, library in (("whole", whole), ("words", words)):
                    began = time.perf_counter()
                    evidence = await library.search(text, k=max(DEPTHS), scope=scope)
                    spent[way].append((time.perf_counter() - began) * 1000)
                    found[way] = [passage.id for passage in evidence.passages]
                for k in DEPTHS:
                    same[k] += found["whole"][:k] == found["words"][:k]
            shares = {f"same_{k}": round(same[k] / len(queries), 4) for k in DEPTHS}
            medians = {f"{way}_median_ms": round(statistics.median(of), 2) for way, of in spent.items()}
            print(json.dumps({"corpus": corpus.name, "queries": len(queries), **shares, **medians}))


async def version(options: argparse.Namespace, folder: Path) -> None:
    async with open_store(data_dir=folder) as store:
        shelves, embedder = Knowledge(store, sentence_vectors=False), MiniLM()
        library = Library(shelves, embedder)
        for name in options.corpora:
            corpus = retrieval.CORPORA[name](options.data)
            await ingest(corpus.documents, shelves=shelves, tenant=corpus.name, embedder=embedder)
            scope = Scope(corpus.name, "bench")
            queries = iter([text for text, _ in corpus.queries[:200]])
            searches = await timed(lambda: library.search(next(queries), k=8, scope=scope), 200)  # noqa: B023
            versions = await timed(lambda: library.version(scope=scope), 500)  # noqa: B023
            print(json.dumps({"corpus": corpus.name, "search": shown(searches), "version": shown(versions)}))


def counted() -> Counter[str]:
    """``vital_cache_total`` now, by cache and outcome."""
    samples = [s for family in registry.collect() for s in family.samples if s.name == "vital_cache_total"]
    return Counter({f"{s.labels['cache']} {s.labels['outcome']}": int(s.value) for s in samples})


async def small(options: argparse.Namespace, _: Path) -> None:
    evidence = Evidence(tuple(Passage(f"d{n}#0", "text " * 200, f"d{n}") for n in range(8)), index_version="1/m")
    cache: Cache[str, Evidence] = Cache("bench", entries=512, start=run_in_background)

    async def make() -> Evidence:
        return evidence

    await cache.get("known", make)
    hit = statistics.median(await timed(lambda: cache.get("known", make), options.turns))
    print(json.dumps({"hit_us": round(hit * 1000, 2)}))


async def repeats(options: argparse.Namespace, folder: Path) -> None:
    chance = random.Random(options.seed)
    corpus = retrieval.pubmedqa(options.data)
    texts = [text for text, _ in corpus.queries]
    chance.shuffle(texts)
    weights = [1 / rank**options.skew for rank in range(1, len(texts) + 1)]
    asked = chance.choices(texts, weights, k=options.turns)
    base = Settings(home=folder, tenant="PubMedQA")
    ways = {"none": OFF, "default": {}, "default and answers": {"answer_cache": 1000}}
    async with Engine(base.replace(OFF)) as app:
        await ingest(corpus.documents, shelves=app.knowledge, tenant="PubMedQA", embedder=app.embedder)
        await app.warm()
    spent: dict[str, dict[str, list[float]]] = {way: {"cold": [], "warm": []} for way in ways}
    seen: set[str] = set()
    async with contextlib.AsyncExitStack() as stack:
        apps = {
            way: await stack.enter_async_context(Engine(base.replace(settings))) for way, settings in ways.items()
        }
        for app in apps.values():
            await app.warm()
        order, before = list(ways), counted()
        for text in asked:
            for way in order:
                spent[way]["warm" if text in seen else "cold"].append(await turn(apps[way], text))
            seen.add(text)
            order.append(order.pop(0))
    for way, times in spent.items():
        ratios = {
            f"{state}_ratio": round(statistics.median(a / b for a, b in zip(of, spent["none"][state], strict=True)), 3)
            for state, of in times.items()
        }
        print(json.dumps({"caches": way, **{state: shown(of) for state, of in times.items()}, **ratios}))
    print(json.dumps({"counts of both": counted() - before}))


async def turn(app: Engine, text: str) -> float:
    """Milliseconds from the question until all of the answer is there."""
    began = time.perf_counter()
    answer = await app.workflow(2).execute(Question(text, tenant="PubMedQA", user="bench"))
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds * 1000


PARTS = {"early": early, "version": version, "repeats": repeats, "small": small}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, required=True, help="the folder with scifact/, pubmedqa/ and medquad/")
    parser.add_argument("--corpora", nargs="+", choices=retrieval.CORPORA, default=["pubmedqa", "scifact"])
    parser.add_argument("--limit", type=int, help="queries of each corpus (all)")
    parser.add_argument("--turns", type=int, default=400, help="turns of the repeats")
    parser.add_argument("--skew", type=float, default=1.0, help="s of Zipf's law")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="a folder for the database (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vital-bench-") as folder:
        asyncio.run(PARTS[options.part](options, options.keep or Path(folder)))


if __name__ == "__main__":
    main()
